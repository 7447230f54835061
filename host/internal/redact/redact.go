// Package redact masks secrets in streams of bytes before they are stored, shown or sent.
//
// Guarantees: the exact values it was given are masked in their raw, base64, URL, JSON and hex forms,
// however the stream was cut into writes, and so is what the end of a text leaves of them; so are tokens of well-known shapes and private key blocks.
// What is masked depends on the bytes alone, never on how they arrived. Memory is bounded, and only
// bytes that could be the beginning of a secret are held back.
//
// It does not find a secret that was changed on the way (encrypted, compressed, one letter per line).
//
// It must not know where bytes come from or go to.
package redact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// rulesVersion is part of the digest; it grows whenever what is masked changes.
const rulesVersion = "drawspan-redact/2"

// Bounds of a secret's length in bytes. A shorter value would mask ordinary text; a longer one would
// need an unbounded window.
const (
	MinSecret = 4
	MaxSecret = 16 << 10
)

// minCut is from how many bytes on the beginning of a secret is masked at the end of a text, which somebody
// cut there. Less than that is taken for chance.
const minCut = 8

// Secret is a value to mask and the name to show in its place.
type Secret struct {
	Name  string
	Value string
}

// Redactor is an immutable set of secrets and rules; it may be used by many goroutines.
type Redactor struct {
	starts  [1 << 16 / 64]uint64 // which two-byte beginnings any needle or rule has
	needles map[uint16][]needle  // by two-byte beginning, longest first
	rules   map[uint16][]*rule
	digest  string
}

// needle is one form of one secret.
type needle struct {
	text string
	mask string
}

// New makes a redactor of the secrets and the built-in rules. A name that could break a log line or a
// JSON string, and a value outside the bounds, is an error that does not tell the value.
func New(secrets []Secret) (*Redactor, error) { return build(secrets, builtin) }

// Exact makes a redactor of the secrets alone, for what must not change because it looks like one.
func Exact(secrets []Secret) (*Redactor, error) { return build(secrets, nil) }

func build(secrets []Secret, shapes []rule) (*Redactor, error) {
	r := &Redactor{needles: make(map[uint16][]needle), rules: make(map[uint16][]*rule)}
	sum := sha256.New()
	fmt.Fprintln(sum, rulesVersion)
	for i := range shapes {
		rule := &shapes[i]
		fmt.Fprintln(sum, "rule", rule.name, rule.prefix)
		k := key(rule.prefix)
		r.rules[k] = append(r.rules[k], rule)
		r.mark(k)
	}
	seen := make(map[string]bool)
	names := make([]string, 0, len(secrets))
	for _, s := range secrets {
		if err := s.check(); err != nil {
			return nil, err
		}
		names = append(names, s.Name)
		for _, f := range forms(s.Value) {
			if seen[f] {
				continue
			}
			seen[f] = true
			k := key(f)
			r.needles[k] = append(r.needles[k], needle{f, maskOf(s.Name)})
			r.mark(k)
		}
	}
	for _, n := range r.needles {
		slices.SortStableFunc(n, func(a, b needle) int { return len(b.text) - len(a.text) })
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintln(sum, "secret", n)
	}
	r.digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return r, nil
}

// Digest names the rules and the secrets' names, not their values: a digest of a short value could be
// guessed.
func (r *Redactor) Digest() string { return r.digest }

// Mask is p with every secret masked; p is left as it is.
func (r *Redactor) Mask(p []byte) []byte {
	s := scan{r: r}
	out, _ := s.run(make([]byte, 0, len(p)), p, true)
	return out
}

// String is s with every secret masked.
func (r *Redactor) String(s string) string {
	for i := 0; i+1 < len(s); i++ {
		if r.starting(s[i], s[i+1]) {
			return string(r.Mask([]byte(s)))
		}
	}
	return s // nothing begins in it
}

func (s Secret) check() error {
	if s.Name == "" || len(s.Name) > 64 {
		return fmt.Errorf("check secret name: %d bytes, want 1 to 64", len(s.Name))
	}
	for _, c := range []byte(s.Name) {
		if !tokenSet.has(c) {
			return fmt.Errorf("check secret name %q: letters, digits, '.', '_' and '-' only", s.Name)
		}
	}
	if len(s.Value) < MinSecret || len(s.Value) > MaxSecret {
		return fmt.Errorf("check secret %s: value of %d bytes, want %d to %d", s.Name, len(s.Value), MinSecret, MaxSecret)
	}
	return nil
}

func (r *Redactor) mark(k uint16) { r.starts[k/64] |= 1 << (k % 64) }

func (r *Redactor) starting(a, b byte) bool {
	k := uint16(a)<<8 | uint16(b)
	return r.starts[k/64]&(1<<(k%64)) != 0
}

// startsWith reports whether a is the first byte of anything.
func (r *Redactor) startsWith(a byte) bool {
	base := int(a) << 8 / 64
	return r.starts[base]|r.starts[base+1]|r.starts[base+2]|r.starts[base+3] != 0
}

func key(s string) uint16 { return uint16(s[0])<<8 | uint16(s[1]) }

func maskOf(name string) string { return "[redacted:" + name + "]" }
