package main

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
)

const (
	rounds     = 10_000 // of hashing for one fingerprint: what makes trying guesses slow
	printBytes = 16
)

// findings are the leaks without their secrets, and how many were left out as allowed.
func (s settings) findings(leaks []leak) (findings []sdk.Finding, allowed int) {
	prints := map[leak]string{} // of leaks without their lines
	for _, l := range leaks {
		same := leak{path: l.path, rule: l.rule, secret: l.secret}
		print, ok := prints[same]
		if !ok {
			print = s.fingerprint(l)
			prints[same] = print
		}
		if slices.Contains(s.Allow, print) {
			allowed++
			continue
		}
		findings = append(findings, l.finding(print))
	}
	return findings, allowed
}

func (l leak) finding(print string) sdk.Finding {
	f := sdk.Finding{
		Rule: "secrets/" + l.rule, Severity: "error", Path: l.path, Line: l.line, EndLine: l.end, Fingerprint: print,
		Message: l.hide(strings.TrimSpace(l.about)),
		Help: fmt.Sprintf("Take it out and revoke it: it is in the record of this change already. "+
			"Is it none, or one that may be known? allow = [%q]", print),
	}
	if f.Message == "" {
		f.Message = "Looks like a secret."
	}
	f.Path = l.hide(f.Path)
	return f
}

// hide takes the secret out of a text: a path can hold one, and so can the words of the operator's own rule.
func (l leak) hide(text string) string {
	if l.secret == "" {
		return text
	}
	return strings.ReplaceAll(text, l.secret, "***")
}

// fingerprint names a secret of a rule in a file, wherever its line is, so that nobody can read the secret from it.
func (s settings) fingerprint(l leak) string {
	salt := fmt.Sprintf("drawspan secrets v1\x00%s\x00%s\x00%s", s.Key, l.rule, l.path)
	sum, err := pbkdf2.Key(sha256.New, l.secret, []byte(salt), rounds, printBytes)
	if err != nil {
		return "" // FIPS mode refuses short salts; this one is long
	}
	return "v1:" + hex.EncodeToString(sum)
}
