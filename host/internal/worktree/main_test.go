package worktree

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// searchPath is where the tests look for git: what a daemon would be given.
const searchPath = "/usr/local/bin:/usr/bin:/bin"

var fixedTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// run runs git as an operator would, with a home of its own.
func run(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := tryRun(t, dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func tryRun(t testing.TB, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "gc.auto=0", "-c", "maintenance.auto=false"}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + searchPath, "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Op", "GIT_AUTHOR_EMAIL=op@example.org", "GIT_COMMITTER_NAME=Op", "GIT_COMMITTER_EMAIL=op@example.org",
		"GIT_AUTHOR_DATE=2026-11-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-11-01T00:00:00Z", "GIT_ALLOW_PROTOCOL=file",
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// operator makes a repository with one commit on main.
func operator(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "init", "-q", "-b", "main")
	write(t, dir, files)
	commit(t, dir, "start")
	return dir
}

func commit(t testing.TB, dir, message string) string {
	t.Helper()
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "--allow-empty", "-m", message)
	return run(t, dir, "rev-parse", "HEAD")
}

func openTrees(t testing.TB) *Trees {
	t.Helper()
	return openTreesIn(t, t.TempDir())
}

func openTreesIn(t testing.TB, dir string) *Trees {
	t.Helper()
	trees, err := Open(t.Context(), Options{Dir: dir, Path: searchPath})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return trees
}

func openWorkspace(t testing.TB, trees *Trees, root string) *Workspace {
	t.Helper()
	w, err := trees.Workspace(t.Context(), "api", root)
	if err != nil {
		t.Fatalf("Workspace: %v", err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return w
}

// bench is a workspace with one tree of its main branch.
type bench struct {
	root  string
	trees *Trees
	w     *Workspace
	base  string
	tree  *Tree
}

func newBench(t testing.TB, files map[string]string, provision ...string) *bench {
	t.Helper()
	b := &bench{root: operator(t, files), trees: openTrees(t)}
	b.w = openWorkspace(t, b.trees, b.root)
	b.base = resolve(t, b.w, "main")
	b.tree = create(t, b.w, "att_1", b.base, provision...)
	return b
}

func resolve(t testing.TB, w *Workspace, ref string) string {
	t.Helper()
	c, err := w.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatalf("Resolve(%s): %v", ref, err)
	}
	return c
}

func create(t testing.TB, w *Workspace, id, start string, provision ...string) *Tree {
	t.Helper()
	tree, err := w.Create(t.Context(), CreateRequest{AttemptID: id, Start: start, Provision: Provision{Copy: provision}})
	if err != nil {
		t.Fatalf("Create(%s): %v", id, err)
	}
	return tree
}

// capture keeps a tree's state and returns its patch too.
func keep(t testing.TB, tree *Tree, base string) (Captured, string) {
	t.Helper()
	var patch bytes.Buffer
	c, err := tree.Capture(t.Context(), CaptureRequest{
		Base: base, Message: "attempt", When: fixedTime, MaxPatch: 1 << 20, Patch: &patch,
	})
	if err != nil {
		t.Fatalf("Capture: %v", err)
	}
	return c, patch.String()
}

// paths are the changed paths, each with its operation.
func (c Captured) paths() []string {
	var out []string
	for _, f := range c.Diff.Files {
		out = append(out, f.Op+" "+f.Path)
	}
	slices.Sort(out)
	return out
}

func (c Captured) reasons() []string {
	var out []string
	for _, r := range c.Refused {
		out = append(out, r.Why+" "+r.Path)
	}
	return out
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// files lists what a commit holds.
func files(t testing.TB, dir, commit string) []string {
	t.Helper()
	out := run(t, dir, "ls-tree", "-r", "-z", "--name-only", commit)
	return strings.FieldsFunc(out, func(r rune) bool { return r == 0 })
}

func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want a fault with code %s", err, code)
	}
}

// snapshot is everything in an operator's repository that no attempt may change: all files byte for byte,
// but for objects and the refs of attempts.
func snapshot(t testing.TB, root string) map[string]string {
	t.Helper()
	snap := make(map[string]string)
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p) // both are absolute
		if rel == ".git/objects" || rel == ".git/refs/drawspan" {
			return filepath.SkipDir
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		text := fi.Mode().String()
		if fi.Mode().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += " " + string(b)
		}
		snap[rel] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func sameSnapshot(t testing.TB, before, after map[string]string) {
	t.Helper()
	for name := range before {
		if before[name] != after[name] {
			t.Errorf("%s was changed or removed", name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s was added", name)
		}
	}
}

// unprivileged skips a test of modes that root is not bound by.
func unprivileged(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Log("as root modes do not bind; the test still runs the paths")
	}
}

func mkfifo(t testing.TB, p string) {
	t.Helper()
	if err := unix.Mkfifo(p, 0o644); err != nil {
		t.Fatal(err)
	}
}

func cancelled(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
