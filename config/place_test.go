package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const placedConfig = `version = 1
ci {
  floor = "guarded"
}
sandbox "box" {}
executor "sh" {
  plugin  = "command"
  sandbox = "box"
}
workspace "api" {
  root      = "/not/on/this/machine"
  base      = "main"
  executors = ["sh"]
}
workspace "web" {
  root      = "/nor/this"
  base      = "main"
  executors = ["sh"]
}
`

// placed loads a text as from a commit, with a root.
func placed(t *testing.T, text, root, workspace string) (*Config, Diagnostics) {
	t.Helper()
	return Load(Source{Paths: []string{"drawspan.hcl"}, Dir: "/repo", Home: t.TempDir(), Root: root, Workspace: workspace,
		Read: func(path string) ([]byte, error) {
			if path != filepath.Clean("/repo/drawspan.hcl") {
				return nil, os.ErrNotExist
			}
			return []byte(text), nil
		}})
}

func TestARootOfTheCallerStandsForTheWorkspacesOwn(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg, diags := placed(t, placedConfig, root, "web")
	if cfg == nil {
		t.Fatal(diags)
	}
	if cfg.Workspace("web").Root != root || cfg.Workspace("api").Root != "" || cfg.CI.Floor != "guarded" {
		t.Errorf("roots %q and %q, floor %q", cfg.Workspace("web").Root, cfg.Workspace("api").Root, cfg.CI.Floor)
	}
	if cfg, _ := placed(t, placedConfig, "", ""); cfg != nil {
		t.Error("without a root of the caller's the declared ones are not looked at")
	}
}

func TestAFloorOfCIIsALevelThatConfines(t *testing.T) {
	for _, text := range []string{`floor = "off"`, `floor = "none"`, `level = "strict"`} {
		_, diags := placed(t, strings.Replace(placedConfig, `floor = "guarded"`, text, 1), t.TempDir(), "api")
		if !diags.HasErrors() {
			t.Errorf("%s is taken", text)
		}
	}
	if _, diags := placed(t, placedConfig+"ci {}\n", t.TempDir(), "api"); !diags.HasErrors() {
		t.Error("two blocks are taken")
	}
}
