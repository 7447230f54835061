package worktree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

// attempt makes a kept commit on top of the bench's base.
func (b *bench) attempt(t *testing.T) Captured {
	t.Helper()
	write(t, b.tree.Path(), map[string]string{"a": "attempt\n"})
	c, _ := keep(t, b.tree, b.base)
	return c
}

func TestApplyFastForwardsABranchOrMakesOne(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	run(t, b.root, "branch", "next")
	c := b.attempt(t)
	before := snapshot(t, filepath.Join(b.root, ".git/hooks"))
	got, err := b.w.Apply(t.Context(), ApplyRequest{Commit: c.Commit, Branch: "next", Base: b.base})
	same(t, "next", []any{got, err}, []any{Applied{"refs/heads/next", b.base, c.Commit, false}, nil})
	same(t, "next", run(t, b.root, "rev-parse", "next"), c.Commit)
	same(t, "reflog", run(t, b.root, "log", "-g", "-1", "--format=%gs %gn", "next"), "drawspan: apply drawspan")
	got, err = b.w.Apply(t.Context(), ApplyRequest{Commit: c.Commit, Branch: "refs/heads/fresh/one"})
	same(t, "fresh", []any{got, err}, []any{Applied{"refs/heads/fresh/one", "", c.Commit, true}, nil})
	got, err = b.w.Apply(t.Context(), ApplyRequest{Commit: c.Commit, Branch: "next"})
	same(t, "again", []any{got, err}, []any{Applied{"refs/heads/next", c.Commit, c.Commit, false}, nil})
	same(t, "main", run(t, b.root, "rev-parse", "main"), b.base)
	same(t, "files", read(t, b.root, "a"), "1\n")
	sameSnapshot(t, before, snapshot(t, filepath.Join(b.root, ".git/hooks")))
}

func TestApplyWorksAfterTheOperatorDeletedTheAttemptsRef(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	c := b.attempt(t)
	run(t, b.root, "update-ref", "-d", c.Ref)
	run(t, b.root, "gc", "--quiet", "--prune=now")
	if _, err := b.w.Apply(t.Context(), ApplyRequest{Commit: c.Commit, Branch: "again"}); err != nil {
		t.Fatalf("Apply: %v", err)
	}
	same(t, "content", run(t, b.root, "show", "again:a"), "attempt")
	run(t, b.root, "fsck", "--strict")
}

func TestApplyRefusesAMovedBranchAndSaysHowToRebase(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "b": "1\n"})
	run(t, b.root, "checkout", "-q", "-b", "work")
	c := b.attempt(t)
	write(t, b.root, map[string]string{"b": "2\n"})
	moved := commit(t, b.root, "moved")
	run(t, b.root, "branch", "-f", "main", moved)
	_, err := b.w.Apply(t.Context(), ApplyRequest{Commit: c.Commit, Branch: "main", Base: b.base})
	wantCode(t, err, fault.BaseMoved)
	hint := strings.ReplaceAll(fault.From(err).Hint, "NAME", "rebased")
	for _, line := range strings.Split(hint, " && ") {
		args := strings.Fields(line)
		if args[0] != "git" {
			t.Fatalf("hint %q", hint)
		}
		run(t, b.root, args[1:]...)
	}
	same(t, "rebased", run(t, b.root, "show", "rebased:a")+run(t, b.root, "show", "rebased:b"), "attempt2")
	rebased := run(t, b.root, "rev-parse", "rebased")
	if _, err = b.w.Apply(t.Context(), ApplyRequest{Commit: rebased, Branch: "main"}); err != nil {
		t.Errorf("Apply of the rebased commit: %v", err)
	}
}

func TestApplyRefusesABranchThatIsInUseAnywhere(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	c := b.attempt(t)
	linked := filepath.Join(t.TempDir(), "linked")
	run(t, b.root, "worktree", "add", "-q", "-b", "side", linked)
	for _, name := range []string{"rebasing", "applying", "bisecting", "stacked", "unborn"} {
		if name != "unborn" {
			run(t, b.root, "branch", name)
		}
	}
	admin := filepath.Join(b.root, ".git/worktrees/linked")
	write(t, admin, map[string]string{
		"rebase-merge/head-name": "refs/heads/rebasing\n", "rebase-merge/update-refs": "refs/heads/stacked\n" + b.base + "\n" + b.base + "\n",
		"BISECT_START": "bisecting\n",
	})
	write(t, b.root, map[string]string{".git/rebase-apply/head-name": "refs/heads/applying\n"})
	for _, branch := range []string{"main", "side", "rebasing", "applying", "bisecting", "stacked"} {
		_, err := b.w.Apply(t.Context(), ApplyRequest{Commit: c.Commit, Branch: branch})
		if f := fault.From(err); f.Code != fault.BranchCheckedOut || f.Hint == "" {
			t.Errorf("%s: got %v", branch, err)
		}
		same(t, branch, run(t, b.root, "rev-parse", branch), b.base)
	}
	run(t, b.root, "symbolic-ref", "HEAD", "refs/heads/unborn")
	_, err := b.w.Apply(t.Context(), ApplyRequest{Commit: c.Commit, Branch: "unborn"})
	wantCode(t, err, fault.BranchCheckedOut)
}

func TestApplyRefusesWhatIsNoBranchOrNoCommit(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	c := b.attempt(t)
	run(t, b.root, "branch", "dir/leaf")
	cases := []struct {
		r    ApplyRequest
		code fault.Code
	}{
		{ApplyRequest{Commit: c.Commit, Branch: "../evil"}, fault.InvalidRequest},
		{ApplyRequest{Commit: c.Commit, Branch: "-f"}, fault.InvalidRequest},
		{ApplyRequest{Commit: c.Commit, Branch: "HEAD"}, fault.InvalidRequest},
		{ApplyRequest{Commit: c.Commit, Branch: "refs/tags/x"}, fault.InvalidRequest},
		{ApplyRequest{Commit: "HEAD", Branch: "x"}, fault.InvalidRequest},
		{ApplyRequest{Commit: c.Commit, Branch: "x", Base: "main"}, fault.InvalidRequest},
		{ApplyRequest{Commit: strings.Repeat("1", 40), Branch: "x"}, fault.NotFound},
		{ApplyRequest{Commit: c.Commit, Branch: "dir"}, fault.Conflict},
		{ApplyRequest{Commit: c.Commit, Branch: "dir/leaf/x"}, fault.Conflict},
	}
	before := run(t, b.root, "for-each-ref")
	for _, k := range cases {
		_, err := b.w.Apply(t.Context(), k.r)
		if !fault.Is(err, k.code) {
			t.Errorf("%+v: got %v, want %s", k.r, err, k.code)
		}
	}
	same(t, "refs", run(t, b.root, "for-each-ref"), before)
}

func TestRestoreWritesAKeptCommitToANewDirectory(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "d/b": "1\n"})
	if err := os.Symlink("/etc/passwd", filepath.Join(b.tree.Path(), "link")); err != nil {
		t.Fatal(err)
	}
	c := b.attempt(t)
	dir := filepath.Join(t.TempDir(), "out")
	n, err := b.w.Restore(t.Context(), c.Commit, dir)
	if n != 3 || err != nil {
		t.Fatalf("Restore: %d, %v", n, err)
	}
	same(t, "files", listed(t, dir), []string{"a", "d/", "d/b", "link"})
	same(t, "content", read(t, dir, "a"), "attempt\n")
	_, err = b.w.Restore(t.Context(), c.Commit, dir)
	wantCode(t, err, fault.Conflict)
	for _, bad := range []string{"relative", "/a/../b", filepath.Join(dir, "no/parent")} {
		_, err := b.w.Restore(t.Context(), c.Commit, bad)
		wantCode(t, err, fault.InvalidRequest)
	}
	_, err = b.w.Restore(t.Context(), "HEAD", filepath.Join(dir, "x"))
	wantCode(t, err, fault.InvalidRequest)
	same(t, "scratch", listed(t, filepath.Join(b.trees.dir, scratchDir)), []string(nil))
}

func TestCheckoutMakesASealedTreeOfAKeptCommit(t *testing.T) {
	b := provisioned(t, nil)
	c := b.attempt(t)
	tree, err := b.w.Checkout(t.Context(), "val_1", c.Commit, Provision{Copy: []string{".env"}})
	if err != nil {
		t.Fatalf("Checkout: %v", err)
	}
	same(t, "content", read(t, tree.Path(), "a")+read(t, tree.Path(), ".env"), "attempt\n"+secretText)
	_, err = tree.Capture(t.Context(), CaptureRequest{Base: b.base})
	wantCode(t, err, fault.Conflict)
	write(t, tree.Path(), map[string]string{"left": "over\n"})
	if err := tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	same(t, "tree", listed(t, tree.Path()), []string{".env", ".gitignore", "a"})
	if err := tree.Remove(t.Context()); err != nil {
		t.Fatalf("Remove: %v", err)
	}
}
