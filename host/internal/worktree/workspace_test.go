package worktree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

func TestAnUnusableRootIsRefusedWithItsReason(t *testing.T) {
	dir := t.TempDir()
	bare, empty, plain, file := filepath.Join(dir, "bare.git"), filepath.Join(dir, "empty"), filepath.Join(dir, "plain"), filepath.Join(dir, "file")
	run(t, dir, "init", "-q", "--bare", bare)
	run(t, dir, "init", "-q", empty)
	good := operator(t, map[string]string{"a": "1\n", "sub/b": "1\n"})
	write(t, dir, map[string]string{"plain/x": "x", "file": "x", "broken/.git/HEAD": "garbage", "gitlink/.git": "gitdir: /nonexistent\n"})
	if err := os.Symlink(good, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "linkgit"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(good, ".git"), filepath.Join(dir, "linkgit/.git")); err != nil {
		t.Fatal(err)
	}
	future := operator(t, map[string]string{"a": "1\n"})
	run(t, future, "config", "core.repositoryFormatVersion", "1")
	run(t, future, "config", "extensions.fromTheFuture", "true")
	cases := []struct{ root, says, hint string }{
		{filepath.Join(dir, "vanished"), "does not exist", ""},
		{filepath.Join(dir, "vanished/deeper"), "does not exist", ""},
		{file, "is not a directory", ""},
		{"relative", "clean absolute path", ""},
		{dir + "/../" + filepath.Base(dir), "clean absolute path", ""},
		{filepath.Join(dir, "link"), "symbolic link", "points to"},
		{bare, "bare repository", "clone"},
		{empty, "no commit yet", "commit -m start"},
		{plain, "not a git repository", "init"},
		{filepath.Join(dir, "broken"), "git cannot use", ""},
		{filepath.Join(dir, "gitlink"), "git cannot use", ""},
		{filepath.Join(dir, "linkgit"), "symbolic link", ""},
		{filepath.Join(good, "sub"), "not the top", good},
		{future, "git cannot use", ""},
	}
	trees := openTrees(t)
	for _, c := range cases {
		_, err := trees.Workspace(t.Context(), "api", c.root)
		f := fault.From(err)
		if f.Code != fault.WorkspaceUnusable || !strings.Contains(f.Message, c.says) || !strings.Contains(f.Hint, c.hint) {
			t.Errorf("%s: got %v (hint %q), want %q, hint %q", c.root, err, f.Hint, c.says, c.hint)
		}
	}
	same(t, "trees", listed(t, filepath.Join(trees.dir, TreesDir)), []string(nil))
}

func TestARepositoryOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	const other = 12345
	for _, part := range []string{".", ".git", ".git/config"} {
		root := operator(t, map[string]string{"a": "1\n"})
		if err := os.Lchown(filepath.Join(root, part), other, other); err != nil {
			t.Fatal(err)
		}
		_, err := openTrees(t).Workspace(t.Context(), "api", root)
		if f := fault.From(err); f.Code != fault.WorkspaceUnusable || !strings.Contains(f.Message, "another user") {
			t.Errorf("%s: got %v", part, err)
		}
	}
}

func TestARootThatVanishesOrIsReplacedIsNoticed(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", ".env": "x"})
	write(t, b.tree.Path(), map[string]string{"a": "2\n"})
	if err := os.Rename(b.root, b.root+".away"); err != nil {
		t.Fatal(err)
	}
	_, err := b.w.Resolve(t.Context(), "main")
	wantCode(t, err, fault.WorkspaceUnusable)
	c, err := b.tree.Capture(t.Context(), CaptureRequest{Base: b.base, When: fixedTime})
	wantCode(t, err, fault.WorkspaceUnusable)
	if c.Commit == "" || c.Published || len(c.Diff.Files) != 1 {
		t.Errorf("the work of an attempt whose repository vanished: %+v", c)
	}
	run(t, filepath.Dir(b.root), "init", "-q", b.root)
	_, err = b.w.Branches(t.Context())
	wantCode(t, err, fault.WorkspaceUnusable)
	if err := os.RemoveAll(b.root); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(b.root+".away", b.root); err != nil {
		t.Fatal(err)
	}
	if err := b.w.Publish(t.Context(), "att_1"); err != nil {
		t.Fatalf("Publish: %v", err)
	}
	same(t, "content", run(t, b.root, "show", c.Ref+":a"), "2")
	wantCode(t, b.w.Publish(t.Context(), "att_unknown"), fault.NotFound)
}

func TestLinkedWorktreesAndSeparateGitDirectoriesWork(t *testing.T) {
	main := operator(t, map[string]string{"a": "1\n"})
	linked := filepath.Join(t.TempDir(), "linked")
	run(t, main, "worktree", "add", "-q", "-b", "side", linked)
	side := commit(t, linked, "side")
	separate := filepath.Join(t.TempDir(), "sep")
	run(t, filepath.Dir(separate), "clone", "-q", "--separate-git-dir", separate+".git", main, separate)
	for root, ref := range map[string]string{linked: "side", separate: "main"} {
		trees := openTrees(t)
		w := openWorkspace(t, trees, root)
		tree := create(t, w, "att_1", resolve(t, w, ref))
		write(t, tree.Path(), map[string]string{"a": root})
		c, _ := keep(t, tree, tree.Start())
		same(t, "content", run(t, root, "show", c.Ref+":a"), root)
	}
	same(t, "branch", run(t, main, "rev-parse", "side"), side)
}

func TestSHA256RepositoriesWork(t *testing.T) {
	root := filepath.Join(t.TempDir(), "src")
	if out, err := tryRun(t, filepath.Dir(root), "init", "-q", "-b", "main", "--object-format=sha256", root); err != nil {
		t.Skipf("this git has no sha256: %s", out)
	}
	write(t, root, map[string]string{"a": "1\n"})
	base := commit(t, root, "start")
	w := openWorkspace(t, openTrees(t), root)
	tree := create(t, w, "att_1", resolve(t, w, base))
	write(t, tree.Path(), map[string]string{"a": "2\n"})
	c, _ := keep(t, tree, base)
	same(t, "content", run(t, root, "show", c.Ref+":a"), "2")
	if len(c.Commit) != 64 {
		t.Errorf("commit id %s", c.Commit)
	}
	if err := tree.Reset(t.Context()); err != nil {
		t.Errorf("Reset: %v", err)
	}
	run(t, root, "fsck", "--strict")
}

func TestResolveTakesBranchesTagsAndCommitsThatTheyName(t *testing.T) {
	root := operator(t, map[string]string{"a": "1\n"})
	first := run(t, root, "rev-parse", "HEAD")
	run(t, root, "tag", "-a", "v1", "-m", "one")
	run(t, root, "tag", "light")
	write(t, root, map[string]string{"a": "2\n"})
	second := commit(t, root, "two")
	write(t, root, map[string]string{"a": "3\n"})
	third := commit(t, root, "three")
	run(t, root, "branch", "feature/x")
	run(t, root, "branch", "both")
	run(t, root, "tag", "both", first)
	run(t, root, "update-ref", "refs/other/hidden", second)
	run(t, root, "tag", "blob", run(t, root, "rev-parse", "HEAD:a"))
	w := openWorkspace(t, openTrees(t), root)
	good := map[string]string{
		"main": third, "refs/heads/main": third, "v1": first, "refs/tags/v1": first, "light": first, "feature/x": third,
		first: first, third: third, "refs/tags/both": first, "refs/heads/both": third,
	}
	for ref, want := range good {
		same(t, ref, resolve(t, w, ref), want)
	}
	bad := map[string]fault.Code{
		"nope": fault.NotFound, second: fault.NotFound, strings.Repeat("0", 40): fault.NotFound, "refs/other/hidden": fault.NotFound,
		"both": fault.InvalidRequest, "HEAD": fault.InvalidRequest, "main~1": fault.InvalidRequest, "main^{tree}": fault.InvalidRequest,
		"--all": fault.InvalidRequest, "../../config": fault.InvalidRequest, "main\n": fault.InvalidRequest, "": fault.InvalidRequest,
		"@{-1}": fault.InvalidRequest, first[:12]: fault.NotFound, "feature": fault.NotFound, "blob": fault.NotFound, "refs/heads/": fault.InvalidRequest,
	}
	for ref, code := range bad {
		_, err := w.Resolve(t.Context(), ref)
		if !fault.Is(err, code) {
			t.Errorf("Resolve(%q): got %v, want %s", ref, err, code)
		}
	}
	branches, err := w.Branches(t.Context())
	if err != nil {
		t.Fatalf("Branches: %v", err)
	}
	same(t, "branches", branches, []Ref{{"refs/heads/both", third}, {"refs/heads/feature/x", third}, {"refs/heads/main", third}})
}

func TestResolveBringsNewCommitsIntoTheMirror(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	for _, text := range []string{"2\n", "3\n", "4\n"} {
		write(t, b.root, map[string]string{"a": text, "n" + text[:1]: text})
		want := commit(t, b.root, "more")
		if text == "4\n" {
			run(t, b.root, "gc", "--quiet", "--prune=now")
		}
		got := resolve(t, b.w, "main")
		same(t, "commit", got, want)
		tree := create(t, b.w, "att_n"+text[:1], got)
		same(t, "content", read(t, tree.Path(), "a"), text)
	}
	again := openWorkspace(t, b.trees, b.root)
	resolve(t, again, "main")
	run(t, b.w.mirror.dir, "fsck", "--no-dangling")
}

func TestObjectsInAlternatesAreBrought(t *testing.T) {
	upstream := operator(t, map[string]string{"a": "1\n"})
	borrower := filepath.Join(t.TempDir(), "borrower")
	run(t, upstream, "clone", "-q", "--shared", upstream, borrower)
	w := openWorkspace(t, openTrees(t), borrower)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	if err := os.RemoveAll(upstream); err != nil {
		t.Fatal(err)
	}
	write(t, tree.Path(), map[string]string{"b": "2\n"})
	c, err := tree.Capture(t.Context(), CaptureRequest{Base: tree.Start(), When: fixedTime})
	if c.Commit == "" || len(c.Diff.Files) != 1 {
		t.Errorf("the work is not kept: %+v, %v", c, err)
	}
}

func TestAShallowCloneWorks(t *testing.T) {
	full := operator(t, map[string]string{"a": "1\n"})
	for _, text := range []string{"2\n", "3\n"} {
		write(t, full, map[string]string{"a": text})
		commit(t, full, text)
	}
	shallow := filepath.Join(t.TempDir(), "shallow")
	run(t, full, "clone", "-q", "--depth=1", "file://"+full, shallow)
	w := openWorkspace(t, openTrees(t), shallow)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	write(t, tree.Path(), map[string]string{"a": "4\n"})
	c, _ := keep(t, tree, tree.Start())
	if !c.Published {
		t.Error("not published")
	}
	write(t, shallow, map[string]string{"a": "5\n"})
	same(t, "new commit", resolve(t, w, "main"), tree.Start())
	newer := commit(t, shallow, "more")
	same(t, "new commit", resolve(t, w, "main"), newer)
	create(t, w, "att_2", newer)
}

func TestAPartialCloneIsRefusedForWhatItLacksAndTakenForWhatItHas(t *testing.T) {
	full := operator(t, map[string]string{"a": "1\n", "b": "1\n"})
	run(t, full, "config", "uploadpack.allowFilter", "true")
	partial := filepath.Join(t.TempDir(), "partial")
	run(t, full, "clone", "-q", "--filter=blob:none", "--no-checkout", "file://"+full, partial)
	trees := openTrees(t)
	_, err := trees.Workspace(t.Context(), "api", partial)
	f := fault.From(err)
	if f.Code != fault.WorkspaceUnusable || !strings.Contains(f.Message, "partial clone") || f.Hint == "" {
		t.Fatalf("got %v, hint %q", err, f.Hint)
	}
	run(t, partial, "checkout", "-q", "main")
	w := openWorkspace(t, trees, partial)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	write(t, tree.Path(), map[string]string{"a": "2\n"})
	c, _ := keep(t, tree, tree.Start())
	same(t, "content", run(t, partial, "show", c.Ref+":a"), "2")
}

func TestARepositoryOnAnotherFileSystemWorks(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "drawspan-test-")
	if err != nil {
		t.Skipf("no other file system: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(other) }) // best effort
	state := t.TempDir()
	var a, b unix.Stat_t
	if unix.Stat(other, &a) != nil || unix.Stat(state, &b) != nil || a.Dev == b.Dev {
		t.Skip("no other file system")
	}
	root := filepath.Join(other, "src")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, root, "init", "-q", "-b", "main")
	write(t, root, map[string]string{"a": "1\n", ".env": "K=1\n"})
	commit(t, root, "start")
	run(t, root, "gc", "-q")
	write(t, root, map[string]string{"b": "1\n"})
	commit(t, root, "loose")
	w := openWorkspace(t, openTreesIn(t, state), root)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	write(t, tree.Path(), map[string]string{"a": "2\n"})
	c, _ := keep(t, tree, tree.Start())
	same(t, "content", run(t, root, "show", c.Ref+":a"), "2")
	run(t, root, "fsck", "--strict")
}

func TestADirtyRepositoryIsTakenAtItsCommit(t *testing.T) {
	root := operator(t, map[string]string{"a": "1\n"})
	write(t, root, map[string]string{"a": "dirty\n", "new": "u\n"})
	run(t, root, "add", "new")
	w := openWorkspace(t, openTrees(t), root)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	same(t, "tree", listed(t, tree.Path()), []string{"a"})
	same(t, "content", read(t, tree.Path(), "a"), "1\n")
}

func TestIdsAndPathsFromOutsideAreLookedAtAgain(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	for _, id := range []string{"", ".", "..", "../x", "a/b", "-rf", "a b", "x.lock", "a\x00", strings.Repeat("x", 65), "ä"} {
		_, err := b.w.Create(t.Context(), CreateRequest{AttemptID: id, Start: b.base})
		wantCode(t, err, fault.InvalidRequest)
		_, err = b.w.Reopen(t.Context(), id)
		wantCode(t, err, fault.InvalidRequest)
		wantCode(t, b.w.Publish(t.Context(), id), fault.InvalidRequest)
		if _, err := b.trees.Workspace(t.Context(), id, b.root); !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("workspace %q: %v", id, err)
		}
	}
	for _, start := range []string{"", "main", "HEAD", "--help", b.base[:10], strings.ToUpper(b.base)} {
		_, err := b.w.Create(t.Context(), CreateRequest{AttemptID: "att_x", Start: start})
		wantCode(t, err, fault.InvalidRequest)
	}
	for _, p := range []string{"", "/etc/passwd", "../x", "a/../../x", "./a", "a//b", ".git/config", "x/.GIT/y", "a\x00b", strings.Repeat("d/", 300) + "x"} {
		_, err := b.w.Create(t.Context(), CreateRequest{AttemptID: "att_y", Start: b.base, Provision: Provision{Copy: []string{p}}})
		wantCode(t, err, fault.InvalidRequest)
		_, err = b.tree.Capture(t.Context(), CaptureRequest{Base: b.base, Withhold: []string{p}})
		wantCode(t, err, fault.InvalidRequest)
	}
	_, err := b.w.Create(t.Context(), CreateRequest{AttemptID: "att_z", Start: strings.Repeat("1", 40)})
	if err == nil || exists(b.trees.home("att_z")) {
		t.Errorf("a tree of an unknown commit: %v", err)
	}
}

func TestRefNamesAreJudgedAsGitDoes(t *testing.T) {
	names := []string{
		"main", "feature/x", "a.b", "a..b", ".a", "a/.b", "a.lock", "a.lock/b", "a/", "/a", "a//b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b",
		"a\\b", "a@{b", "@", "a@b", "a.", "-a", "a\x7f", "a\tb", "ä", "x/-y", "HEAD", "a/HEAD", "@{u}", "refs/heads/a", "\xff",
	}
	dir := t.TempDir()
	for _, n := range names {
		_, err := tryRun(t, dir, "check-ref-format", "--branch", n)
		if got := checkRef(n); got == nil && err != nil {
			t.Errorf("checkRef takes %q, git does not", n)
		} else if got != nil && err == nil && n != "@{u}" && n != "@" { // git expands those two
			t.Errorf("git takes %q, checkRef says %v", n, got)
		}
	}
}

func TestAGitThatIsTooOldOrMissingIsRefused(t *testing.T) {
	dir := t.TempDir()
	fake := func(name, text string) string {
		write(t, dir, map[string]string{name + "/git": "#!/bin/sh\n" + text + "\n"})
		p := filepath.Join(dir, name, "git")
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	cases := []struct {
		o    Options
		says string
	}{
		{Options{Git: fake("old", "echo git version 2.20.1")}, "too old"},
		{Options{Git: fake("odd", "echo hello")}, "version"},
		{Options{Git: fake("bad", "exit 3")}, "does not run"},
		{Options{Path: "relative:" + dir}, "not found"},
		{Options{Git: "git"}, "not found"},
	}
	for _, c := range cases {
		c.o.Dir = filepath.Join(dir, "state")
		_, err := Open(t.Context(), c.o)
		if f := fault.From(err); f.Code != fault.WorkspaceUnusable || !strings.Contains(f.Message, c.says) {
			t.Errorf("%+v: got %v", c.o, err)
		}
	}
	o := Options{Dir: filepath.Join(dir, "state"), Path: "relative:" + filepath.Dir(fake("new", "echo git version 2.51.0.windows.1")) + ":/usr/bin"}
	trees, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if v, p := trees.GitVersion(); v != "2.51.0.windows.1" || p != filepath.Join(dir, "new/git") || trees.git.minor != 51 {
		t.Errorf("got %s at %s, minor %d", v, p, trees.git.minor)
	}
}

func TestACancelledCallEndsWithoutLeavingATree(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	if _, err := b.w.Create(cancelled(t), CreateRequest{AttemptID: "att_c", Start: b.base}); err == nil {
		t.Error("a cancelled Create succeeds")
	}
	if exists(b.trees.home("att_c")) {
		t.Error("a cancelled Create leaves a tree")
	}
	if c, err := b.tree.Capture(cancelled(t), CaptureRequest{Base: b.base}); err == nil || c.Commit != "" {
		t.Errorf("a cancelled Capture: %+v, %v", c, err)
	}
	if c, _ := keep(t, b.tree, b.base); !c.Published {
		t.Error("a Capture after a cancelled one does not work")
	}
}
