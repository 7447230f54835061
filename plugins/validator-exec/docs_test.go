package main

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/drawspan/drawspan/sdk"
)

func TestTheVerdictOfTheGuideIsOne(t *testing.T) {
	guide, err := os.ReadFile("../../host/docs/validators.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)\n## exec:.*?```json\n(.*?)```").FindSubmatch(guide)
	if example == nil {
		t.Fatal("host/docs/validators.md shows no verdict")
	}
	if v, err := read(example[1]); err != nil || v.Outcome != sdk.Fail || len(v.Findings) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestTheExampleOfTheGuideIsAccepted(t *testing.T) {
	guide, err := os.ReadFile("../../host/docs/validators.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)\n## exec:.*?```hcl\n(.*?)```").FindSubmatch(guide)
	if example == nil {
		t.Fatal("host/docs/validators.md has no example")
	}
	file, diags := hclsyntax.ParseConfig(example[1], "validators.md", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok || len(body.Blocks) != 1 || len(body.Blocks[0].Body.Blocks) != 1 {
		t.Fatal("the example is not one gate with one config block")
	}
	config := map[string]json.RawMessage{}
	for name, attribute := range body.Blocks[0].Body.Blocks[0].Body.Attributes {
		value, diags := attribute.Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if config[name], err = ctyjson.Marshal(value, value.Type()); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := sdk.CheckConfig(manifest.Config, raw); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	if err := (program{}).Configure(t.Context(), raw); err != nil {
		t.Error(err)
	}
}
