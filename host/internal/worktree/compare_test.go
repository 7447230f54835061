package worktree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// changed is a tree with one change of every kind, kept.
func changed(t *testing.T) (*bench, Captured) {
	t.Helper()
	b := newBench(t, map[string]string{
		"keep": "k\n", "edit": "1\n2\n3\n", "gone": "x\n", "mode": "#!\n", "type": "file\n", "bin": "a\x00b", "odd \"name\"\n": "1\n",
	})
	p := b.tree.Path()
	write(t, p, map[string]string{"edit": "1\nTWO\n3\n4\n", "new/file": "n\n", "bin": "c\x00d", "odd \"name\"\n": "2\n"})
	for _, err := range []error{
		os.Remove(filepath.Join(p, "gone")), os.Chmod(filepath.Join(p, "mode"), 0o755), os.Remove(filepath.Join(p, "type")),
		os.Symlink("keep", filepath.Join(p, "type")), os.Symlink("../../etc/passwd\n", filepath.Join(p, "out")), os.Symlink("/", filepath.Join(p, "root")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c, _ := keep(t, b.tree, b.base)
	return b, c
}

func TestACaptureSaysWhereLinksPoint(t *testing.T) {
	_, c := changed(t)
	got := map[string]string{}
	for _, f := range c.Diff.Files {
		if f.Link != "" {
			got[f.Path] = f.Link
		}
	}
	same(t, "links", got, map[string]string{"type": "keep", "out": "../../etc/passwd\n", "root": "/"})
}

func TestTwoCommitsAreComparedAsATreeIs(t *testing.T) {
	b, c := changed(t)
	got, err := b.w.Compare(t.Context(), b.base, c.Commit)
	if err != nil {
		t.Fatal(err)
	}
	got.PatchBytes = c.Diff.PatchBytes
	same(t, "facts", got, c.Diff)
	none, err := b.w.Compare(t.Context(), c.Commit, c.Commit)
	same(t, "no change", none, work.DiffFacts{Files: []work.Change{}})
	if err != nil {
		t.Error(err)
	}
}

func TestAPatchIsOfThePathsThatAreAskedFor(t *testing.T) {
	b, _ := changed(t)
	whole, cut, err := b.tree.Patch(t.Context(), b.base, nil, 1<<20)
	if err != nil || cut || strings.Count(string(whole), "diff --git ") < 8 || !strings.Contains(string(whole), "Binary files a/bin and b/bin differ") {
		t.Fatalf("cut %v, %v\n%s", cut, err, whole)
	}
	some, cut, err := b.tree.Patch(t.Context(), b.base, []string{"odd \"name\"\n", "edit"}, 1<<20)
	if err != nil || cut || strings.Count(string(some), "diff --git ") != 2 || !strings.Contains(string(some), "+TWO") {
		t.Errorf("cut %v, %v\n%s", cut, err, some)
	}
	if none, cut, err := b.tree.Patch(t.Context(), b.base, []string{"*"}, 1<<20); err != nil || cut || len(none) > 0 {
		t.Errorf("a path is a pattern: %v\n%s", err, none)
	}
	first, cut, err := b.tree.Patch(t.Context(), b.base, nil, 100)
	if err != nil || !cut || string(first) != string(whole[:100]) {
		t.Errorf("cut %v, %v\n%s", cut, err, first)
	}
}

func TestMorePathsThanACommandLineTakesCutThePatch(t *testing.T) {
	b, _ := changed(t)
	paths := []string{"edit"}
	for range 2000 {
		paths = append(paths, strings.Repeat("x", 1000))
	}
	patch, cut, err := b.tree.Patch(t.Context(), b.base, paths, 1<<20)
	if err != nil || !cut || !strings.Contains(string(patch), "+TWO") {
		t.Errorf("cut %v, %v\n%s", cut, err, patch)
	}
}

func TestTheBaseIsATreeOfItsOwn(t *testing.T) {
	b, _ := changed(t)
	dir, drop, err := b.tree.Base(t.Context(), b.base)
	if err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "edit") != "1\n2\n3\n" || exists(filepath.Join(dir, "new")) || exists(filepath.Join(dir, ".git")) {
		t.Error("it is not the base")
	}
	drop()
	if exists(dir) {
		t.Error("it is still there")
	}
	if _, _, err := b.tree.Base(t.Context(), "HEAD"); err == nil {
		t.Error("a name is taken for a commit")
	}
	_, _, err = b.w.Patch(t.Context(), "HEAD", "--output=/tmp/x", nil, 1)
	wantCode(t, err, fault.InvalidRequest)
	_, err = b.w.Compare(t.Context(), "HEAD", "HEAD")
	wantCode(t, err, fault.InvalidRequest)
}

func TestLinesAreCountedWithoutFollowingAnything(t *testing.T) {
	b, _ := changed(t)
	p := b.tree.Path()
	write(t, p, map[string]string{"open": "1\n2\n3", "empty": ""})
	mkfifo(t, filepath.Join(p, "pipe"))
	if err := os.Symlink("/etc", filepath.Join(p, "etc")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"edit": 4, "open": 3, "empty": 0, "new/file": 1, "out": 1,
		"gone": -1, "none/such": -1, "pipe": -1, "new": -1, "../git": -1, "/etc/passwd": -1, "": -1, "a\x00b": -1,
	} {
		n, found, err := b.tree.Lines(t.Context(), path)
		if err != nil || found != (want >= 0) || found && n != want {
			t.Errorf("%q: %d, %v, %v", path, n, found, err)
		}
	}
}
