package policy

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/work"
)

// world is a home with a repository and a Go installation that is only a shape.
type world struct {
	t         *testing.T
	dir, home string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, home: filepath.Join(dir, "home")}
	w.mkdir("home/src/api", "home/src/web", "home/data", "home/go/pkg/mod", "home/.cache/go-build")
	w.goRoot("sdk/go1")
	return w
}

func (w *world) mkdir(names ...string) {
	w.t.Helper()
	for _, n := range names {
		if err := os.MkdirAll(filepath.Join(w.dir, n), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) goRoot(name string) {
	w.t.Helper()
	w.mkdir(name+"/bin", name+"/src", name+"/pkg")
	if err := os.WriteFile(filepath.Join(w.dir, name, "bin/go"), []byte("#!/bin/false\n"), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) load(text string) *config.Config {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "drawspan.hcl"), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	cfg, diags := config.Load(config.Source{Paths: []string{"drawspan.hcl"}, Home: w.home, Dir: w.dir})
	if diags.HasErrors() {
		w.t.Fatal(text, diags.Err())
	}
	return cfg
}

func (w *world) host() Host {
	return Host{Home: w.home, Path: "relative:/nowhere:" + filepath.Join(w.dir, "sdk/go1/bin")}
}

const text = `version = 1

daemon {
  max_parallel = 3
  stop {
    protocol  = "1s"
    interrupt = "2s"
    terminate = "3s"
  }
}

sandbox "box" {
  toolchain "go" {}
  env {
    set = { CI = "1" }
  }
  filesystem {
    read = ["~/src/web"]
  }
}

executor "fmt" {
  plugin  = "command"
  sandbox = "box"
  config {
    program = ["gofmt"]
  }
}

workspace "api" {
  root      = "~/src/api"
  base      = "main"
  bases     = ["feature/*"]
  executors = ["fmt"]
  paths {
    forbid = ["*.pem", ".github/**"]
  }
  provision {
    copy = [".env"]
  }
  gate "paths" {
    validator = "paths"
  }
  gate "tests" {
    validator = "command"
    sandbox   = "box"
    needs     = ["paths"]
    timeout   = "5m"
    config {
      run = ["go", "test"]
    }
  }
  gate "review" {
    when = diff.lines > 4 || diff.files > 2 || diff.binary > 0 || touches(diff, "go.mod")
    hold = "look"
  }
}
`

func (w *world) compile(cfg *config.Config) *work.Policy {
	w.t.Helper()
	p, diags := Compile(cfg, w.host())
	if diags.HasErrors() {
		w.t.Fatal(diags.Err())
	}
	return p
}

// level is the level of a sandbox that names none.
const level = "strict"

func TestCompileCarriesEverythingOver(t *testing.T) {
	w := newWorld(t)
	p := w.compile(w.load(text))
	box := p.Executors["fmt"].Sandbox
	goroot, modules, builds := filepath.Join(w.dir, "sdk/go1"), filepath.Join(w.home, "go/pkg/mod"), filepath.Join(w.home, ".cache/go-build")
	want := &work.SandboxPolicy{
		Name: "box", Level: level, OnShortfall: "refuse", Backend: "auto", Sensitive: "flag", Import: "pack",
		Write: []string{}, Protect: []string{}, Pass: []string{}, Calls: []string{}, Network: work.NetworkPolicy{Mode: "none", Allow: []string{}}, Read: []string{filepath.Join(w.home, "src/web")},
		Env: map[string]string{"CI": "1"}, Processes: 512, OpenFiles: 4096, FileSize: 2 << 30, Tmp: 512 << 20,
		Output: 64 << 20, Wall: 30 * time.Minute, Declared: "drawspan.hcl:12",
		Widenings: []work.Widening{
			{Sandbox: "box", Key: "filesystem.read", Value: filepath.Join(w.home, "src/web"), Declared: "drawspan.hcl:18"},
			{Sandbox: "box", Key: "toolchain", Value: "go", Declared: "drawspan.hcl:13"},
		},
		Toolchains: []work.Toolchain{{
			Name: "go", Read: []string{goroot, modules}, Overlay: []string{builds}, Path: []string{filepath.Join(goroot, "bin")},
			Env: map[string]string{
				"GOROOT": goroot, "GOMODCACHE": modules, "GOCACHE": builds, "GOFLAGS": "-buildvcs=false", "GOPROXY": "off",
				"GOSUMDB": "off", "GOTOOLCHAIN": "local", "GOENV": "off", "GOTELEMETRY": "off",
			},
		}},
	}
	if !reflect.DeepEqual(box, want) {
		t.Errorf("sandbox:\ngot  %+v\nwant %+v", box, want)
	}
	ws := p.Workspaces["api"]
	gates := ws.Gates
	ws.Gates = nil
	wantWS := &work.Workspace{
		Name: "api", Root: filepath.Join(w.home, "src/api"), Base: "main", Bases: []string{"feature/*", "main"}, Executors: []string{"fmt"},
		Paths:     work.PathRules{Write: []string{"**"}, Forbid: []string{"*.pem", ".github/**"}},
		Provision: work.Provision{Copy: []string{".env"}, Link: []string{}}, Wall: time.Hour, Declared: "drawspan.hcl:30",
	}
	if !reflect.DeepEqual(ws, wantWS) {
		t.Errorf("workspace:\ngot  %+v\nwant %+v", ws, wantWS)
	}
	if g := gates[0]; g.Sandbox == nil || g.Sandbox.Name != "default" || g.Sandbox.Level != level || g.Sandbox.Wall != 30*time.Minute || string(g.Config) != "{}" {
		t.Errorf("gate paths: %+v in %+v", g, g.Sandbox)
	}
	if g := gates[1]; g.Name != "tests" || g.Validator != "command" || g.Timeout != 5*time.Minute || g.OnFail != "fail" ||
		string(g.Config) != `{"run":["go","test"]}` || !slices.Equal(g.Needs, []string{"paths"}) || g.Declared != "drawspan.hcl:44" {
		t.Errorf("gate tests: %+v", g)
	}
	if g := gates[2]; g.Validator != "" || g.Sandbox != nil || g.Hold != "look" || g.Deadline != 24*time.Hour || g.Default != "fail" {
		t.Errorf("gate review: %+v", g)
	}
	if e := p.Executors["fmt"]; e.Plugin != "command" || string(e.Config) != `{"program":["gofmt"]}` || e.Question != (work.QuestionPolicy{Deadline: 10 * time.Minute, Default: "deny"}) {
		t.Errorf("executor: %+v", e)
	}
	if p.MaxParallel != 3 || p.Stop != (work.StopLadder{Protocol: time.Second, Interrupt: 2 * time.Second, Terminate: 3 * time.Second}) || p.Output != 64<<20 {
		t.Errorf("policy: %+v", p)
	}
}

// F10: a key that a gate shows and that the policy does not carry would be a rule that nobody enforces.
func TestF10_EveryKeyOfAGateReachesItsRule(t *testing.T) {
	w := newWorld(t)
	whole := strings.Replace(text, "  gate \"review\" {", `  gate "whole" {
    validator = "command"
    sandbox   = "box"
    needs     = ["paths"]
    when      = gates.tests.verdict == "pass"
    paths     = ["**/*.go"]
    on_fail   = "hold"
    on_error  = "hold"
    optional  = true
    hold      = "look"
    deadline  = "1h"
    default   = "pass"
    timeout   = "2m"
    retries   = 3
    config {
      run = ["x"]
    }
  }
  gate "review" {`, 1)
	rule := w.compile(w.load(whole)).Workspaces["api"].Gates[2]
	v := reflect.ValueOf(rule)
	for i := range v.NumField() {
		// The host's own, or from the lock file.
		if name := v.Type().Field(i).Name; !slices.Contains([]string{"Builtin", "Feeds", "Pure", "Resident", "Digest"}, name) && v.Field(i).IsZero() {
			t.Errorf("%s is lost", name)
		}
	}
	if !slices.Equal(rule.After, []string{"tests"}) || !slices.Equal(rule.Paths, []string{"**/*.go"}) || rule.Retries != 3 || rule.Timeout != 2*time.Minute || rule.OnError != "hold" {
		t.Errorf("rule %+v", rule)
	}
	known := work.Facts{Gates: map[string]work.GateFact{"tests": {Verdict: work.VerdictPass}}}
	if met, err := rule.When.Eval(known); !met || err != nil {
		t.Errorf("got %v, %v", met, err)
	}
	if met, err := rule.When.Eval(work.Facts{}); met || err == nil {
		t.Errorf("without the gate that it asks about: got %v, %v", met, err)
	}
	keys := 0
	for _, s := range w.load(whole).Settings() {
		if s.Block == `workspace "api" gate "whole"` {
			keys++
		}
	}
	if want := v.NumField() - len([]string{"Name", "Builtin", "After", "Feeds", "Pure", "Resident", "Digest", "Declared"}); keys != want {
		t.Errorf("a gate shows %d keys, a rule has %d", keys, want)
	}
}

func TestConditionsSeeTheFactsOfADiff(t *testing.T) {
	w := newWorld(t)
	when := w.compile(w.load(text)).Workspaces["api"].Gates[2].When
	file := func(path, old string) work.Change { return work.Change{Path: path, OldPath: old} }
	for name, row := range map[string]struct {
		diff work.DiffFacts
		want bool
	}{
		"nothing":     {work.DiffFacts{}, false},
		"lines":       {work.DiffFacts{Insertions: 2, Deletions: 3}, true},
		"few lines":   {work.DiffFacts{Insertions: 2, Deletions: 2}, false},
		"files":       {work.DiffFacts{Files: []work.Change{file("a", ""), file("b", ""), file("c", "")}}, true},
		"binary":      {work.DiffFacts{Binary: 1}, true},
		"a path":      {work.DiffFacts{Files: []work.Change{file("go.mod", "")}}, true},
		"a moved one": {work.DiffFacts{Files: []work.Change{file("go.mod.bak", "go.mod")}}, true},
	} {
		if got, err := when.Eval(work.Facts{Diff: row.diff}); got != row.want || err != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if when.Text == "" {
		t.Error("the condition has no text")
	}
}

// S5: nothing but a file and a reload makes a policy wider. The value has no way to be changed, and what
// happens to a Config after it was compiled does not reach it.
func TestS5_ThePolicyHasNoSetterAndSharesNothing(t *testing.T) {
	if n := reflect.TypeFor[*work.Policy]().NumMethod(); n != 0 {
		t.Errorf("work.Policy has %d methods; a policy is only read", n)
	}
	w := newWorld(t)
	cfg := w.load(text)
	before, after := w.compile(cfg), w.compile(cfg)
	ws, s := cfg.Workspaces[0], cfg.Sandbox("box")
	for _, list := range [][]string{ws.Bases, ws.Executors, ws.Write, ws.Forbid, ws.Provision, ws.Gates[1].Needs, s.Read} {
		list[0] = "changed"
	}
	for _, raw := range [][]byte{cfg.Executors[0].Config, ws.Gates[1].Config} {
		raw[2] = 'X'
	}
	s.Env["CI"] = "changed"
	cfg.Workspaces = append(cfg.Workspaces, &config.Workspace{Name: "smuggled"})
	strip(before)
	strip(after)
	fresh := w.compile(w.load(text))
	strip(fresh)
	if !reflect.DeepEqual(before, fresh) {
		t.Error("a change of the configuration reached the policy")
	}
	after.Executors["fmt"].Sandbox.Env["CI"] = "changed"
	after.Executors["fmt"].Sandbox.Toolchains[0].Env["GOPROXY"] = "direct"
	if after.Workspaces["api"].Gates[1].Sandbox.Env["CI"] != "1" || after.Workspaces["api"].Gates[1].Sandbox.Toolchains[0].Env["GOPROXY"] != "off" {
		t.Error("an executor and a gate share a sandbox value")
	}
}

// strip takes out the functions, which cannot be compared.
func strip(p *work.Policy) {
	for _, ws := range p.Workspaces {
		for i := range ws.Gates {
			if ws.Gates[i].When != nil {
				ws.Gates[i].When.Eval = nil
			}
		}
	}
}

func TestTheDigestNamesTheMeaning(t *testing.T) {
	w := newWorld(t)
	one := w.compile(w.load(text)).Digest
	if !strings.HasPrefix(one, "sha256:") || len(one) != len("sha256:")+64 {
		t.Fatalf("digest is %q", one)
	}
	if same := w.compile(w.load("# moved down\n\n" + strings.Replace(text, `"1s"`, `"1000ms"`, 1))).Digest; same != one {
		t.Error("a comment changes the digest")
	}
	for _, change := range [][2]string{{`"1s"`, `"2s"`}, {`"gofmt"`, `"gofmt", "-l"`}, {`diff.lines > 4`, `diff.lines > 5`}, {`*.pem`, `*.key`}} {
		if w.compile(w.load(strings.Replace(text, change[0], change[1], 1))).Digest == one {
			t.Errorf("%s does not change the digest", change[1])
		}
	}
}

func TestTheGoToolchainIsFoundWithoutRunningIt(t *testing.T) {
	w := newWorld(t)
	w.goRoot("sdk/go2")
	w.mkdir("bin", "wrapper", "cache", "modules", "path/pkg/mod", "xdg/go-build")
	for from, to := range map[string]string{"bin/go": "../sdk/go2/bin/go", "linked": "cache"} {
		if err := os.Symlink(to, filepath.Join(w.dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "wrapper/go"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(w.dir, name) }
	home := w.host()
	for name, row := range map[string]struct {
		host                  Host
		block                 string
		root, modules, builds string
	}{
		"PATH":              {home, "", "sdk/go1", "home/go/pkg/mod", "home/.cache/go-build"},
		"a symlink in PATH": {Host{Path: in("bin")}, "", "sdk/go2", "", ""},
		"past a wrapper":    {Host{Path: in("wrapper") + ":" + in("bin")}, "", "sdk/go2", "", ""},
		"GOROOT first":      {Host{GoRoot: in("sdk/go2"), Path: home.Path}, "", "sdk/go2", "", ""},
		"GOPATH":            {Host{Path: home.Path, GoPath: in("path") + ":" + in("x"), CacheHome: in("xdg")}, "", "sdk/go1", "path/pkg/mod", "xdg/go-build"},
		"own variables":     {Host{Path: home.Path, GoModCache: in("modules"), GoCache: in("linked")}, "", "sdk/go1", "modules", "cache"},
		"declared": {home, `root = "` + in("sdk/go2") + `"
    module_cache = "` + in("modules") + `"
    build_cache = "` + in("cache") + `"`, "sdk/go2", "modules", "cache"},
	} {
		cfg := w.load(strings.Replace(text, `toolchain "go" {}`, "toolchain \"go\" {\n    "+row.block+"\n  }", 1))
		p, diags := Compile(cfg, row.host)
		if diags.HasErrors() {
			t.Errorf("%s: %v", name, diags.Err())
			continue
		}
		tc := p.Executors["fmt"].Sandbox.Toolchains[0]
		path := func(p string) string {
			if p == "" {
				return ""
			}
			return in(p)
		}
		if tc.Env["GOROOT"] != in(row.root) || tc.Env["GOMODCACHE"] != path(row.modules) || tc.Env["GOCACHE"] != path(row.builds) {
			t.Errorf("%s: got %v", name, tc)
		}
		for _, read := range append(slices.Clone(tc.Read), tc.Overlay...) {
			if info, err := os.Stat(read); err != nil || !info.IsDir() {
				t.Errorf("%s: %s is not there", name, read)
			}
		}
	}
}

func TestAMissingToolchainIsAProblemWithAPlace(t *testing.T) {
	if _, ok := rootOf("/usr/local/go/bin/go"); !ok {
		w := newWorld(t)
		p, diags := Compile(w.load(text), Host{Home: w.home, Path: "/nowhere"})
		if p != nil || len(diags) != 1 || diags[0].Code != "toolchain_missing" || diags[0].Range.String() != "drawspan.hcl:13" || config.Explain(diags[0].Code) == "" {
			t.Errorf("got %v, %+v", p, diags)
		}
	}
	w := newWorld(t)
	cfg := w.load(strings.Replace(text, `toolchain "go" {}`, "toolchain \"go\" {\n    root = \"~/src\"\n  }", 1))
	p, diags := Compile(cfg, w.host())
	if p != nil || len(diags) != 1 || diags[0].Code != "toolchain_missing" || diags[0].Range.String() != "drawspan.hcl:14" || diags[0].Hint == "" {
		t.Errorf("got %v, %+v", p, diags)
	}
}
