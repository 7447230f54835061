package worktree

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// trap is a program that leaves a marker when anybody runs it.
func trap(t testing.TB) (program, marker string) {
	t.Helper()
	dir := t.TempDir()
	program, marker = filepath.Join(dir, "trap.sh"), filepath.Join(dir, "ran")
	text := "#!/bin/sh\necho \"$0 $*\" >> " + marker + "\ncat\n"
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return program, marker
}

func notRun(t testing.TB, marker string) {
	t.Helper()
	if exists(marker) {
		t.Errorf("the host ran a hostile program: %s", read(t, marker))
	}
}

// hostileConfig is every key that makes git run a program, pointing at one.
func hostileConfig(program string) string {
	keys := []string{
		"[core]\n fsmonitor = %s\n hooksPath = %s\n editor = %s\n pager = %s\n sshCommand = %s\n gitProxy = %s\n askPass = %s\n alternateRefsCommand = %s\n",
		"[filter \"evil\"]\n clean = %s\n smudge = %s\n process = %s\n required = true\n",
		"[diff]\n external = %s\n[diff \"evil\"]\n textconv = %s\n command = %s\n cachetextconv = true\n",
		"[merge \"evil\"]\n driver = %s\n[credential]\n helper = %s\n[gpg]\n program = %s\n[uploadpack]\n packObjectsHook = %s\n",
		"[commit]\n gpgSign = true\n[interactive]\n diffFilter = %s\n[trailer \"x\"]\n command = %s\n[alias]\n add = !%s\n write-tree = !%s\n",
		"[submodule \"s\"]\n update = !%s\n[protocol]\n allow = always\n[remote \"origin\"]\n url = ext::%s\n promisor = true\n",
	}
	all := strings.Join(keys, "")
	return strings.ReplaceAll(all, "%s", program)
}

const hostileAttributes = "* filter=evil diff=evil merge=evil text eol=crlf ident working-tree-encoding=no-such-thing\n" +
	"[attr]text working-tree-encoding=utf-99\n*.bin -diff\n"

func TestS84_ConfigurationThatAnExecutorLeavesRunsNothing(t *testing.T) {
	program, marker := trap(t)
	b := newBench(t, map[string]string{"a": "1\n", "dir/x": "1\n"})
	p := b.tree.Path()
	write(t, p, map[string]string{
		".git/config": hostileConfig(program), ".git/HEAD": "ref: refs/heads/main\n", ".git/commondir": "../../..\n",
		"dir/.git": "gitdir: " + filepath.Join(p, ".git") + "\n", ".gitattributes": hostileAttributes,
		".gitconfig": hostileConfig(program), ".gitmodules": "[submodule \"s\"]\n path = s\n url = ext::" + program + "\n update = !" + program + "\n",
		"bare/HEAD": "ref: refs/heads/main\n", "bare/config": hostileConfig(program), "bare/objects/info/alternates": "/etc\n", "bare/refs/heads/x": "\n",
		"a": "$Id: spoof$\r\nchanged\r\n", "x.bin": "text\n", "commondir": "/etc\n", "gitdir": "/etc\n",
	})
	for _, h := range []string{"post-checkout", "pre-commit", "post-index-change", "fsmonitor-watchman"} {
		write(t, p, map[string]string{".git/hooks/" + h: read(t, program)})
		if err := os.Chmod(filepath.Join(p, ".git/hooks", h), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c, patch := keep(t, b.tree, b.base)
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	notRun(t, marker)
	same(t, "refused", c.reasons(), []string{"nested_git .git", "nested_git dir/.git"})
	for name, want := range map[string]string{"a": "$Id: spoof$\r\nchanged\r\n", "x.bin": "text\n", "bare/config": hostileConfig(program)} {
		out, err := tryRun(t, b.root, "cat-file", "-p", c.Commit+":"+name)
		if err != nil || out != strings.TrimSpace(want) {
			t.Errorf("%s is kept as %q, %v", name, out, err)
		}
		same(t, name+" in the tree", read(t, p, name), want)
	}
	if !strings.Contains(patch, "+changed\r\n") || !strings.Contains(patch, "+text\n") {
		t.Errorf("attributes hid a change:\n%s", patch)
	}
	if exists(filepath.Join(p, ".git")) || !exists(filepath.Join(b.tree.home, refusedName)) {
		t.Error("the nested .git is still in the tree, or gone altogether")
	}
}

func TestS84_ConfigurationAndAttributesOfTheRepositoryRunNothing(t *testing.T) {
	program, marker := trap(t)
	root := operator(t, map[string]string{".gitattributes": "", "a": "1\r\n", "$Id$": "$Id$\n"})
	write(t, root, map[string]string{".gitattributes": hostileAttributes, ".gitmodules": "[submodule \"s\"]\n\tpath = s\n\turl = file:///etc\n\tupdate = !" + program + "\n"})
	run(t, root, "-c", "core.attributesFile=/dev/null", "update-index", "--add", "--cacheinfo", "100644,"+run(t, root, "hash-object", "-w", "--no-filters", ".gitattributes")+",.gitattributes")
	run(t, root, "update-index", "--add", "--cacheinfo", "100644,"+run(t, root, "hash-object", "-w", "--no-filters", ".gitmodules")+",.gitmodules")
	run(t, root, "commit", "-q", "-m", "hostile")
	config := read(t, root, ".git/config")
	write(t, root, map[string]string{".git/config": config + hostileConfig(program), ".git/info/attributes": hostileAttributes})
	before := snapshot(t, root)
	trees := openTrees(t)
	w := openWorkspace(t, trees, root)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	same(t, "content", read(t, tree.Path(), "a"), "1\r\n")
	same(t, "content", read(t, tree.Path(), "$Id$"), "$Id$\n")
	write(t, tree.Path(), map[string]string{"a": "2\r\n"})
	c, _ := keep(t, tree, tree.Start())
	same(t, "changes", c.paths(), []string{"modify a"})
	if _, err := w.Apply(t.Context(), ApplyRequest{Commit: c.Commit, Branch: "result"}); err != nil {
		t.Errorf("Apply: %v", err)
	}
	if _, err := w.Restore(t.Context(), c.Commit, filepath.Join(t.TempDir(), "out")); err != nil {
		t.Errorf("Restore: %v", err)
	}
	run(t, root, "update-ref", "-d", "refs/heads/result")
	if err := os.RemoveAll(filepath.Join(root, ".git/logs/refs/heads/result")); err != nil {
		t.Fatal(err)
	}
	sameSnapshot(t, before, snapshot(t, root))
	notRun(t, marker)
}

func TestS84_LinksAreKeptAsLinksAndNeverFollowed(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, map[string]string{"key": "s3cret\n", "sub/key": "s3cret\n"})
	b := newBench(t, map[string]string{"a": "1\n", "dir/x": "1\n", "dir/y": "1\n", "up": "1\n"})
	p := b.tree.Path()
	if err := os.RemoveAll(filepath.Join(p, "dir")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p, "up")); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"dir": secret, "link": filepath.Join(secret, "key"), "up": "../../../..", "loop": "loop", "dangling": "/nonexistent"} {
		if err := os.Symlink(to, filepath.Join(p, name)); err != nil {
			t.Fatal(err)
		}
	}
	c, patch := keep(t, b.tree, b.base)
	if strings.Contains(patch, "s3cret") {
		t.Errorf("the patch has a file from outside:\n%s", patch)
	}
	same(t, "link", run(t, b.root, "cat-file", "-p", c.Commit+":link"), filepath.Join(secret, "key"))
	same(t, "changes", c.paths(), []string{"add dangling", "add dir", "add link", "add loop", "delete dir/x", "delete dir/y", "type up"})
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	if err := b.tree.Remove(t.Context()); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	if err := b.trees.EmptyTrash(t.Context()); err != nil {
		t.Fatalf("EmptyTrash: %v", err)
	}
	same(t, "outside", read(t, secret, "sub/key"), "s3cret\n")
}

func TestS84_OddNamesAreKeptAsTheyAre(t *testing.T) {
	names := []string{
		"new\nline", "tab\there", "q\"uote", "back\\slash", "bad\xff\xfeutf8", "-rf", "--help", " lead", "trail ", "esc\x1b[31m",
		":(top)x", "*", "?", "[a]", "$HOME", "a;b", "...", "~", "git~2", ".gitx", ".git.x", "\u200cplain", "con", "a:b", strings.Repeat("n", 255),
	}
	b := newBench(t, map[string]string{"a": "1\n"})
	want := make(map[string]string)
	for i, n := range names {
		want[n] = fmt.Sprint(i, "\n")
		want["d/"+n] = fmt.Sprint("d", i, "\n")
	}
	write(t, b.tree.Path(), want)
	c, patch := keep(t, b.tree, b.base)
	got := make(map[string]bool)
	for _, f := range c.Diff.Files {
		got[f.Path] = true
		if f.Op != "add" || f.Added != 1 || f.Size != int64(len(want[f.Path])) {
			t.Errorf("%q: %+v", f.Path, f)
		}
	}
	for n := range want {
		if !got[n] {
			t.Errorf("%q is not among the changes", n)
		}
	}
	if strings.ContainsAny(patch, "\x1b\xff") {
		t.Error("the patch has raw control bytes or broken text in names")
	}
	second := create(t, b.w, "att_2", c.Commit)
	for n, text := range want {
		if read(t, second.Path(), n) != text {
			t.Errorf("%q did not come back", n)
		}
	}
	if c2, _ := keep(t, second, c.Commit); c2.TreeAfter != c.TreeAfter {
		t.Error("a tree with odd names does not come back as it was")
	}
}

func TestS84_NamesThatMeanGitElsewhereAreRefused(t *testing.T) {
	names := []string{".git", ".GIT", ".Git", "git~1", "GIT~1", ".git ", ".git.", ".git . .", ".git::$INDEX_ALLOCATION", "x\\.git", ".g\u200cit", ".\u202egit", "\ufeff.git"}
	b := newBench(t, map[string]string{"a": "1\n"})
	var want []string
	for i, n := range names {
		dir := fmt.Sprintf("d%02d", i)
		write(t, b.tree.Path(), map[string]string{dir + "/" + n + "/config": "[core]\n fsmonitor = /bin/false\n", dir + "/keep": "k\n", dir + "/f/" + n: "gitdir: /etc\n"})
		want = append(want, "nested_git "+dir+"/"+n, "nested_git "+dir+"/f/"+n)
	}
	for i, n := range []string{".gitmodules", "GITMOD~1", "gi7eba~1", ".gitmodules ", ".gitmo\u200cdules"} {
		dir := filepath.Join(b.tree.Path(), fmt.Sprintf("m%d", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../a", filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("nested_git m%d/%s", i, n))
	}
	c, _ := keep(t, b.tree, b.base)
	got := make(map[string]bool)
	for _, r := range c.reasons() {
		got[r] = true
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("not refused: %q", w)
		}
	}
	if len(got) != len(want) || len(c.Diff.Files) != len(names) {
		t.Errorf("%d refused, want %d; %d changes, want %d", len(got), len(want), len(c.Diff.Files), len(names))
	}
}

// reserved must be at least as strict as git: what git would refuse may not reach it, or a whole capture
// would fail for one name.
func TestReservedAgreesWithGit(t *testing.T) {
	root := operator(t, map[string]string{"a": "1\n"})
	blob := run(t, root, "hash-object", "-w", "a")
	parts := []string{".", "g", "i", "t", "G", "~", "1", " ", ":", "\\", "\u200c", "\xff", "m", "o", "d", "u", "l", "e", "s", "7", "b", "a", "2"}
	names := []string{".git", "git~1", "GIT~1 .", ".git:x", "a\\.git", "a\\git~1", ".gitmodules", "gitmod~1", "gitmod~5", "gi7eba~1", "gi7e~123", "gi7eb~10", "git", ".gi", ".gitignore", ".git\\x", ".git~1", "git~10", "git~1x", ".git\xff", "\xff.git", ".g\xff\u200cit", ".GITMODULES .", ".git\u200c", "gi7eba~1x"}
	seed := uint32(7)
	for range 400 {
		var n strings.Builder
		n.WriteString([]string{".git", "git~", ".gitmod", "gi7", ".", ""}[seed%6])
		for range seed % 5 {
			seed = seed*1664525 + 1013904223
			n.WriteString(parts[seed>>8%uint32(len(parts))])
		}
		seed = seed*1664525 + 1013904223
		names = append(names, n.String())
	}
	for _, mode := range []string{"100644", "120000"} {
		for _, n := range names {
			if n == "" || n == "." || n == ".." {
				continue
			}
			_, err := tryRun(t, root, "-c", "core.protectHFS=true", "-c", "core.protectNTFS=true", "update-index", "--add", "--cacheinfo", mode+","+blob+",d/"+n)
			ours := reserved(n)
			if mode == "120000" {
				ours = reservedLink(n)
			}
			if err != nil && !ours {
				t.Errorf("git refuses %q with mode %s, reserved does not", n, mode)
			}
			if err == nil && ours && mode == "100644" {
				t.Errorf("reserved refuses %q, git does not", n)
			}
		}
	}
}

func TestS84_SpecialFilesAreRefusedWithoutOpeningThem(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "dir/x": "1\n"})
	p := b.tree.Path()
	mkfifo(t, filepath.Join(p, "dir/pipe"))
	if err := os.Remove(filepath.Join(p, "a")); err != nil {
		t.Fatal(err)
	}
	mkfifo(t, filepath.Join(p, "a"))
	t.Chdir(p) // a socket's path is short
	l, err := net.Listen("unix", "sock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := []string{"special_file a", "special_file dir/pipe", "special_file sock"}
	if err := unix.Mknod(filepath.Join(p, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err == nil {
		want = []string{want[0], want[1], "special_file null", want[2]}
	}
	c, _ := keep(t, b.tree, b.base)
	same(t, "refused", c.reasons(), want)
	same(t, "changes", c.paths(), []string{"delete a"})
}

func TestS84_SubmodulesStayEmptyAndTheirPlaceIsWatched(t *testing.T) {
	program, marker := trap(t)
	lib := operator(t, map[string]string{"lib": "1\n"})
	root := operator(t, map[string]string{"a": "1\n"})
	run(t, root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", lib, "sub")
	write(t, root, map[string]string{".gitmodules": read(t, root, ".gitmodules") + "\tupdate = !" + program + "\n\tignore = all\n"})
	base := commit(t, root, "submodule")
	w := openWorkspace(t, openTrees(t), root)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	same(t, "tree", listed(t, tree.Path()), []string{".gitmodules", "a", "sub/"})
	write(t, tree.Path(), map[string]string{"sub/planted": "x\n", "sub/.git/config": hostileConfig(program), "b": "2\n"})
	c, _ := keep(t, tree, base)
	same(t, "changes", c.paths(), []string{"add b"})
	same(t, "refused", c.reasons(), []string{"nested_git sub/.git", "in_submodule sub/planted"})
	if err := tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	same(t, "tree", listed(t, tree.Path()), []string{".gitmodules", "a", "b", "sub/"})
	gone := create(t, w, "att_2", base)
	if err := os.Remove(filepath.Join(gone.Path(), "sub")); err != nil {
		t.Fatal(err)
	}
	write(t, gone.Path(), map[string]string{".gitmodules": "garbage[[[\n"})
	c, patch := keep(t, gone, base)
	same(t, "changes", c.paths(), []string{"delete sub", "modify .gitmodules"})
	if !strings.Contains(patch, "-Subproject commit") {
		t.Errorf("the patch hides the submodule:\n%s", patch)
	}
	notRun(t, marker)
}
