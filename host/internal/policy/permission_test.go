package policy

import (
	"strings"
	"testing"

	"github.com/drawspan/drawspan/config"
)

func withPermission(w *world, rules string) *config.Config {
	w.t.Helper()
	return w.load(strings.Replace(text, "  sandbox = \"box\"\n", "  sandbox = \"box\"\n"+rules, 1))
}

func TestPermissionsAreCompiledInTheirOrder(t *testing.T) {
	w := newWorld(t)
	p := w.compile(withPermission(w, "  permission \"z\" {\n    decision = \"deny\"\n    paths = [\"a/**\"]\n  }\n  permission \"a\" {\n    decision = \"allow\"\n    commands = [\"go test *\"]\n  }\n"))
	rules := p.Executors["fmt"].Permissions
	if len(rules) != 2 || rules[0].Name != "z" || rules[0].Decision != "deny" || rules[1].Commands[0] != "go test *" || !strings.HasPrefix(rules[1].Declared, "drawspan.hcl:") {
		t.Errorf("got %+v", rules)
	}
}

func TestACommandPatternThatCannotMatchIsRefusedAtItsPlace(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{"go test && rm x", "go test > x", "$SHELL x", "open 'quote", "", "A=1 go test"} {
		cfg := withPermission(w, "  permission \"a\" {\n    decision = \"allow\"\n    commands = [\"ls\",\n      \""+text+"\"]\n  }\n")
		p, diags := Compile(cfg, w.host())
		if p != nil || len(diags) != 1 || diags[0].Code != "invalid_command" || diags[0].Hint == "" || diags[0].Range.String() == "" || config.Explain(diags[0].Code) == "" {
			t.Errorf("%q: got %v, %+v", text, p, diags)
		}
	}
}

func TestWhatAPermissionWidensIsSaid(t *testing.T) {
	w := newWorld(t)
	deny := "  permission \"a\" {\n    decision = \"deny\"\n    kinds = [\"read\"]\n  }\n"
	none, some, more := withPermission(w, ""), withPermission(w, deny), withPermission(w, strings.Replace(deny, "deny", "allow", 1))
	for _, row := range []struct {
		from, to *config.Config
		widens   bool
	}{{none, some, true}, {some, none, true}, {some, more, true}, {more, some, false}} {
		if got := Diff(row.from, row.to); len(got) != 1 || got[0].Widens != row.widens {
			t.Errorf("got %+v, want widens=%v", got, row.widens)
		}
	}
}
