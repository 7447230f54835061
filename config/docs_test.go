package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	snippetPattern = regexp.MustCompile("(?s)```hcl\n(.*?)```")
	missingPattern = regexp.MustCompile(`^(gate|sandbox|executor) "([a-z0-9-]+)" is not declared`)
)

// Every piece of HCL on the pages about gates loads, with what it leaves out filled in: a workspace around
// gates, and the names that it takes from elsewhere.
func TestTheGatesOfThePagesLoad(t *testing.T) {
	w := newWorld(t)
	found := 0
	for _, page := range []string{"gates.md", "validators.md"} {
		text, err := os.ReadFile(filepath.Join("..", "host", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range snippetPattern.FindAllStringSubmatch(string(text), -1) {
			found++
			if diags := w.loadPiece(m[1]); diags.HasErrors() {
				t.Errorf("%s: %s\nin\n%s", page, rendered(diags), m[1])
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d pieces were found", found)
	}
}

func TestTheProjectsOwnGatesLoad(t *testing.T) {
	w := newWorld(t)
	dir, err := filepath.Abs("../.drawspan")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir) // a link on the way to a gate file is refused
	}
	if err != nil {
		t.Fatal(err)
	}
	src := w.source()
	src.Paths = []string{filepath.Join(dir, "drawspan.hcl")}
	src.Vars = map[string]string{"root": filepath.Join(w.home, "src/api"), "gates": filepath.Join(dir, "gates.hcl")}
	cfg, diags := Load(src)
	if diags.HasErrors() {
		t.Fatal(rendered(diags))
	}
	if got := gateNames(cfg.Workspaces[0]); got != "paths diff secrets deps tests coverage" {
		t.Errorf("gates are %s", got)
	}
}

// loadPiece declares what a piece names, until it loads or something else is wrong.
func (w *world) loadPiece(piece string) Diagnostics {
	gates, rest := "", "sandbox \"agent\" {}\nexecutor \"agent\" {\n  plugin = \"command\"\n  sandbox = \"agent\"\n}\n"
	var diags Diagnostics
	for range 10 {
		text := "version = 1\n" + rest
		switch {
		case strings.Contains(piece, "workspace \""):
			text += piece
		case strings.Contains(piece, "gate \""):
			text += "workspace \"w\" {\n  root = \"~/src/api\"\n  base = \"main\"\n  executors = [\"agent\"]\n" + gates + piece + "}\n"
		default:
			text += piece + "workspace \"w\" {\n  root = \"~/src/api\"\n  base = \"main\"\n  executors = [\"agent\"]\n}\n"
		}
		if _, diags = w.load(text); !diags.HasErrors() {
			return diags
		}
		more := false
		for _, d := range diags {
			switch m := missingPattern.FindStringSubmatch(d.Summary); {
			case m == nil:
			case m[1] == "gate" && !strings.Contains(gates, `"`+m[2]+`"`):
				gates, more = gates+"  gate \""+m[2]+"\" {\n    hold = \"x\"\n  }\n", true
			case m[1] == "sandbox" && !strings.Contains(rest, `"`+m[2]+`"`):
				rest, more = rest+"sandbox \""+m[2]+"\" {}\n", true
			}
		}
		if !more {
			return diags
		}
	}
	return diags
}
