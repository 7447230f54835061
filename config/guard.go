package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const (
	maxFile      = 1 << 20
	maxFiles     = 64
	maxDepth     = 64   // nested brackets
	maxOperators = 5000 // in one file or template: each is a level of recursion
	maxExponent  = 308
	maxBlocks    = 2000 // at the top of all files together, and in one block
	maxLocals    = 1000
	// maxCredentials of one sandbox: a launch reads all of them.
	maxCredentials = 32
)

// guard refuses what the parser, which recurses without a bound, must not be given: it looks at tokens
// only. It refuses "for" too: with it a few lines can take unbounded time and memory.
func guard(src []byte, filename string, isJSON bool) (Range, problem) {
	if len(src) > maxFile {
		return Range{Filename: filename}, problem{code: codeTooLarge, summary: fmt.Sprintf("the file is larger than %s", sizeText(maxFile)), hint: "split it; every *.hcl of a directory is read"}
	}
	if at := firstBad(src); at < len(src) {
		return place(src, filename, at), problem{code: codeEncoding, summary: "the file is not UTF-8 text, or contains NUL", hint: "save it as UTF-8"}
	}
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) {
		return place(src, filename, 0), problem{code: codeEncoding, summary: "the file begins with a byte order mark", hint: "save it as UTF-8 without BOM"}
	}
	if isJSON {
		at, p := guardJSON(src)
		return place(src, filename, at), p
	}
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos) // its diagnostics come again from the parser
	if t, p := guardTokens(tokens); p.code != "" {
		return from(t.Range), p
	}
	return Range{}, problem{}
}

func firstBad(src []byte) int {
	for at := 0; at < len(src); {
		c, n := utf8.DecodeRune(src[at:])
		if c == 0 || c == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
	return len(src)
}

// place is the position of one byte of a file.
func place(src []byte, filename string, at int) Range {
	at = min(at, len(src))
	before := src[:at]
	p := Pos{Line: bytes.Count(before, []byte("\n")) + 1, Byte: at}
	p.Column = utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return Range{Filename: filename, Start: p, End: p}
}

// guardTokens finds the first token that goes beyond a bound.
func guardTokens(tokens hclsyntax.Tokens) (hclsyntax.Token, problem) {
	depth, operators := 0, 0
	var before hclsyntax.TokenType
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth = max(depth-1, 0)
		case hclsyntax.TokenIdent:
			if string(t.Bytes) == "for" && opens(before) {
				return t, problem{code: codeNotYet, summary: "for expressions are not supported", hint: "write the elements out"}
			}
		case hclsyntax.TokenNumberLit:
			if !bounded(string(t.Bytes)) {
				return t, problem{code: codeTooLarge, summary: "the number is too large"}
			}
		default:
			if recurses(t.Type) {
				operators++
			}
		}
		if depth > maxDepth {
			return t, problem{code: codeTooLarge, summary: fmt.Sprintf("brackets are nested deeper than %d", maxDepth)}
		}
		if operators > maxOperators {
			return t, problem{code: codeTooLarge, summary: fmt.Sprintf("the file has more than %d operators", maxOperators)}
		}
		if t.Type != hclsyntax.TokenNewline && t.Type != hclsyntax.TokenComment {
			before = t.Type
		}
	}
	return hclsyntax.Token{}, problem{}
}

func opens(t hclsyntax.TokenType) bool {
	return t == hclsyntax.TokenOBrace || t == hclsyntax.TokenOBrack || t == hclsyntax.TokenTemplateControl
}

// recurses tells the operators that the parser or the evaluator recurses for.
func recurses(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenPlus, hclsyntax.TokenStar, hclsyntax.TokenSlash,
		hclsyntax.TokenPercent, hclsyntax.TokenQuestion, hclsyntax.TokenAnd, hclsyntax.TokenOr,
		hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
		hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq:
		return true
	}
	return false
}

var exponentPattern = regexp.MustCompile(`[eE][+-]?0*(\d+)$`)

func bounded(number string) bool {
	if len(number) > maxExponent {
		return false
	}
	m := exponentPattern.FindStringSubmatch(number)
	if m == nil {
		return true
	}
	e, err := strconv.Atoi(m[1])
	return err == nil && e <= maxExponent
}

// guardJSON walks the document's tokens; strings are templates of the language too. What is not JSON
// passes as long as the parser, which will say what is wrong, can bear it.
func guardJSON(src []byte) (int, problem) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	for depth := 0; ; {
		t, err := dec.Token()
		at := int(dec.InputOffset())
		if errors.Is(err, io.EOF) {
			return 0, problem{}
		}
		if err != nil {
			if bytes.Count(src, []byte("{"))+bytes.Count(src, []byte("[")) > maxOperators {
				return at, problem{code: codeSyntax, summary: "the file is not JSON"}
			}
			return 0, problem{}
		}
		switch v := t.(type) {
		case json.Delim:
			if depth--; v == '{' || v == '[' {
				depth += 2
			}
			if depth > maxDepth {
				return at, problem{code: codeTooLarge, summary: fmt.Sprintf("brackets are nested deeper than %d", maxDepth)}
			}
		case json.Number:
			if !bounded(v.String()) {
				return at, problem{code: codeTooLarge, summary: "the number is too large"}
			}
		case string:
			tokens, _ := hclsyntax.LexTemplate([]byte(v), "", hcl.InitialPos) // its diagnostics come again from the parser
			if _, p := guardTokens(tokens); p.code != "" {
				return at, p
			}
		}
	}
}
