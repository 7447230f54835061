package worktree

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

func workspaceOf(t testing.TB, dir string) *Workspace {
	t.Helper()
	w, err := openTrees(t).Workspace(t.Context(), "ci", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestARevisionIsWhatTheOperatorsGitMeans(t *testing.T) {
	dir := operator(t, map[string]string{"a": "1\n"})
	first := run(t, dir, "rev-parse", "HEAD")
	run(t, dir, "tag", "-m", "x", "v1")
	run(t, dir, "update-ref", "refs/remotes/origin/main", first)
	write(t, dir, map[string]string{"a": "2\n"})
	second := commit(t, dir, "second")
	run(t, dir, "checkout", "-q", "--detach")
	w := workspaceOf(t, dir)
	for name, want := range map[string]string{
		"HEAD": second, "main": second, "HEAD~1": first, "main^": first, "v1": first, "origin/main": first, "refs/remotes/origin/main": first,
		second: second, second[:10]: second, second[:10] + "~1": first, "@": second,
	} {
		if got, err := w.Revision(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
	for _, name := range []string{"", "-h", "--all", "main:a", "HEAD@{1}", "main..HEAD", "no-such", "a b", "HEAD~9", ":/second", "^main", strings.Repeat("0", 40)} {
		if got, err := w.Revision(t.Context(), name); err == nil {
			t.Errorf("%q is taken for %s", name, got)
		}
	}
}

func TestARevisionThatSeveralRefsAnswerToIsRefused(t *testing.T) {
	dir := operator(t, map[string]string{"a": "1\n"})
	run(t, dir, "tag", "main")
	if _, err := workspaceOf(t, dir).Revision(t.Context(), "main"); err != nil {
		t.Errorf("a tag and a branch at one commit: %v", err)
	}
	commit(t, dir, "second")
	if _, err := workspaceOf(t, dir).Revision(t.Context(), "main"); !fault.Is(err, fault.InvalidRequest) || !strings.Contains(err.Error(), "ambiguous") {
		t.Errorf("got %v", err)
	}
}

func TestAShallowCloneSaysWhatToFetch(t *testing.T) {
	dir := operator(t, map[string]string{"a": "1\n"})
	first := run(t, dir, "rev-parse", "HEAD")
	commit(t, dir, "second")
	clone := filepath.Join(t.TempDir(), "clone")
	run(t, dir, "clone", "-q", "--depth", "1", "file://"+dir, clone)
	w := workspaceOf(t, clone)
	if !w.Shallow() {
		t.Fatal("not seen as shallow")
	}
	_, err := w.Revision(t.Context(), first)
	if !fault.Is(err, fault.NotFound) || !strings.Contains(fault.From(err).Hint, "--unshallow") {
		t.Errorf("got %v", err)
	}
}

func TestACheckoutWithNothingButADetachedHeadIsUsed(t *testing.T) {
	dir := operator(t, map[string]string{"a": "1\n"})
	run(t, dir, "checkout", "-q", "--detach")
	run(t, dir, "branch", "-q", "-D", "main")
	if _, err := workspaceOf(t, dir).Revision(t.Context(), "HEAD"); err != nil {
		t.Error(err)
	}
}

func TestMergeBaseIsTheCommonAncestorOrAClearRefusal(t *testing.T) {
	dir := operator(t, map[string]string{"a": "1\n"})
	base := run(t, dir, "rev-parse", "HEAD")
	run(t, dir, "checkout", "-q", "-b", "side")
	side := commit(t, dir, "side")
	run(t, dir, "checkout", "-q", "main")
	main := commit(t, dir, "main")
	run(t, dir, "checkout", "-q", "--orphan", "other")
	other := commit(t, dir, "other")
	w := workspaceOf(t, dir)
	if got, err := w.MergeBase(t.Context(), main, side); err != nil || got != base {
		t.Errorf("got %s, %v; want %s", got, err, base)
	}
	if _, err := w.MergeBase(t.Context(), main, other); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestFilesReadsWhatACommitHoldsAndFollowsNoLink(t *testing.T) {
	dir := operator(t, map[string]string{"a.hcl": "1\n", "sub/b.hcl": "2\n", "c.txt": "3\n"})
	base := run(t, dir, "rev-parse", "HEAD")
	write(t, dir, map[string]string{"a.hcl": "changed\n"})
	symlink(t, "/etc/passwd", filepath.Join(dir, "link.hcl"))
	head := commit(t, dir, "second")
	w := workspaceOf(t, dir)
	all := func(path string) bool { return strings.HasSuffix(path, ".hcl") }
	files, err := w.Files(t.Context(), base, all)
	if err != nil || len(files) != 2 || files[0].Path != "a.hcl" || string(files[0].Data) != "1\n" {
		t.Errorf("files %v, %v", files, err)
	}
	if _, err := w.Files(t.Context(), head, all); !fault.Is(err, fault.InvalidRequest) {
		t.Errorf("a link is read: %v", err)
	}
	if files, err := w.Files(t.Context(), head, func(string) bool { return false }); len(files) != 0 || err != nil {
		t.Errorf("files %v, %v", files, err)
	}
}

func TestF21_LookingAtRevisionsRunsNothingOfTheRepository(t *testing.T) {
	program, marker := trap(t)
	dir := operator(t, map[string]string{".gitattributes": "* diff=evil filter=evil\n", "a.txt": "1\n"})
	write(t, dir, map[string]string{".git/config": read(t, dir, ".git", "config") + hostileConfig(program), ".git/info/attributes": hostileAttributes})
	w := workspaceOf(t, dir)
	head, err := w.Revision(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.MergeBase(t.Context(), head, head); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Files(t.Context(), head, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	notRun(t, marker)
}

func TestSeveralCommitsAreBroughtInOneGo(t *testing.T) {
	dir := operator(t, map[string]string{"a": "1\n", "b.hcl": "", "c.hcl": "same\n", "d.hcl": "same\n"})
	first := run(t, dir, "rev-parse", "HEAD")
	trees, err := Open(t.Context(), Options{Dir: t.TempDir(), Path: searchPath, Passing: true})
	if err != nil {
		t.Fatal(err)
	}
	w := openWorkspace(t, trees, dir)
	second := commit(t, dir, "made after the mirror was")
	if err := w.Bring(t.Context(), first, second, first); err != nil {
		t.Fatal(err)
	}
	if !w.mirror.holds(first) || !w.mirror.holds(second) {
		t.Error("not both are there")
	}
	if err := w.Bring(t.Context(), first, strings.Repeat("0", 39)+"1"); err == nil {
		t.Error("a commit that nobody has was brought")
	}
	blobs, err := w.Files(t.Context(), second, func(p string) bool { return strings.HasSuffix(p, ".hcl") })
	if err != nil || len(blobs) != 3 || len(blobs[0].Data) != 0 || string(blobs[1].Data) != "same\n" || string(blobs[2].Data) != "same\n" {
		t.Errorf("files %q, %v", blobs, err)
	}
}
