package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestExamples plays every example: its walk.txtar, with the files beside it.
func TestExamples(t *testing.T) {
	walks, err := filepath.Glob(filepath.Join(root(), "examples", "*", "walk.txtar"))
	if err != nil || len(walks) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	dir := t.TempDir()
	for _, walk := range walks {
		text, err := os.ReadFile(walk)
		if err != nil {
			t.Fatal(err)
		}
		// The script is named for its example.
		name := filepath.Base(filepath.Dir(walk)) + ".txtar"
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, params(t, dir, func(env *testscript.Env) error {
		example := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
		return os.CopyFS(env.Cd, os.DirFS(filepath.Join(root(), "examples", example)))
	}))
}

// TestEveryExampleHasAWalk holds that no example is only read.
func TestEveryExampleHasAWalk(t *testing.T) {
	examples, err := filepath.Glob(filepath.Join(root(), "examples", "*", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		info, err := os.Stat(e)
		if err != nil || !info.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(e, "walk.txtar")); err != nil {
			t.Errorf("%s is played by no script: %v", filepath.Base(e), err)
		}
	}
}

// TestTheGuideShowsTheExampleWhole holds that the executor which the guide shows is the one that is built
// and tested.
func TestTheGuideShowsTheExampleWhole(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join(root(), "host", "docs", "plugins.md"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(root(), "examples", "executor-hello", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), "```go\n"+string(program)+"```\n") {
		t.Error("host/docs/plugins.md does not show examples/executor-hello/main.go as it is")
	}
}
