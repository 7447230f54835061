package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

func seeds(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(full))
	f.Add([]byte(faulty))
	f.Add([]byte(withVariables))
	f.Add([]byte(`{"version":1,"sandbox":{"box":{"limits":{"wall":"1m"}}},"locals":{"a":"${[1][0]}"}}`))
	f.Add([]byte(inWorkspace("  gates = [\"common\"]", commonSet)))
	for _, b := range badOnes {
		f.Add([]byte(b.source()))
	}
}

func FuzzLoad(f *testing.F) {
	seeds(f)
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src/api"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		name := "drawspan.hcl"
		if bytes.HasPrefix(text, []byte("{")) {
			name = "drawspan.hcl.json"
		}
		here := t.TempDir()
		if err := os.WriteFile(filepath.Join(here, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, diags := Load(Source{Paths: []string{name}, Dir: here, Home: dir, Vars: map[string]string{"limit": "3"}})
		if (cfg == nil) != diags.HasErrors() {
			t.Fatalf("config %v with problems %v", cfg != nil, rendered(diags))
		}
		for _, d := range diags {
			if Explain(d.Code) == "" || d.Summary == "" {
				t.Fatalf("incomplete: %+v", d)
			}
		}
		var b bytes.Buffer
		if err := diags.JSON(&b); err != nil || !json.Valid(b.Bytes()) {
			t.Fatalf("JSON: %v", err)
		}
		if text := rendered(diags); strings.ContainsRune(text, '\x1b') {
			t.Fatalf("escape in %q", text)
		}
		if cfg != nil && !json.Valid(cfg.Effective()) {
			t.Fatalf("effective: %s", cfg.Effective())
		}
	})
}

// A condition that loads is evaluated over facts at both ends, and over none, without a panic; where a gate
// that it asks about is missing, it is an error.
func FuzzCondition(f *testing.F) {
	for _, text := range []string{
		`diff.lines > 400 || touches(diff, "go.mod", "**/*.sum")`, `gates.tests.verdict == "pass" && gates["cov-1"].metrics.percent < 80`,
		`usage != null && usage.cost > 0.5`, `claims.failed ? executor.simulated : contains(diff.paths, "a")`, `gates.tests.metrics["a b"] / diff.files > 1`,
	} {
		f.Add(text, "a/b.c", 3.5)
	}
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src/api"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, path string, metric float64) {
		here := t.TempDir()
		if err := os.WriteFile(filepath.Join(here, "drawspan.hcl"), []byte(asking(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, _ := Load(Source{Paths: []string{"drawspan.hcl"}, Dir: here, Home: dir})
		if cfg == nil || len(cfg.Workspaces[0].Gates) < 3 || cfg.Workspaces[0].Gates[2].When == nil {
			return
		}
		c := cfg.Workspaces[0].Gates[2].When
		facts := everything
		facts.Gates = map[string]sdk.GateFact{}
		for _, name := range []string{"tests", "cov-1"} {
			facts.Gates[name] = sdk.GateFact{Verdict: path, Metrics: map[string]float64{"percent": metric, "a b": metric}}
		}
		first, err := c.Eval(facts, []string{path})
		if second, again := c.Eval(facts, []string{path}); first != second || (err == nil) != (again == nil) || err != nil && first {
			t.Fatalf("%q: %v, %v and then %v, %v", text, first, err, second, again)
		}
		if ok, err := c.Eval(sdk.Facts{}, nil); len(c.Gates) > 0 && (ok || err == nil) {
			t.Fatalf("%q holds without the gates that it asks about: %v, %v", text, ok, err)
		}
	})
}

// Whatever a gate file holds, a workspace gets nothing from it but gates.
func FuzzGateFile(f *testing.F) {
	f.Add([]byte("gate \"a\" {\n  hold = \"x\"\n}\n"))
	f.Add([]byte(commonSet))
	f.Add([]byte("gate \"a\" {\n  validator = \"x\"\n  sandbox = \"box\"\n  when = gates.a.verdict == var.x\n  config {\n    a = [1]\n  }\n}\n"))
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src/api"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		files := map[string][]byte{"/c/drawspan.hcl": []byte(inWorkspace("  gates = [\"s\"]", "gates \"s\" {\n  file = \"gates.hcl\"\n}\n")), "/c/gates.hcl": text}
		cfg, diags := Load(Source{Paths: []string{"drawspan.hcl"}, Dir: "/c", Home: dir, Read: func(name string) ([]byte, error) { return files[name], nil }})
		if (cfg == nil) != diags.HasErrors() {
			t.Fatalf("config %v with problems %v", cfg != nil, rendered(diags))
		}
		if cfg == nil {
			return
		}
		if len(cfg.Workspaces) != 1 || len(cfg.Executors) != 1 || len(cfg.Sandboxes) > 2 || len(cfg.Variables) != 0 || len(cfg.Workspaces[0].Gates) == 0 {
			t.Fatalf("more than gates came of %q: %s", text, cfg.Effective())
		}
	})
}

func FuzzFormat(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		once, diags := Format(text, "x.hcl")
		if diags.HasErrors() {
			if !bytes.Equal(once, text) {
				t.Fatal("broken input was changed")
			}
			return
		}
		twice, diags := Format(once, "x.hcl")
		if diags.HasErrors() || !bytes.Equal(twice, once) {
			t.Fatalf("not stable: %q then %q (%s)", once, twice, rendered(diags))
		}
	})
}
