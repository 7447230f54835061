package worktree

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

func TestATreeHasTheFilesOfItsCommitAndNoGitDirectory(t *testing.T) {
	b := newBench(t, map[string]string{"a.txt": "one\n", "dir/b.txt": "two\n", "run.sh": "#!/bin/sh\n"})
	if got := read(t, b.tree.Path(), "dir/b.txt"); got != "two\n" {
		t.Errorf("dir/b.txt: %q", got)
	}
	if exists(filepath.Join(b.tree.Path(), ".git")) {
		t.Error("the tree has a .git")
	}
	dev, ino := b.tree.Identity()
	if dev == 0 || ino == 0 {
		t.Error("the tree has no identity")
	}
	same(t, "start", b.tree.Start(), b.base)
}

func TestCaptureSeesEveryKindOfChange(t *testing.T) {
	b := newBench(t, map[string]string{
		"keep": "k\n", "edit": "1\n2\n3\n", "gone": "x\n", "mode": "#!\n", "type": "file\n", "bin": "a\x00b", "deep/er/file": "d\n",
	})
	p := b.tree.Path()
	write(t, p, map[string]string{"edit": "1\nTWO\n3\n4\n", "new/file": "n\n", "bin": "c\x00d"})
	for _, err := range []error{
		os.Remove(filepath.Join(p, "gone")), os.Chmod(filepath.Join(p, "mode"), 0o755),
		os.Remove(filepath.Join(p, "type")), os.Symlink("keep", filepath.Join(p, "type")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c, patch := keep(t, b.tree, b.base)
	same(t, "changes", c.paths(), []string{"add new/file", "delete gone", "mode mode", "modify bin", "modify edit", "type type"})
	same(t, "kept tree", c.TreeAfter, run(t, b.root, "rev-parse", c.Commit+"^{tree}"))
	same(t, "tree before", c.TreeBefore, run(t, b.root, "rev-parse", b.base+"^{tree}"))
	same(t, "parent", run(t, b.root, "rev-parse", c.Commit+"^"), b.base)
	same(t, "author", run(t, b.root, "log", "-1", "--format=%an %ae %at %s", c.Commit), "drawspan drawspan@localhost 1795348800 attempt")
	for _, f := range c.Diff.Files {
		if f.Path == "edit" && (f.Added != 2 || f.Deleted != 1 || f.Size != 10 || f.NewMode != "100644") {
			t.Errorf("edit: %+v", f)
		}
		if f.Path == "bin" && (!f.Binary || f.Size != 3) {
			t.Errorf("bin: %+v", f)
		}
	}
	if c.Diff.Binary != 1 || c.Diff.PatchBytes != int64(len(patch)) || c.PatchTruncated {
		t.Errorf("facts: %+v", c.Diff)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	run(t, b.root, "worktree", "add", "-q", "--detach", clone, b.base)
	write(t, filepath.Dir(clone), map[string]string{"diff.patch": patch})
	run(t, clone, "apply", "--index", filepath.Join(filepath.Dir(clone), "diff.patch"))
	same(t, "tree of the applied patch", run(t, clone, "write-tree"), c.TreeAfter)
}

func TestAnAttemptThatChangesNothingIsKeptToo(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	c, patch := keep(t, b.tree, b.base)
	if c.TreeBefore != c.TreeAfter || len(c.Diff.Files) != 0 || patch != "" || !c.Published {
		t.Errorf("got %+v, patch %q", c, patch)
	}
	same(t, "ref", run(t, b.root, "rev-parse", RefPrefix+"att_1"), c.Commit)
}

// The index and a file may be written within one second; a change of equal length must still be seen,
// even if the old modification time is put back.
func TestAQuickChangeOfEqualLengthIsSeen(t *testing.T) {
	for range 20 {
		b := newBench(t, map[string]string{"a": "1111\n", "b": "1111\n", "c": "1111\n"})
		p := filepath.Join(b.tree.Path(), "a")
		fi, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		write(t, b.tree.Path(), map[string]string{"a": "2222\n", "c": "2222\n"})
		if err := os.Chtimes(p, fi.ModTime(), fi.ModTime()); err != nil {
			t.Fatal(err)
		}
		c, _ := keep(t, b.tree, b.base)
		same(t, "changes", c.paths(), []string{"modify a", "modify c"})
	}
}

func TestTheDiffIsAgainstTheBaseEvenInAFollowUp(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "b": "1\n"})
	write(t, b.tree.Path(), map[string]string{"a": "22\n"})
	first, _ := keep(t, b.tree, b.base)
	second := create(t, b.w, "att_2", first.Commit)
	write(t, second.Path(), map[string]string{"b": "333\n"})
	c, _ := keep(t, second, b.base)
	same(t, "changes", c.paths(), []string{"modify a", "modify b"})
	same(t, "tree before", c.TreeBefore, first.TreeAfter)
	same(t, "sizes", []int64{c.Diff.Files[0].Size, c.Diff.Files[1].Size}, []int64{3, 4})
}

func TestALongPatchIsCutOffAndSaysSo(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	write(t, b.tree.Path(), map[string]string{"a": strings.Repeat("line\n", 100000), "z": "z\n"})
	var patch strings.Builder
	c, err := b.tree.Capture(t.Context(), CaptureRequest{Base: b.base, When: fixedTime, MaxPatch: 1000, Patch: &patch})
	if err != nil {
		t.Fatalf("Capture: %v", err)
	}
	if !c.PatchTruncated || patch.Len() != 1000 || c.Diff.PatchBytes != 1000 || c.Diff.Insertions != 100001 || len(c.Diff.Files) != 2 {
		t.Errorf("got truncated %v, %d bytes, %+v", c.PatchTruncated, patch.Len(), c.Diff)
	}
}

func TestThePatchOfALargeFileIsLeftOutAndSaidSo(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	write(t, b.tree.Path(), map[string]string{"big": strings.Repeat("0123456789abcdef", 33<<16), "a": "2\n"})
	c, patch := keep(t, b.tree, b.base)
	if !c.PatchTruncated || len(patch) > 1000 || !strings.Contains(patch, "+2\n") || !strings.Contains(patch, "big differ") {
		t.Errorf("truncated %v, patch of %d bytes:\n%.400s", c.PatchTruncated, len(patch), patch)
	}
	same(t, "kept", run(t, b.root, "cat-file", "-s", c.Commit+":big"), "34603008")
}

func TestAStateDirectoryWithAnOddNameWorks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b:c\"d'e;$HOME-ü#")
	root := operator(t, map[string]string{"a": "1\n"})
	w := openWorkspace(t, openTreesIn(t, dir), root)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	write(t, tree.Path(), map[string]string{"a": "2\n"})
	c, _ := keep(t, tree, tree.Start())
	same(t, "kept", run(t, root, "show", c.Ref+":a"), "2")
	_, err := Open(t.Context(), Options{Dir: "/tmp/new\nline", Path: searchPath})
	wantCode(t, err, fault.InvalidRequest)
}

func TestResetLeavesExactlyWhatIsKept(t *testing.T) {
	b := newBench(t, map[string]string{".gitignore": "*.log\nbuild/\n", "a": "1\n", "d/e": "1\n"})
	p := b.tree.Path()
	write(t, p, map[string]string{"x.log": "junk", "build/out/o": "junk", "d/y.log": "junk", "new": "kept\n"})
	if err := os.MkdirAll(filepath.Join(p, "hollow/dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, _ := keep(t, b.tree, b.base)
	same(t, "changes", c.paths(), []string{"add new"})
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	same(t, "tree", listed(t, p), []string{".gitignore", "a", "d/", "d/e", "new"})
	write(t, p, map[string]string{"a": "2\n"})
	wantCode(t, b.tree.Reset(t.Context()), fault.TreeRefused)
	if err := os.Remove(filepath.Join(p, "a")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.tree.Reset(t.Context()), fault.TreeRefused)
}

// listed is every entry below a directory, directories with a slash.
func listed(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p) // both are absolute
		if rel != "." && d.IsDir() {
			rel += "/"
		}
		if rel != "." {
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestS31_TwoAttemptsHaveDistinctTreesAndKeptRefs(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	other := create(t, b.w, "att_2", b.base)
	if b.tree.Path() == other.Path() {
		t.Fatal("both attempts have one tree")
	}
	write(t, b.tree.Path(), map[string]string{"a": "first\n"})
	write(t, other.Path(), map[string]string{"a": "second\n"})
	one, _ := keep(t, b.tree, b.base)
	two, _ := keep(t, other, b.base)
	for _, dir := range []string{b.root, b.w.mirror.dir} {
		same(t, "first", run(t, dir, "show", one.Ref+":a"), "first")
		same(t, "second", run(t, dir, "show", two.Ref+":a"), "second")
	}
	_, err := b.w.Create(t.Context(), CreateRequest{AttemptID: "att_2", Start: b.base})
	wantCode(t, err, fault.Conflict)
}

func TestS32_FiftyParallelAttemptsDoNotCollide(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "d/b": "2\n", "shared": "s\n"})
	const n = 50
	var wg sync.WaitGroup
	got := make([]Captured, n)
	for i := range n {
		wg.Go(func() {
			id := "att_p" + string(rune('A'+i/10)) + string(rune('0'+i%10))
			tree, err := b.w.Create(t.Context(), CreateRequest{AttemptID: id, Start: b.base})
			if err != nil {
				t.Errorf("Create(%s): %v", id, err)
				return
			}
			if err := os.WriteFile(filepath.Join(tree.Path(), "a"), []byte(id), 0o644); err != nil {
				t.Error(err)
			}
			if err := os.WriteFile(filepath.Join(tree.Path(), "same"), []byte("alike"), 0o644); err != nil {
				t.Error(err)
			}
			if got[i], err = tree.Capture(t.Context(), CaptureRequest{Base: b.base, When: fixedTime}); err != nil {
				t.Errorf("Capture(%s): %v", id, err)
				return
			}
			if err := tree.Reset(t.Context()); err != nil {
				t.Errorf("Reset(%s): %v", id, err)
			}
			if err := tree.Remove(t.Context()); err != nil {
				t.Errorf("Remove(%s): %v", id, err)
			}
		})
	}
	wg.Wait()
	trees := make(map[string]bool)
	for _, c := range got {
		trees[c.TreeAfter] = true
		id := strings.TrimPrefix(c.Ref, RefPrefix)
		same(t, "content", run(t, b.root, "show", c.Ref+":a"), id)
	}
	if len(trees) != n {
		t.Errorf("%d distinct trees, want %d", len(trees), n)
	}
	run(t, b.root, "fsck", "--strict", "--no-dangling")
}

// The daemon of another system took the repository around its own working directory.
func TestS29_TheTreeComesFromTheConfiguredRoot(t *testing.T) {
	elsewhere := operator(t, map[string]string{"a": "wrong\n"})
	t.Chdir(elsewhere)
	before := snapshot(t, elsewhere)
	b := newBench(t, map[string]string{"a": "right\n"})
	same(t, "content", read(t, b.tree.Path(), "a"), "right\n")
	keep(t, b.tree, b.base)
	sameSnapshot(t, before, snapshot(t, elsewhere))
	if out, err := tryRun(t, elsewhere, "rev-parse", RefPrefix+"att_1"); err == nil {
		t.Errorf("the other repository has the ref: %s", out)
	}
}

func TestF5_AnotherRepositoryIsNeverTouched(t *testing.T) {
	outer := operator(t, map[string]string{"a": "outer\n"})
	inner := filepath.Join(outer, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, outer)
	_, err := openTrees(t).Workspace(t.Context(), "api", inner)
	wantCode(t, err, fault.WorkspaceUnusable)
	if f := fault.From(err); !strings.Contains(f.Hint, outer) {
		t.Errorf("the hint does not name the top: %q", f.Hint)
	}
	sameSnapshot(t, before, snapshot(t, outer))
}

func TestF7_TheOperatorsFilesIndexBranchesHooksAndConfigStayAsTheyAre(t *testing.T) {
	root := operator(t, map[string]string{"a": "1\n", "b": "1\n", ".env": "KEY=1\n"})
	marker := filepath.Join(t.TempDir(), "ran")
	for _, h := range []string{"post-checkout", "pre-commit", "post-commit", "reference-transaction", "post-index-change", "update", "post-update"} {
		write(t, root, map[string]string{".git/hooks/" + h: "#!/bin/sh\ntouch " + marker + "\n"})
		if err := os.Chmod(filepath.Join(root, ".git/hooks", h), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root, map[string]string{"a": "dirty\n", "b": "staged\n", "untracked": "u\n"})
	run(t, root, "-c", "core.hooksPath=/dev/null", "add", "b")
	before := snapshot(t, root)
	trees := openTrees(t)
	w := openWorkspace(t, trees, root)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	same(t, "content", read(t, tree.Path(), "a"), "1\n")
	write(t, tree.Path(), map[string]string{"a": "attempt\n"})
	c, _ := keep(t, tree, tree.Start())
	if err := tree.Remove(t.Context()); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	sameSnapshot(t, before, snapshot(t, root))
	if exists(marker) {
		t.Error("a hook ran")
	}
	same(t, "the executor's edit", run(t, root, "show", c.Commit+":a"), "attempt")
}

func TestF21_AHookNamedInTheRepositoryIsData(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "ran")
	hook := "workspace:\n  hooks:\n    post_create: touch " + marker + "\n"
	b := newBench(t, map[string]string{"grove.yaml": hook, ".groverc.json": `{"afterCreate":"touch ` + marker + `"}`})
	same(t, "content", read(t, b.tree.Path(), "grove.yaml"), hook)
	keep(t, b.tree, b.base)
	if exists(marker) {
		t.Error("the hook ran")
	}
}

func TestACaptureCanBeRepeatedAfterACrash(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", ".gitignore": "*.log\n"})
	write(t, b.tree.Path(), map[string]string{"a": "2\n", "x.log": "junk"})
	mkfifo(t, filepath.Join(b.tree.Path(), "pipe"))
	first, _ := keep(t, b.tree, b.base)
	write(t, b.tree.home, map[string]string{"index.lock": "left by a killed git", "objects/aa/left": "over"})
	again, err := b.w.Reopen(t.Context(), "att_1")
	if err != nil {
		t.Fatalf("Reopen: %v", err)
	}
	second, _ := keep(t, again, b.base)
	same(t, "commit", second.Commit, first.Commit)
	same(t, "refused", second.reasons(), []string{"special_file pipe"})
	write(t, again.Path(), map[string]string{"a": "3\n"})
	_, err = again.Capture(t.Context(), CaptureRequest{Base: b.base, When: fixedTime})
	wantCode(t, err, fault.Conflict)
	same(t, "kept", run(t, b.root, "show", first.Ref+":a"), "2")
}

func TestATreeThatWasReplacedIsRefused(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	if err := os.Rename(b.tree.Path(), b.tree.Path()+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", b.tree.Path()); err != nil {
		t.Fatal(err)
	}
	_, err := b.tree.Capture(t.Context(), CaptureRequest{Base: b.base})
	wantCode(t, err, fault.TreeRefused)
	wantCode(t, b.tree.Reset(t.Context()), fault.TreeRefused)
	_, err = b.w.Reopen(t.Context(), "att_1")
	wantCode(t, err, fault.TreeRefused)
}
