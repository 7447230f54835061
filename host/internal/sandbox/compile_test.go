package sandbox_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/policy"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// site is a home as an operator's, with everything in it that no sandbox may be given, and the Sandbox that
// plans launches there. Nothing is launched.
type site struct {
	home, state, tree string
	roots             []string
	box               *sandbox.Sandbox
	plain             []spec.Mount // what a launch has without being granted anything, under any back-end
}

func newSite(t testing.TB) *site {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{home: home, state: filepath.Join(home, ".local/state/drawspan")}
	s.tree = filepath.Join(s.state, "trees/att/tree")
	s.roots = []string{filepath.Join(home, "src/api"), filepath.Join(home, "src/web")}
	for _, dir := range []string{
		"src/api/.git", "src/web/sub", "data/cache", "data/more", ".ssh", ".config/git", "other/.git/hooks", "other/x",
		"go/bin", "go/src", "go/pkg/mod", ".cache/go-build", ".local/state/drawspan/run", ".local/state/drawspan/mirrors/m",
		".local/state/drawspan/trees/att/tree/.vscode", ".local/state/drawspan/trees/att/tree/sub/.git", ".local/state/drawspan/trees/att/tree/.git",
	} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"secret", ".bashrc", ".ssh/key", "data/file", "src/api/secret", ".local/state/drawspan/state.db"} {
		if err := os.WriteFile(filepath.Join(home, file), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "go/bin/go"), []byte("#!/bin/false\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"data/up": "..", "data/state": s.state, ".local/state/drawspan/trees/att/tree/link": home} {
		if err := os.Symlink(to, filepath.Join(home, link)); err != nil {
			t.Fatal(err)
		}
	}
	if s.box, err = sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: s.state, Home: home}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.box.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, backend := range []string{spec.Native, spec.Bwrap, spec.Landlock} {
		mounts, err := s.plan(t, &work.SandboxPolicy{Level: "guarded", Backend: backend}, sandbox.Tree{})
		if err != nil && backend == spec.Native {
			t.Fatal(err)
		}
		s.plain = append(s.plain, mounts...)
	}
	return s
}

func (s *site) plan(t testing.TB, p *work.SandboxPolicy, tree sandbox.Tree) ([]spec.Mount, error) {
	own := *p
	if own.Backend == "" || own.Backend == "auto" {
		own.Backend = spec.Native // what a machine gives is not the question
	}
	return s.box.PlanMounts(t.Context(), sandbox.Request{Policy: &own, Path: "/bin/true", Tree: tree})
}

// compile loads and compiles a configuration; nil when it is refused.
func (s *site) compile(t testing.TB, text []byte) *work.Policy {
	dir := t.TempDir()
	name := "drawspan.hcl"
	if bytes.HasPrefix(text, []byte("{")) {
		name = "drawspan.hcl.json"
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _ := config.Load(config.Source{Paths: []string{name}, Dir: dir, Home: s.home})
	if cfg == nil || cfg.Daemon.StateDir != s.state {
		return nil
	}
	p, _ := policy.Compile(cfg, policy.Host{Home: s.home, GoRoot: filepath.Join(s.home, "go")})
	return p
}

// check plans every sandbox that is in use, with both kinds of tree, and says what it should not hold.
func (s *site) check(t testing.TB, p *work.Policy) (planned int) {
	t.Helper()
	roots := slices.Clone(s.roots)
	var used []*work.SandboxPolicy
	for _, e := range p.Executors {
		used = append(used, e.Sandbox)
	}
	for _, w := range p.Workspaces {
		roots = append(roots, w.Root)
		for _, g := range w.Gates {
			used = append(used, g.Sandbox)
		}
	}
	for _, box := range used {
		if box == nil || box.Level == spec.LevelOff {
			continue // nothing is confined
		}
		for _, mode := range []string{sandbox.TreeWritable, sandbox.TreeOverlay} {
			mounts, err := s.plan(t, box, sandbox.Tree{Path: s.tree, Mode: mode})
			if err != nil {
				continue // refused is always safe
			}
			planned++
			for _, m := range mounts {
				if why := s.wrong(m, roots); why != "" && !slices.Contains(s.plain, m) {
					t.Errorf("%s: %+v", why, m)
				}
			}
		}
	}
	return planned
}

// wrong says what a mount gives that no configuration can.
func (s *site) wrong(m spec.Mount, roots []string) string {
	if m.Mode == spec.Link || m.Empty || m.Host == "" {
		return ""
	}
	if ok, err := filepath.Match(filepath.Join(s.state, "sandbox/live-*/private-*/*"), m.Host); ok && err == nil {
		return "" // made for this launch alone, where there is no view
	}
	real, err := filepath.EvalSymlinks(m.Host)
	if err != nil || real != m.Host {
		return "the source is not what it says"
	}
	in := func(path, dir string) bool { return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/") }
	switch {
	case in(s.home, real):
		return "shows the whole home"
	case in(s.state, real):
		return "shows the whole state directory"
	case in(real, s.state) && !in(real, s.tree):
		return "shows a part of the state directory"
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/etc"} {
		if in(real, dir) {
			return "shows " + dir
		}
	}
	if m.Mode != spec.Writable || in(real, s.tree) {
		return ""
	}
	for _, root := range roots {
		if in(root, real) || in(real, root) {
			return "writes to a workspace"
		}
	}
	for _, dir := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/boot"} {
		if in(real, dir) {
			return "writes to the system"
		}
	}
	if in(real, filepath.Join(s.home, ".ssh")) || in(real, filepath.Join(s.home, "other")) {
		return "writes to keys or to a repository"
	}
	return ""
}

const frame = `version = 1
sandbox "box" {
BODY
}
executor "x" {
  plugin  = "command"
  sandbox = "box"
}
workspace "api" {
  root      = "~/src/api"
  base      = "main"
  executors = ["x"]
  gate "g" {
    validator = "command"
  }
}
`

// grants are bodies of a sandbox that must load; demands are those that must not.
var grants = []string{
	"", `level = "guarded"`, `filesystem { read = ["~/data"] }`, `filesystem { write = ["~/data"] }`,
	`filesystem { read = ["~/data/cache", "~/src/web"] write = ["~/data/more", "~/data/file"] protect = [".vscode", "link", "sub/.git", "none"] }`,
	`toolchain "go" {}`, `toolchain "go" { root = "~/go" module_cache = "~/data" build_cache = "~/data/cache" }`,
	`network { mode = "proxy" allow = ["a.example", "*.b.example:8443"] }`, `credential "c" { from_file = "~/secret" deliver = "file" }`,
	`syscalls { allow = ["ptrace"] }`, `level = "guarded" backend = "landlock" filesystem { write = ["~/data"] }`, `backend = "bwrap" filesystem { write = ["~/data"] }`,
}

var demands = map[string]string{
	`filesystem { write = ["/"] }`:                                      "exposes_host",
	`filesystem { write = ["~"] }`:                                      "exposes_host",
	`filesystem { write = ["~/.local/state/drawspan"] }`:                "state_dir_overlap",
	`filesystem { write = ["~/.local/state/drawspan/run"] }`:            "state_dir_overlap",
	`filesystem { write = ["~/.local/state/drawspan/trees"] }`:          "state_dir_overlap",
	`filesystem { write = ["~/.local/state/drawspan/trees/att"] }`:      "state_dir_overlap",
	`filesystem { read = ["~/.local/state/drawspan/state.db"] }`:        "state_dir_overlap",
	`filesystem { read = ["~/.local"] }`:                                "state_dir_overlap",
	`filesystem { read = ["/proc"] }`:                                   "exposes_host",
	`filesystem { write = ["~/src"] }`:                                  "repository_overlap",
	`filesystem { write = ["~/src/api"] }`:                              "repository_overlap",
	`filesystem { write = ["~/src/api/.git"] }`:                         "repository_overlap",
	`filesystem { write = ["~/other/x"] }`:                              "repository_overlap",
	`filesystem { write = ["~/data/up"] }`:                              "path_is_symlink",
	`filesystem { read = ["~/data/state"] }`:                            "path_is_symlink",
	`filesystem { protect = ["../../state.db"] }`:                       "outside_root",
	`toolchain "go" { module_cache = "~/.local/state" }`:                "state_dir_overlap",
	`credential "c" { from_file = "~/.local/state/drawspan/state.db" }`: "state_dir_overlap",
	`credential "c" { from_file = "~/src/api/secret" }`:                 "repository_overlap",
	`filesystem { write = ["~/.ssh"] }`:                                 "exposes_host",
	`syscalls { allow = ["mount"] }`:                                    "exposes_host",
	`network { mode = "host" }`:                                         "invalid_value",
	`network { mode = "proxy" }`:                                        "missing_attribute",
	`level = "vm"`:                                                      "not_supported_yet",
}

// framed is a configuration with one sandbox. The samples are on one line, as no file may be.
func framed(body string) []byte {
	lines := strings.NewReplacer("{ ", "{\n", " }", "\n}", `] `, "]\n", `" m`, "\"\nm", `" b`, "\"\nb", `" f`, "\"\nf", `" d`, "\"\nd", `" a`, "\"\na").Replace(body)
	return []byte(strings.Replace(frame, "BODY", lines, 1))
}

// The bad input: configuration that grants the state directory, the socket, the machine, or what the
// worktrees lie in is refused at its line, with the reason.
func TestNoConfigurationGivesTheHostAway(t *testing.T) {
	s := newSite(t)
	for _, body := range grants {
		p := s.compile(t, framed(body))
		if p == nil {
			t.Errorf("refused: %s", framed(body))
		} else if s.check(t, p) == 0 {
			t.Errorf("nothing was planned: %s", body)
		}
	}
	for _, body := range slices.Sorted(maps.Keys(demands)) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "drawspan.hcl"), framed(body), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, diags := config.Load(config.Source{Paths: []string{"drawspan.hcl"}, Dir: dir, Home: s.home})
		if cfg != nil || len(diags) != 1 || diags[0].Code != demands[body] || diags[0].Range == nil || diags[0].Range.Start.Line < 3 || diags[0].Hint == "" {
			t.Errorf("%s: got %+v, want %s", body, diags, demands[body])
		}
	}
}

// A path that became a link after the configuration was checked is not followed: who may write beside it
// could have put it there.
func TestADeclaredPathThatBecameALinkIsRefused(t *testing.T) {
	s := newSite(t)
	p := s.compile(t, framed(`filesystem { read = ["~/data/cache"] write = ["~/data/more"] }`))
	box := *p.Executors["x"].Sandbox
	if _, err := s.plan(t, &box, sandbox.Tree{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cache", "more"} {
		dir := filepath.Join(s.home, "data", name)
		if err := errors.Join(os.Remove(dir), os.Symlink(filepath.Join(s.home, ".ssh"), dir)); err != nil {
			t.Fatal(err)
		}
		_, err := s.plan(t, &box, sandbox.Tree{})
		if !fault.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: got %v", name, err)
		}
		if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzCompile: whatever an operator writes, no plan gives what wrong names, and nothing panics.
func FuzzCompile(f *testing.F) {
	for _, body := range append(slices.Sorted(maps.Keys(demands)), grants...) {
		f.Add(framed(body))
	}
	f.Add([]byte(`{"version":1,"sandbox":{"box":{"filesystem":{"write":["~/data"]}}},"executor":{"x":{"plugin":"command","sandbox":"box"}}}`))
	s := newSite(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		if p := s.compile(t, text); p != nil {
			s.check(t, p)
		}
	})
}
