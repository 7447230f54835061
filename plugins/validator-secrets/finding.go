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

// finder makes findings of leaks, without their secrets. What is allowed is counted only: however much of it there is,
// what is not allowed is told.
type finder struct {
	settings
	prints   map[leak]string // of leaks without their lines
	findings []sdk.Finding
	allowed  int
}

// take is false where a verdict has no room for more.
func (f *finder) take(l leak) bool {
	same := leak{path: l.path, rule: l.rule, secret: l.secret}
	print, ok := f.prints[same]
	if !ok {
		print = f.fingerprint(l)
		f.prints[same] = print
	}
	if slices.Contains(f.Allow, print) {
		f.allowed++
		return true
	}
	f.findings = append(f.findings, l.finding(print))
	return len(f.findings) < sdk.MaxFindings
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
