package worktree

import (
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

// within runs git as an executor would in its tree: nothing but PATH and an empty home, no identity.
func within(t testing.TB, tree *Tree, args ...string) string {
	t.Helper()
	out, err := tryWithin(t, tree, args...)
	if err != nil {
		t.Fatalf("git %s in the tree: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func tryWithin(t testing.TB, tree *Tree, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = tree.Path()
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/nonexistent", "LC_ALL=C", "GIT_EDITOR=true"}
	out, err := cmd.CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

func shadow(t testing.TB, tree *Tree) Shadow {
	t.Helper()
	s, err := tree.Shadow(t.Context())
	if err != nil {
		t.Fatalf("Shadow: %v", err)
	}
	return s
}

func moved(t testing.TB, tree *Tree) bool {
	t.Helper()
	m, err := tree.HeadMoved()
	if err != nil {
		t.Fatalf("HeadMoved: %v", err)
	}
	return m
}

func TestS82_AnExecutorHasAGitDirectoryOfItsOwn(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "dir/b": "2\n", ".env": "x"})
	before := snapshot(t, b.root)
	mirror := snapshot(t, b.w.mirror.dir)
	s := shadow(t, b.tree)
	same(t, "status", within(t, b.tree, "status", "--porcelain"), "")
	same(t, "HEAD", within(t, b.tree, "rev-parse", "HEAD"), b.base)
	same(t, "top", within(t, b.tree, "rev-parse", "--show-toplevel", "--absolute-git-dir"), b.tree.Path()+"\n"+s.Dir)
	if moved(t, b.tree) {
		t.Error("HEAD moved before anything ran")
	}
	write(t, b.tree.Path(), map[string]string{"a": "changed\n", "new": "n\n"})
	same(t, "status", within(t, b.tree, "status", "--porcelain"), " M a\n?? new")
	within(t, b.tree, "add", "-A")
	within(t, b.tree, "commit", "-q", "-m", "one")
	write(t, b.tree.Path(), map[string]string{"a": "stashed\n"})
	within(t, b.tree, "stash")
	within(t, b.tree, "stash", "pop")
	within(t, b.tree, "checkout", "-q", "--", "a")
	within(t, b.tree, "switch", "-q", "-c", "topic")
	within(t, b.tree, "commit", "-q", "--allow-empty", "-m", "two")
	within(t, b.tree, "tag", "-a", "v1", "-m", "tag")
	within(t, b.tree, "merge", "-q", "--no-ff", "-m", "merge", "HEAD~1")
	within(t, b.tree, "rebase", "-q", "--force-rebase", "HEAD~1")
	within(t, b.tree, "gc", "-q")
	within(t, b.tree, "fsck", "--strict")
	same(t, "log", within(t, b.tree, "log", "--format=%s %an"), "two executor\none executor\nstart Op")
	same(t, "reflog", len(strings.Split(within(t, b.tree, "reflog"), "\n")) > 3, true)
	if !moved(t, b.tree) {
		t.Error("a commit on a branch does not count as moved")
	}
	sameSnapshot(t, before, snapshot(t, b.root))
	sameSnapshot(t, mirror, snapshot(t, b.w.mirror.dir))
}

func TestAShadowKnowsItsBaseAndNothingOfOtherAttempts(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	write(t, b.tree.Path(), map[string]string{"a": "first\n"})
	first, _ := keep(t, b.tree, b.base)
	second, err := b.w.Create(t.Context(), CreateRequest{
		AttemptID: "att_2", Start: first.Commit, Branch: Ref{Name: "refs/heads/main", Commit: b.base},
	})
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	shadow(t, second)
	same(t, "refs", within(t, second, "for-each-ref", "--format=%(refname) %(objectname)"),
		"refs/drawspan/base "+b.base+"\nrefs/heads/main "+b.base)
	same(t, "HEAD", within(t, second, "rev-parse", "HEAD"), first.Commit)
	same(t, "diff", within(t, second, "diff", "--name-only", "main"), "a")
	again, err := b.w.Reopen(t.Context(), "att_2")
	if err != nil {
		t.Fatalf("Reopen: %v", err)
	}
	shadow(t, again)
	same(t, "branch after a restart", within(t, again, "rev-parse", "main"), b.base)
	third := create(t, b.w, "att_3", b.base)
	shadow(t, third)
	same(t, "refs", within(t, third, "for-each-ref", "--format=%(refname) %(objectname)"), "refs/drawspan/base "+b.base)
	for _, bad := range []Ref{
		{"refs/heads/x\ny", b.base}, {"refs/tags/x", b.base}, {"main", b.base}, {"refs/heads/m", "short"}, {"refs/heads/../x", b.base}, {"", b.base},
	} {
		_, err := b.w.Create(t.Context(), CreateRequest{AttemptID: "att_4", Start: b.base, Branch: bad})
		wantCode(t, err, fault.InvalidRequest)
	}
}

func TestAShadowNamesWhatIsToBeProtectedByPathsWithoutLinks(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	link := state + ".link"
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(state, link); err != nil {
		t.Fatal(err)
	}
	w := openWorkspace(t, openTreesIn(t, link), operator(t, map[string]string{"a": "1\n"}))
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	s := shadow(t, tree)
	for _, p := range slices.Concat(s.Protect, s.Objects, []string{s.Dir, tree.Path()}) {
		if real, err := filepath.EvalSymlinks(p); err != nil || real != p {
			t.Errorf("%s: %s, %v", p, real, err)
		}
	}
	for _, name := range []string{"config", "hooks", "info", "objects/info"} {
		if !slices.Contains(s.Protect, filepath.Join(s.Dir, name)) {
			t.Errorf("%s is not protected: %q", name, s.Protect)
		}
	}
	same(t, "objects", s.Objects, []string{w.mirror.objects()})
	same(t, "alternates", read(t, s.Dir, "objects/info/alternates"), w.mirror.objects()+"\n")
	same(t, "pointer", read(t, tree.Path(), ".git"), "gitdir: "+s.Dir+"\n")
	fi, err := os.Lstat(filepath.Join(tree.Path(), ".git"))
	if err != nil || fi.Mode() != 0o444 {
		t.Errorf("pointer: %v, %v", fi, err)
	}
	same(t, "hooks", listed(t, filepath.Join(s.Dir, "hooks")), []string(nil))
	if err := os.WriteFile(filepath.Join(w.mirror.objects(), "info/alternates"), []byte("/etc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = tree.Shadow(t.Context())
	wantCode(t, err, fault.WorkspaceUnusable)
}

// What is written inside may not reach the host's own index by a shared inode, nor may the host's dating
// of its index hide a quick change inside.
func TestAShadowsIndexIsACopyThatSeesQuickChanges(t *testing.T) {
	for range 20 {
		b := newBench(t, map[string]string{"a": "1111\n", "b": "1111\n"})
		s := shadow(t, b.tree)
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(s.Dir, "index"), &st); err != nil || st.Nlink != 1 {
			t.Fatalf("index: %d links, %v", st.Nlink, err)
		}
		p := filepath.Join(b.tree.Path(), "a")
		fi, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		write(t, b.tree.Path(), map[string]string{"a": "2222\n"})
		if err := os.Chtimes(p, fi.ModTime(), fi.ModTime()); err != nil {
			t.Fatal(err)
		}
		same(t, "status", within(t, b.tree, "status", "--porcelain"), " M a")
	}
}

func TestProvisionedFilesAreInvisibleToGitInside(t *testing.T) {
	names := []string{".env", "dir/key", "a b ", "#c", "!d", "q?[x]*", "back\\slash", "new\nline"}
	root := operator(t, map[string]string{"a": "1\n"})
	for _, n := range names {
		write(t, root, map[string]string{n: "secret of " + n})
	}
	w := openWorkspace(t, openTrees(t), root)
	tree := create(t, w, "att_1", resolve(t, w, "main"), names...)
	shadow(t, tree)
	same(t, "status", within(t, tree, "status", "--porcelain", "-uall"), "")
	write(t, tree.Path(), map[string]string{"q1x2": "not provisioned\n", ".env2": "x\n", "dir/sub/.env": "x\n"})
	within(t, tree, "add", "-A")
	same(t, "added", within(t, tree, "diff", "--cached", "--name-only"), ".env2\ndir/sub/.env\nq1x2")
	c, _ := keep(t, tree, tree.Start())
	same(t, "kept", c.paths(), []string{"add .env2", "add dir/sub/.env", "add q1x2"})
}

func TestCaptureAndResetLeaveNoGitDirectory(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", ".gitignore": "*.log\n"})
	s := shadow(t, b.tree)
	write(t, b.tree.Path(), map[string]string{"a": "2\n", "x.log": "junk"})
	within(t, b.tree, "commit", "-q", "-a", "-m", "inside")
	c, _ := keep(t, b.tree, b.base)
	same(t, "refused", c.reasons(), []string(nil))
	same(t, "changes", c.paths(), []string{"modify a"})
	same(t, "parent", run(t, b.root, "rev-parse", c.Commit+"^"), b.base)
	if exists(s.Dir) || exists(filepath.Join(b.tree.Path(), ".git")) {
		t.Error("a git directory is left after Capture")
	}
	_, err := b.tree.HeadMoved()
	wantCode(t, err, fault.Conflict)
	for range 2 {
		if err := b.tree.Reset(t.Context()); err != nil {
			t.Fatalf("Reset: %v", err)
		}
		if exists(s.Dir) || exists(filepath.Join(b.tree.Path(), ".git")) {
			t.Error("a git directory is left after Reset")
		}
		shadow(t, b.tree)
		same(t, "status", within(t, b.tree, "status", "--porcelain"), "")
		same(t, "HEAD", within(t, b.tree, "rev-parse", "HEAD"), c.Commit)
		same(t, "log", within(t, b.tree, "log", "--format=%s"), "attempt\nstart")
		if moved(t, b.tree) {
			t.Error("HEAD of a fresh shadow counts as moved")
		}
	}
	if err := b.tree.Remove(t.Context()); err != nil {
		t.Fatalf("Remove: %v", err)
	}
}

func TestACheckoutHasAShadowToo(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	write(t, b.tree.Path(), map[string]string{"a": "2\n"})
	c, _ := keep(t, b.tree, b.base)
	sealed, err := b.w.Checkout(t.Context(), "att_9", c.Commit, Provision{})
	if err != nil {
		t.Fatalf("Checkout: %v", err)
	}
	shadow(t, sealed)
	same(t, "status", within(t, sealed, "status", "--porcelain"), "")
	same(t, "HEAD", within(t, sealed, "rev-parse", "HEAD"), c.Commit)
	if err := sealed.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	shadow(t, sealed)
	if err := sealed.Remove(t.Context()); err != nil {
		t.Fatalf("Remove: %v", err)
	}
}

func TestShadowsOfSHA256AndShallowRepositoriesWork(t *testing.T) {
	wide := filepath.Join(t.TempDir(), "wide")
	if out, err := tryRun(t, filepath.Dir(wide), "init", "-q", "-b", "main", "--object-format=sha256", wide); err != nil {
		t.Skipf("this git has no sha256: %s", out)
	}
	write(t, wide, map[string]string{"a": "1\n"})
	commit(t, wide, "start")
	deep := operator(t, map[string]string{"a": "1\n"})
	commit(t, deep, "two")
	commit(t, deep, "three")
	shallow := filepath.Join(t.TempDir(), "shallow")
	run(t, deep, "clone", "-q", "--depth=1", "file://"+deep, shallow)
	for _, root := range []string{wide, shallow} {
		w := openWorkspace(t, openTrees(t), root)
		tree := create(t, w, "att_1", resolve(t, w, "main"))
		shadow(t, tree)
		same(t, "status", within(t, tree, "status", "--porcelain"), "")
		within(t, tree, "commit", "-q", "--allow-empty", "-m", "inside")
		same(t, "log", strings.Count(within(t, tree, "log", "--format=%H"), "\n"), 1)
		within(t, tree, "fsck")
	}
}

func TestAttributesOfTheRepositoryChangeNoBytesInside(t *testing.T) {
	root := operator(t, map[string]string{"a": "1\r\n"})
	write(t, root, map[string]string{".gitattributes": "* text=auto eol=lf filter=lfs ident\n"})
	run(t, root, "-c", "core.attributesFile=/dev/null", "add", ".gitattributes")
	run(t, root, "commit", "-q", "-m", "attributes")
	w := openWorkspace(t, openTrees(t), root)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	shadow(t, tree)
	same(t, "status", within(t, tree, "status", "--porcelain"), "")
	write(t, tree.Path(), map[string]string{"a": "2\r\n$Id$\r\n"})
	within(t, tree, "commit", "-q", "-a", "-m", "inside")
	same(t, "tree of the commit", within(t, tree, "rev-parse", "HEAD^{tree}"), func() string { c, _ := keep(t, tree, tree.Start()); return c.TreeAfter }())
}

// BenchmarkShadow measures a shadow of 11,000 files beside git worktree add of the same.
func BenchmarkShadow(b *testing.B) {
	const n = 11000
	files := make(map[string]string, n)
	for i := range n {
		files[fmt.Sprintf("dir%03d/file%05d.go", i/32, i)] = strings.Repeat(fmt.Sprintf("line %d of some source text\n", i), 20+i%230)
	}
	root := operator(b, files)
	run(b, root, "gc", "-q")
	trees := openTrees(b)
	w := openWorkspace(b, trees, root)
	tree := create(b, w, "att_1", resolve(b, w, "main"))
	var ours, added []time.Duration
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), fmt.Sprint(len(added)))
		began := time.Now()
		bare(b, root, "worktree", "add", "-q", "--detach", dir, tree.Start())
		added = append(added, time.Since(began))
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		for range 20 {
			began = time.Now()
			shadow(b, tree)
			ours = append(ours, time.Since(began))
		}
		if err := trees.EmptyTrash(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(median(ours).Microseconds())/1000, "shadow-ms")
	b.ReportMetric(float64(median(added).Microseconds())/1000, "worktree-add-ms")
	b.ReportMetric(float64(median(ours))/float64(median(added)), "ratio")
	b.ReportMetric(0, "ns/op")
}

// HEAD is the one thing that is read of a shadow: every byte of it counts, and none is believed.
func FuzzHeadMoved(f *testing.F) {
	b := newBench(f, map[string]string{"a": "1\n"})
	s := shadow(f, b.tree)
	want := b.base + "\n"
	for _, head := range []string{want, b.base, want + "\n", "ref: refs/heads/main\n", "", strings.ToUpper(want), want[1:], "\x00" + want, want + strings.Repeat("x", 1<<16)} {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		if err := os.WriteFile(filepath.Join(s.Dir, "HEAD"), head, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := moved(t, b.tree); got != (string(head) != want) {
			t.Errorf("HEAD %q: moved is %v", head, got)
		}
	})
}
