package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/drawspan/drawspan/host/internal/work"
)

// packages are the small projects whose tests are run: each does a little of what tests do, and ends.
var packages = map[string]string{
	"gopkg/go.mod":        "module bench\n\ngo 1.26\n",
	"gopkg/bench.go":      "package bench\n\nimport \"strings\"\n\nfunc Upper(s string) string { return strings.ToUpper(s) }\n",
	"gopkg/bench_test.go": goTestText,
	"npmpkg/package.json": `{"name":"bench","version":"1.0.0","scripts":{"test":"node test.js"}}` + "\n",
	"npmpkg/test.js":      npmTestText,
}

const goTestText = `package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestUpper(t *testing.T) {
	dir := t.TempDir()
	for n := range 100 {
		name := filepath.Join(dir, fmt.Sprint(n))
		if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(name); err != nil || Upper(string(text)) != "TEXT" {
			t.Fatal(err)
		}
	}
}
`

const npmTestText = `const assert = require("assert"), fs = require("fs"), os = require("os"), path = require("path");
const dir = fs.mkdtempSync(path.join(os.tmpdir(), "bench-"));
for (let n = 0; n < 100; n++) {
  const name = path.join(dir, String(n));
  fs.writeFileSync(name, "text");
  assert.strictEqual(fs.readFileSync(name, "utf8").toUpperCase(), "TEXT");
}
fs.rmSync(dir, { recursive: true });
`

func writePackages(tree string) error {
	for name, text := range packages {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write the packages: %w", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write the packages: %w", err)
		}
	}
	return nil
}

func openChore(_ *site, t *shadowed) (*chore, error) {
	return &chore{
		name: "open", args: []string{"open", "101", filepath.Join(t.tree, "d00", "f0000.txt")}, rounds: rounds{warm: 1, kept: 20}, bar: 1.6,
		note: "open and close of a file of the tree, from Go; floor: the same outside",
	}, nil
}

func statusChore(_ *site, _ *shadowed) (*chore, error) {
	return &chore{
		name: "status", args: []string{"run", "7", "git", "status", "--short"}, env: []string{"GIT_CONFIG_NOSYSTEM=1"},
		rounds: rounds{warm: 2, kept: 25}, bar: 1.1,
		note: fmt.Sprintf("warm git status of %d files through the shadow git directory; floor: the same outside", thousands),
	}, nil
}

// goTestChore runs a fixed small package's tests with the caches that the go toolchain preset gives.
func goTestChore(s *site, t *shadowed) (*chore, error) {
	c := &chore{name: "go-test", rounds: rounds{warm: 1, kept: 12}, bar: 1.1}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		c.note = "not measurable here: there is no go command"
		return c, nil
	}
	goroot, err := filepath.EvalSymlinks(strings.TrimSpace(string(root)))
	if err != nil {
		return nil, fmt.Errorf("find the Go root: %w", err)
	}
	cache, err := s.dir("go-cache")
	if err != nil {
		return nil, err
	}
	c.chain = []work.Toolchain{{
		Name: "go", Read: []string{goroot}, Overlay: []string{cache}, Path: []string{filepath.Join(goroot, "bin")},
		Env: map[string]string{
			"GOROOT": goroot, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOSUMDB": "off", "GOENV": "off", "GOTELEMETRY": "off",
			"GOFLAGS": "-buildvcs=false", "GOCACHE": cache, "CGO_ENABLED": "0",
		},
	}}
	c.args = []string{"run", "1", filepath.Join(goroot, "bin", "go"), "-C", filepath.Join(t.tree, "gopkg"), "test", "-count=1", "./..."}
	program, err := s.floorProgram("inner")
	if err != nil {
		return nil, err
	}
	if _, err := c.outside(t, program); err != nil { // fills the cache
		return nil, err
	}
	c.note = "go test -count=1 of a small package, its build cached in the toolchain preset's overlay; floor: the same outside"
	return c, nil
}

func npmTestChore(_ *site, t *shadowed) (*chore, error) {
	c := &chore{name: "npm-test", rounds: rounds{warm: 1, kept: 12}, bar: 1.1}
	for _, program := range []string{"/usr/bin/node", "/usr/bin/npm"} {
		if _, err := os.Stat(program); err != nil {
			c.note = "not measurable here: node and npm are not in /usr/bin"
			return c, nil
		}
	}
	c.args = []string{"run", "1", "/usr/bin/npm", "--offline", "--prefix", filepath.Join(t.tree, "npmpkg"), "test"}
	c.env = []string{"npm_config_update_notifier=false"}
	c.note = "npm test of a small package; floor: the same outside"
	return c, nil
}
