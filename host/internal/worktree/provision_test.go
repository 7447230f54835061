package worktree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

const secretText = "API_KEY=0123456789abcdef\n"

func provisioned(t *testing.T, more map[string]string) *bench {
	t.Helper()
	files := map[string]string{"a": "1\n", ".gitignore": ".env\nconf/\n"}
	for k, v := range more {
		files[k] = v
	}
	b := &bench{root: operator(t, files), trees: openTrees(t)}
	write(t, b.root, map[string]string{".env": secretText, "conf/local/key.pem": "-----BEGIN KEY-----\n"})
	b.w = openWorkspace(t, b.trees, b.root)
	b.base = resolve(t, b.w, "main")
	b.tree = create(t, b.w, "att_1", b.base, ".env", "conf/local/key.pem")
	return b
}

func (b *bench) noSecret(t *testing.T, c Captured, patch string) {
	t.Helper()
	if strings.Contains(patch, "API_KEY=0123") || strings.Contains(patch, "BEGIN KEY") {
		t.Errorf("the patch has a provisioned file:\n%s", patch)
	}
	for _, f := range files(t, b.root, c.Commit) {
		if text := run(t, b.root, "cat-file", "-p", c.Commit+":"+f); strings.Contains(text, "API_KEY=0123") || strings.Contains(text, "BEGIN KEY") {
			t.Errorf("%s of the commit has a provisioned file", f)
		}
	}
}

func TestProvisionedFilesAreThereButNeverInTheResult(t *testing.T) {
	b := provisioned(t, nil)
	p := b.tree.Path()
	same(t, "provisioned", read(t, p, ".env"), secretText)
	write(t, p, map[string]string{".gitignore": "", "b": "2\n"})
	c, patch := keep(t, b.tree, b.base)
	same(t, "changes", c.paths(), []string{"add b", "modify .gitignore"})
	b.noSecret(t, c, patch)
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	same(t, "provisioned afresh", read(t, p, ".env")+read(t, p, "conf/local/key.pem"), secretText+"-----BEGIN KEY-----\n")
	same(t, "tree", listed(t, p), []string{".env", ".gitignore", "a", "b", "conf/", "conf/local/", "conf/local/key.pem"})
	fi, err := os.Stat(filepath.Join(p, ".env"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestATreeOutlivesTheHandleOfItsWorkspace(t *testing.T) {
	b := &bench{root: operator(t, map[string]string{"a": "1\n"}), trees: openTrees(t)}
	write(t, b.root, map[string]string{".env": secretText})
	w, err := b.trees.Workspace(t.Context(), "api", b.root)
	if err != nil {
		t.Fatalf("Workspace: %v", err)
	}
	tree := create(t, w, "att_1", resolve(t, w, "main"), ".env")
	if err := w.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	write(t, tree.Path(), map[string]string{"a": "2\n", "copy": secretText})
	c, _ := keep(t, tree, tree.Start())
	same(t, "refused", c.reasons(), []string{"provisioned copy"})
	if err := tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	same(t, "tree", listed(t, tree.Path()), []string{".env", "a"})
}

func TestProvisionedFilesThatTheExecutorMovedCopiedOrReplacedAreNotKept(t *testing.T) {
	b := provisioned(t, nil)
	p := b.tree.Path()
	write(t, p, map[string]string{".gitignore": "", "copy/of/it": secretText, "a": secretText})
	if err := os.Link(filepath.Join(p, ".env"), filepath.Join(p, "hardlink")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(p, "conf/local/key.pem"), filepath.Join(p, "moved")); err != nil {
		t.Fatal(err)
	}
	write(t, p, map[string]string{"conf/local/key.pem/inner": "directory in its place\n"})
	c, patch := keep(t, b.tree, b.base)
	b.noSecret(t, c, patch)
	same(t, "refused", c.reasons(), []string{"provisioned a", "provisioned copy/of/it", "provisioned hardlink", "provisioned moved"})
	same(t, "changes", c.paths(), []string{"delete a", "modify .gitignore"})
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	same(t, "provisioned afresh", read(t, p, "conf/local/key.pem"), "-----BEGIN KEY-----\n")
	if exists(filepath.Join(b.tree.home, withheldName, "0")) {
		t.Error("withheld files stay on the disk")
	}
}

func TestAProvisionedPathIsNotReachedThroughALink(t *testing.T) {
	b := provisioned(t, nil)
	outside := filepath.Join(t.TempDir(), "local")
	write(t, outside, map[string]string{"key.pem": "not ours\n"})
	if err := os.RemoveAll(filepath.Join(b.tree.Path(), "conf/local")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(b.tree.Path(), "conf/local")); err != nil {
		t.Fatal(err)
	}
	keep(t, b.tree, b.base)
	same(t, "outside", read(t, outside, "key.pem"), "not ours\n")
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	same(t, "outside", listed(t, outside), []string{"key.pem"})
}

func TestWithheldPathsKeepTheirOldState(t *testing.T) {
	b := provisioned(t, map[string]string{"tracked/secret": "old\n", "tracked/plain": "old\n"})
	p := b.tree.Path()
	write(t, p, map[string]string{"tracked/secret": "new\n", "tracked/plain": "new\n", "token.json": "t\n", "dir/x": "x\n"})
	c, err := b.tree.Capture(t.Context(), CaptureRequest{
		Base: b.base, When: fixedTime, Withhold: []string{"tracked/secret", "token.json", "dir", "missing/one"},
	})
	if err != nil {
		t.Fatalf("Capture: %v", err)
	}
	same(t, "changes", c.paths(), []string{"modify tracked/plain"})
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	same(t, "withheld", read(t, p, "tracked/secret"), "old\n")
}

func TestWhatCannotBeProvisionedIsRefusedWithItsReason(t *testing.T) {
	root := operator(t, map[string]string{"tracked": "1\n", "dir/file": "1\n"})
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, map[string]string{"x": "s3cret"})
	for name, to := range map[string]string{"link": filepath.Join(outside, "x"), "linkdir": outside} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	mkfifo(t, filepath.Join(root, "pipe"))
	write(t, root, map[string]string{"big": ""})
	if err := os.Truncate(filepath.Join(root, "big"), maxProvisionBytes+1); err != nil {
		t.Fatal(err)
	}
	w := openWorkspace(t, openTrees(t), root)
	base := resolve(t, w, "main")
	for path, says := range map[string]string{
		"missing": "does not exist", "link": "symbolic link", "linkdir/x": "symbolic link", "pipe": "plain file",
		"dir": "plain file", "big": "64 MiB", "tracked": "tracked by the repository", "dir/file": "tracked by the repository",
	} {
		_, err := w.Create(t.Context(), CreateRequest{AttemptID: "att_1", Start: base, Provision: Provision{Copy: []string{path}}})
		f := fault.From(err)
		if f.Code != fault.WorkspaceUnusable || !strings.Contains(f.Message, says) {
			t.Errorf("%s: got %v, want %q", path, err, says)
		}
		if exists(w.trees.home("att_1")) {
			t.Errorf("%s: a tree is left", path)
		}
	}
}
