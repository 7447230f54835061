package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func seeds(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(full))
	f.Add([]byte(faulty))
	f.Add([]byte(withVariables))
	f.Add([]byte(`{"version":1,"sandbox":{"box":{"limits":{"wall":"1m"}}},"locals":{"a":"${[1][0]}"}}`))
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
