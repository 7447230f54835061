package redact

import (
	"bytes"
	"strings"
)

// charset is a set of bytes, written out.
type charset string

func (s charset) has(c byte) bool { return strings.IndexByte(string(s), c) >= 0 }

const (
	upper    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits   = "0123456789"
	capsSet  = charset(upper + digits)
	alnumSet = charset("abcdefghijklmnopqrstuvwxyz" + upper + digits)
	wordSet  = alnumSet + "_"
	urlSet   = alnumSet + "_-"
	tokenSet = alnumSet + "_-."
	labelSet = capsSet + " "
)

// rule is a shape of token: a prefix, then at least min bytes of a set; what follows in the set belongs
// to it as well.
type rule struct {
	name   string
	prefix string
	min    int
	set    charset
	word   bool // not in the middle of a word
	find   func(data []byte) (n int, more bool)
	block  bool // a private key block: masked up to its end line
}

// builtin are the shapes that are masked in every stream.
var builtin = []rule{
	{name: "github-token", prefix: "ghp_", min: 30, set: alnumSet},
	{name: "github-token", prefix: "gho_", min: 30, set: alnumSet},
	{name: "github-token", prefix: "ghu_", min: 30, set: alnumSet},
	{name: "github-token", prefix: "ghs_", min: 30, set: alnumSet},
	{name: "github-token", prefix: "ghr_", min: 30, set: alnumSet},
	{name: "github-token", prefix: "github_pat_", min: 22, set: wordSet},
	{name: "gitlab-token", prefix: "glpat-", min: 16, set: urlSet},
	{name: "anthropic-key", prefix: "sk-ant-", min: 16, set: urlSet},
	{name: "api-key", prefix: "sk-", min: 20, set: urlSet, word: true},
	{name: "aws-key-id", prefix: "AKIA", min: 16, set: capsSet, word: true},
	{name: "aws-key-id", prefix: "ASIA", min: 16, set: capsSet, word: true},
	{name: "google-key", prefix: "AIza", min: 35, set: urlSet, word: true},
	{name: "google-secret", prefix: "GOCSPX-", min: 20, set: urlSet, word: true},
	{name: "google-token", prefix: "ya29.", min: 30, set: tokenSet, word: true},
	{name: "groq-key", prefix: "gsk_", min: 40, set: alnumSet, word: true},
	{name: "xai-key", prefix: "xai-", min: 60, set: alnumSet, word: true},
	{name: "huggingface-token", prefix: "hf_", min: 30, set: alnumSet, word: true},
	{name: "replicate-token", prefix: "r8_", min: 36, set: alnumSet, word: true},
	{name: "perplexity-key", prefix: "pplx-", min: 40, set: alnumSet, word: true},
	{name: "stripe-key", prefix: "sk_live_", min: 20, set: alnumSet, word: true},
	{name: "stripe-key", prefix: "rk_live_", min: 20, set: alnumSet, word: true},
	{name: "stripe-key", prefix: "sk_test_", min: 20, set: alnumSet, word: true},
	{name: "sendgrid-key", prefix: "SG.", min: 60, set: tokenSet, word: true},
	{name: "digitalocean-token", prefix: "dop_v1_", min: 60, set: alnumSet, word: true},
	{name: "pypi-token", prefix: "pypi-AgEIcHlwaS5vcmc", min: 40, set: urlSet, word: true},
	{name: "npm-token", prefix: "npm_", min: 30, set: alnumSet, word: true},
	{name: "slack-token", prefix: "xoxa-", min: 10, set: urlSet},
	{name: "slack-token", prefix: "xoxb-", min: 10, set: urlSet},
	{name: "slack-token", prefix: "xoxe-", min: 10, set: urlSet},
	{name: "slack-token", prefix: "xoxo-", min: 10, set: urlSet},
	{name: "slack-token", prefix: "xoxp-", min: 10, set: urlSet},
	{name: "slack-token", prefix: "xoxr-", min: 10, set: urlSet},
	{name: "slack-token", prefix: "xoxs-", min: 10, set: urlSet},
	{name: "jwt", prefix: "eyJ", set: tokenSet, word: true, find: findJWT},
	{name: "private-key", prefix: beginKey, find: findKey, block: true},
}

const (
	beginKey  = "-----BEGIN "
	endKey    = "-----END "
	keyLabel  = 48       // bytes of label between BEGIN and the dashes
	keyBlock  = 32 << 10 // a block that never ends is masked up to here
	jwtHeader = 1024
	jwtPart   = 8
)

// match says how many bytes at the start of data the rule masks; more: that only more data can tell.
func (r *rule) match(data []byte) (n int, more bool) {
	if len(data) < len(r.prefix) {
		return 0, r.prefix[:len(data)] == string(data)
	}
	if string(data[:len(r.prefix)]) != r.prefix {
		return 0, false
	}
	if r.find != nil {
		return r.find(data)
	}
	want := len(r.prefix) + r.min
	for i := len(r.prefix); i < want; i++ {
		if i == len(data) {
			return 0, true
		}
		if !r.set.has(data[i]) {
			return 0, false
		}
	}
	return want, false
}

// findJWT wants a header and a payload that both begin like a JSON object.
func findJWT(data []byte) (int, bool) {
	dot := 0
	for dot < len(data) && dot < jwtHeader && urlSet.has(data[dot]) {
		dot++
	}
	switch {
	case dot == len(data):
		return 0, dot < jwtHeader
	case data[dot] != '.' || dot < jwtPart:
		return 0, false
	}
	const next = ".eyJ"
	rest := data[dot:]
	if len(rest) < len(next) {
		return 0, next[:len(rest)] == string(rest)
	}
	if string(rest[:len(next)]) != next {
		return 0, false
	}
	return dot + len(next), false
}

// findKey wants the whole first line of a private key block.
func findKey(data []byte) (int, bool) { return findLabel(data, len(beginKey)) }

// findLabel wants a label that tells of a private key, closed by dashes.
func findLabel(data []byte, from int) (int, bool) {
	end := from
	for end < len(data) && end-from < keyLabel && labelSet.has(data[end]) {
		end++
	}
	if end == len(data) {
		return 0, end-from < keyLabel
	}
	const dashes = "-----"
	rest := data[end:]
	if len(rest) < len(dashes) {
		return 0, dashes[:len(rest)] == string(rest)
	}
	if string(rest[:len(dashes)]) != dashes || !bytes.Contains(data[from:end], []byte("PRIVATE KEY")) {
		return 0, false
	}
	return end + len(dashes), false
}

// matchEnd looks for the last line of a private key block.
func matchEnd(data []byte) (n int, more bool) {
	if len(data) < len(endKey) {
		return 0, endKey[:len(data)] == string(data)
	}
	if string(data[:len(endKey)]) != endKey {
		return 0, false
	}
	return findLabel(data, len(endKey))
}
