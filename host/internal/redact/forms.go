package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// minLine is the length from which a single line of a secret of several lines is masked by itself.
const minLine = 16

// forms are the ways in which a secret is written down: as it is, in base64 at each of the three
// alignments, percent-encoded, as part of a JSON string (also twice), in hex, and line by line.
func forms(secret string) []string {
	var all []string
	add := func(s string) {
		if len(s) >= MinSecret {
			all = append(all, s)
		}
	}
	values := []string{secret}
	if lines := strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' }); len(lines) > 1 {
		for _, l := range lines {
			if len(l) >= minLine {
				values = append(values, l)
			}
		}
	}
	for _, v := range values {
		add(v)
		for _, f := range base64Forms(v) {
			add(f)
		}
		for _, f := range urlForms(v) {
			add(f)
		}
		for _, f := range jsonForms(v) {
			add(f)
		}
		h := hex.EncodeToString([]byte(v))
		add(h)
		add(strings.ToUpper(h))
	}
	return all
}

// base64Forms are the parts of an encoding that depend on the secret alone, for each alignment it can
// have in a longer text, and the padded whole.
func base64Forms(v string) []string {
	var out []string
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		whole := enc.EncodeToString([]byte(v))
		out = append(out, whole, url.QueryEscape(whole))
		for pad := range 3 {
			text := enc.EncodeToString(append(make([]byte, pad), v...))
			from := (pad*8 + 5) / 6
			to := (pad + len(v)) * 8 / 6
			core := text[from:to]
			out = append(out, core, url.QueryEscape(core))
		}
	}
	return out
}

func urlForms(v string) []string {
	var all strings.Builder
	for _, c := range []byte(v) {
		fmt.Fprintf(&all, "%%%02X", c)
	}
	component := strings.ReplaceAll(url.QueryEscape(v), "+", "%20")
	out := []string{all.String(), component, url.QueryEscape(v), url.PathEscape(v)}
	for _, f := range out[:len(out):len(out)] {
		out = append(out, lowerPercent(f))
	}
	return out
}

// lowerPercent writes percent escapes with small letters and leaves the rest.
func lowerPercent(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}

func jsonForms(v string) []string {
	once := jsonOnce(v)
	out := slices.Clone(once)
	for _, f := range once {
		out = append(out, jsonOnce(f)...)
	}
	return out
}

// jsonOnce are the ways in which encoders write v inside a string.
func jsonOnce(v string) []string {
	html, err := json.Marshal(v)
	if err != nil {
		return nil // a string always marshals
	}
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil // as above
	}
	out := []string{inside(strconv.Quote(v)), inside(strconv.QuoteToASCII(v))}
	for _, f := range []string{inside(string(html)), inside(strings.TrimSuffix(plain.String(), "\n"))} {
		for _, g := range []string{f, strings.ReplaceAll(f, "/", `\/`)} {
			out = append(out, g, ascii(g, "%04x"), ascii(g, "%04X"))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func inside(quoted string) string { return quoted[1 : len(quoted)-1] }

// ascii writes runes beyond ASCII as \u escapes, as many encoders do by default.
func ascii(s, digits string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x80:
			b.WriteByte(byte(r))
		case r < 0x10000:
			fmt.Fprintf(&b, `\u`+digits, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u`+digits+`\u`+digits, hi, lo)
		}
	}
	return b.String()
}
