package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

func TestTheKindsOfToolsAreTheProtocols(t *testing.T) {
	if !slices.Equal(toolKinds, sdk.ToolKinds()) {
		t.Errorf("got %v, want %v", toolKinds, sdk.ToolKinds())
	}
}

const twoPermissions = `  permission "b" {
    decision = "deny"
    paths    = ["secrets/**"]
  }
  permission "a" {
    decision = "allow"
    kinds    = ["read"]
    commands = ["go test *"]
  }
`

// The order of permissions decides, so that another order is another meaning.
func TestPermissionsKeepTheirOrder(t *testing.T) {
	w := newWorld(t)
	source := func(rules string) string {
		return strings.Replace(minimal, insertAt["executor"], insertAt["executor"]+rules, 1)
	}
	cfg := w.good(source(twoPermissions))
	got := cfg.Executors[0].Permissions
	if len(got) != 2 || got[0].Name != "b" || got[1].Name != "a" || got[1].Commands[0] != "go test *" || got[0].Declared() != "drawspan.hcl:8" {
		t.Fatalf("got %+v", got)
	}
	first, second, _ := strings.Cut(twoPermissions, "  permission \"a\"")
	turned := w.good(source("  permission \"a\"" + second + first))
	if string(turned.Effective()) == string(cfg.Effective()) {
		t.Error("another order has the same effective form")
	}
}

func TestPermissionsOfOneExecutorAreBounded(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	for i := range maxPermissions + 1 {
		b.WriteString("  permission \"p" + strings.Repeat("x", i%50) + string(rune('a'+i/50)) + "\" {\n    decision = \"ask\"\n    kinds = [\"read\"]\n  }\n")
	}
	_, diags := w.load(strings.Replace(minimal, insertAt["executor"], insertAt["executor"]+b.String(), 1))
	if !diags.HasErrors() || !strings.Contains(rendered(diags), "more than 64 permissions") {
		t.Errorf("got %s", rendered(diags))
	}
}
