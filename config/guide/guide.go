// Package guide reads the examples of the pages in host/docs, so that a plugin's test can hold its own to them.
//
// It guarantees: what a page does not have, or what is not one config block in one block, fails the test.
//
// It must not know: the plugins, and what they make of an example.
package guide

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// pages is where the pages are for a test of a plugin, which runs in the directory of that.
const pages = "../../host/docs/"

// Example is the first match of a pattern's group in a page.
func Example(t testing.TB, page, pattern string) []byte {
	t.Helper()
	text, err := os.ReadFile(pages + page)
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)" + pattern).FindSubmatch(text)
	if example == nil {
		t.Fatalf("host/docs/%s has nothing like %q", page, pattern)
	}
	return example[1]
}

// Validator is the example in a language, hcl or json, of the section about a validator.
func Validator(t testing.TB, name, language string) []byte {
	t.Helper()
	return Example(t, "validators.md", "\n## "+name+":.*?```"+language+"\n(.*?)```")
}

// Config is the config block of a gate or an executor, as its plugin is given it.
func Config(t testing.TB, example []byte) json.RawMessage {
	t.Helper()
	file, diags := hclsyntax.ParseConfig(example, "example.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok || len(body.Blocks) != 1 || len(body.Blocks[0].Body.Blocks) != 1 {
		t.Fatal("the example is not one block with one config block")
	}
	config := map[string]json.RawMessage{}
	for name, attribute := range body.Blocks[0].Body.Blocks[0].Body.Attributes {
		value, diags := attribute.Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		raw, err := ctyjson.Marshal(value, value.Type())
		if err != nil {
			t.Fatal(err)
		}
		config[name] = raw
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
