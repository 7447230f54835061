package config

import (
	"bytes"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
)

// maxPasses bounds the repetition that makes Format idempotent where one pass of hclwrite is not.
const maxPasses = 8

// Format is the canonical form of one HCL file. Broken input comes back unchanged with diagnostics, and
// so does a .json file, which has no canonical form here.
func Format(src []byte, filename string) ([]byte, Diagnostics) {
	rep := newReporter()
	if strings.HasSuffix(filename, ".json") {
		rep.at(Range{Filename: filename}, problem{code: codeSyntax, summary: "only HCL files are formatted, not JSON"})
		return src, rep.done()
	}
	if _, ok := rep.parse(src, filename); !ok || rep.diags.HasErrors() {
		return src, rep.done()
	}
	out := src
	for range maxPasses {
		next := hclwrite.Format(out)
		if bytes.Equal(next, out) {
			return out, nil
		}
		out = next
	}
	return out, nil
}
