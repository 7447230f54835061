package config

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// hclCodes maps what hcl says to our codes, by its summary. What is not here is a syntax problem while
// a file is parsed and an expression problem while one is evaluated.
var hclCodes = map[string]string{
	"Attribute redefined":            codeDuplicateKey,
	"Duplicate argument":             codeDuplicateKey,
	"Duplicate attribute definition": codeDuplicateKey,
	"Duplicate object attribute":     codeDuplicateKey,
	"Missing block label":            codeLabel,
	"Incorrect JSON value type":      codeType,
	"Root value must be object":      codeSyntax,
	"Call to unknown function":       codeFunction,
	"Unknown variable":               codeReference,
	"Unsupported attribute":          codeReference,
}

// translate reports what hcl found; other is the code of what hclCodes does not name. It says whether
// one of them makes the rest of the file unreliable.
func (r *reporter) translate(diags hcl.Diagnostics, other string) (broken bool) {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		code, ok := hclCodes[d.Summary]
		switch {
		case ok:
		case strings.HasPrefix(d.Summary, "Extraneous label for "), strings.HasPrefix(d.Summary, "Missing ") && strings.Contains(d.Summary, " for "):
			code = codeLabel
		default:
			code = other
		}
		broken = broken || code == codeSyntax
		p := problem{code: code, summary: sentence(d.Summary), detail: d.Detail, hint: hclHint(code)}
		if d.Subject == nil {
			r.header(Range{}, p)
			continue
		}
		r.at(from(*d.Subject), p)
	}
	return broken
}

func hclHint(code string) string {
	switch code {
	case codeDuplicateKey:
		return "keep one of the two"
	case codeFunction:
		return "functions: " + listed(functionNames())
	case codeLabel:
		return `write a block's name in quotes between its kind and the brace: sandbox "agent" { ... }`
	}
	return ""
}

// sentence is a summary of hcl in our style: no capital at the beginning.
func sentence(s string) string {
	if s == "" || (len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z') {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// unknown reports a key or block that does not exist where it stands.
func (r *reporter) unknown(d *hcl.Diagnostic, b *block, isBlock bool) {
	where := from(*d.Subject)
	name := r.word(where)
	p := problem{code: codeUnknownKey, summary: b.title() + " has no key " + quoted(name)}
	if isBlock {
		p.code, p.summary = codeUnknownBlock, b.title()+" has no block "+quoted(name)
	}
	k, n := b.key(name), b.block(name)
	switch inner := b.home(name); {
	case n != nil && !isBlock:
		p.hint = "write it as a block: " + name + " { ... }"
		if n.soon != "" {
			p = problem{code: codeNotYet, summary: quoted(name) + " is not supported yet", hint: n.soon}
		}
	case k != nil && isBlock:
		p.hint = "write it with an equals sign: " + name + " = ..."
	case inner != "":
		p.hint = name + " belongs in " + inner + " { ... }"
	default:
		p.hint = meant(name, b.names(), "key")
		p.detail = "Known here: " + listed(b.names()) + "."
	}
	r.at(where, p)
}

func (b *block) title() string {
	if b.name == "" {
		return "the configuration"
	}
	return b.name
}

// unknownKind tells which of hcl's complaints are about a name that does not exist.
func unknownKind(summary string) (unknown, isBlock bool) {
	switch summary {
	case "Unsupported argument", "Extraneous JSON object property":
		return true, false
	case "Unsupported block type":
		return true, true
	}
	return false, false
}
