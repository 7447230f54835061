package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// F10: the predecessor read a policy file whose keys did not match its struct, and every rule in it was
// off without a word. Here each key that does not work, and each that does not exist, is an error in
// every block of the language.
func TestF10_NothingWrittenIsEverIgnored(t *testing.T) {
	w := newWorld(t)
	refused := func(inner, code, name string, open, end string) {
		t.Helper()
		_, diags := w.load("version = 1\n" + open + inner + "\n" + end)
		found := slices.ContainsFunc(diags, func(d Diagnostic) bool {
			return d.Code == code && strings.Contains(d.Summary, name) && d.Hint != "" && d.Range.Start.Line == 2+strings.Count(open, "\n")
		})
		if !found {
			t.Errorf("%s%s: got %q, want %s", open, inner, brief(diags), code)
		}
	}
	var visit func(b *block, open, end string)
	visit = func(b *block, open, end string) {
		refused("any_validation_fails = true", codeUnknownKey, "any_validation_fails", open, end)
		refused("escalate {}", codeUnknownBlock, "escalate", open, end)
		for _, k := range b.keys {
			if k.soon != "" {
				refused(k.name+" = 1", codeNotYet, k.name, open, end)
				refused(k.name+" {}", codeUnknownBlock, k.name, open, end)
			} else if !k.required {
				refused(strings.ToUpper(k.name)+" = 1", codeUnknownKey, strings.ToUpper(k.name), open, end)
			}
		}
		for i := range b.blocks {
			n := &b.blocks[i]
			header := n.name
			if n.label != "" {
				header += ` "executor-x"`
			}
			if n.soon != "" {
				refused(header+" {}", codeNotYet, n.name, open, end)
				refused(n.name+" = 1", codeNotYet, n.name, open, end)
			} else if !n.free {
				visit(n, open+header+" {\n", "}\n"+end)
			}
		}
	}
	visit(&root, "", "")
}

func acme(kind, plugin string) ([]Attribute, bool) {
	if plugin != "command" {
		return nil, false
	}
	return []Attribute{
		{Name: "program", Type: "list(string)", Required: true, Doc: "What to run."},
		{Name: "times", Type: "number"}, {Name: "quick", Type: "bool"}, {Name: "env", Type: "map(string)"},
		{Name: "title", Type: "string"}, {Name: "extra", Type: "any"},
	}, kind == "executor"
}

func TestAPluginsConfigIsCheckedAgainstItsSchema(t *testing.T) {
	w := newWorld(t)
	src := w.source()
	src.Attributes = acme
	text := func(lines ...string) string {
		return strings.Replace(minimal, "  sandbox = \"box\"\n", "  sandbox = \"box\"\n  config {\n    "+strings.Join(lines, "\n    ")+"\n  }\n", 1)
	}
	cfg := w.mustLoad(text(`program = ["a", "-v", "-v"]`, `times = 2`, `quick = true`, `env = { A = "b" }`, `title = "x"`, `extra = [1, { a = null }]`), src)
	if got, want := string(cfg.Executors[0].Config), `{"env":{"A":"b"},"extra":[1,{"a":null}],"program":["a","-v","-v"],"quick":true,"times":2,"title":"x"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, row := range []struct{ text, want, hint string }{
		{minimal, "missing_attribute 5:1", "add to config: program"},
		{text(), "missing_attribute 8:3", "add to config: program"},
		{text(`program = ["a"]`, `titel = "x"`), "unknown_attribute 10:5", `did you mean "title"?`},
		{text(`program = "a"`), "wrong_type 9:15", ""},
		{text(`program = ["a", 1]`), "wrong_type 9:15", ""},
		{text(`program = ["a"]`, `times = "2"`), "wrong_type 10:13", ""},
		{text(`program = ["a"]`, `quick = 1`), "wrong_type 10:13", ""},
		{text(`program = ["a"]`, `env = { A = 1 }`), "wrong_type 10:11", ""},
		{text(`program = ["a"]`, `sub {}`), "unknown_block 10:5", ""},
	} {
		w.write("drawspan.hcl", row.text)
		_, diags := Load(src)
		if got := brief(diags); !slices.Equal(got, []string{row.want}) || !strings.Contains(diags[0].Hint, row.hint) {
			t.Errorf("got %q (%s), want %q in\n%s", got, rendered(diags), row.want, row.text)
		}
	}
}

func TestAnUnknownPluginTakesAnyAttribute(t *testing.T) {
	w := newWorld(t)
	src := w.source()
	src.Attributes = acme
	other := strings.Replace(minimal, `"command"`, `"other"`, 1)
	cfg := w.mustLoad(strings.Replace(other, "  sandbox = \"box\"\n", "  sandbox = \"box\"\n  config {\n    a = 0.25\n    b = \"<&>\"\n  }\n", 1), src)
	if got, want := string(cfg.Executors[0].Config), `{"a":0.25,"b":"<&>"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if at := cfg.Executors[0].At("config.b"); fmt.Sprint(at) != "drawspan.hcl:10" {
		t.Errorf("config.b is at %s", at)
	}
}
