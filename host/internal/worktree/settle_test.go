package worktree

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

// prepared is a tree that commands prepare, with a linked directory.
func prepared(t *testing.T) *bench {
	t.Helper()
	b := &bench{root: operator(t, map[string]string{"a": "1\n", "src/b": "2\n", ".gitignore": "node_modules\n"}), trees: openTrees(t)}
	write(t, b.root, map[string]string{"node_modules/tiny/index.js": "4\n"})
	b.w = openWorkspace(t, b.trees, b.root)
	b.base = resolve(t, b.w, "main")
	b.tree = b.create(t, "att_1")
	return b
}

func (b *bench) create(t *testing.T, id string) *Tree {
	t.Helper()
	tree, err := b.w.Create(t.Context(), CreateRequest{AttemptID: id, Start: b.base, Provision: Provision{Link: []string{"node_modules"}, Commands: true}})
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return tree
}

func (b *bench) settled(t *testing.T) {
	t.Helper()
	if err := b.tree.Settle(t.Context()); err != nil {
		t.Fatalf("Settle: %v", err)
	}
}

func TestWhatPreparesATreeIsNeverInTheResult(t *testing.T) {
	b := prepared(t)
	p := b.tree.Path()
	write(t, p, map[string]string{"dist/x": "made\n", "src/gen.go": "made\n"})
	b.settled(t)
	write(t, p, map[string]string{"a": "mine\n", "dist/y": "mine, at the wrong place\n", "src/new": "mine\n", "node_modules/z": "in the place\n"})
	c, _ := keep(t, b.tree, b.base)
	same(t, "changes", c.paths(), []string{"add src/new", "modify a"})
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	same(t, "tree", listed(t, p), []string{".gitignore", "a", "node_modules/", "src/", "src/b", "src/new"})
	write(t, p, map[string]string{"dist/x": "made again\n"})
	b.settled(t)
}

func TestALinkedDirectoryIsNamedAsItIsNow(t *testing.T) {
	b := prepared(t)
	links, err := b.tree.Links()
	if err != nil || len(links) != 1 || links[0].Host != filepath.Join(b.root, "node_modules") || links[0].Inside != filepath.Join(b.tree.Path(), "node_modules") || links[0].Ino == 0 {
		t.Errorf("links %+v, %v", links, err)
	}
	if err := os.RemoveAll(filepath.Join(b.root, "node_modules")); err != nil {
		t.Fatal(err)
	}
	_, err = b.tree.Links()
	wantCode(t, err, fault.WorkspaceUnusable)
}

// F21: what is shown is below the root that the operator named, whatever stands in the repository.
func TestF21_ALinkLeadsNowhere(t *testing.T) {
	b := prepared(t)
	outside := t.TempDir()
	if err := os.RemoveAll(filepath.Join(b.root, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(b.root, "node_modules")); err != nil {
		t.Fatal(err)
	}
	_, err := b.tree.Links()
	wantCode(t, err, fault.WorkspaceUnusable)
	for _, bad := range []string{"..", "../x", "/etc", "a/../..", ".git", "x/.git/y", ""} {
		_, err := b.w.Create(t.Context(), CreateRequest{AttemptID: "att_2", Start: b.base, Provision: Provision{Link: []string{bad}}})
		wantCode(t, err, fault.InvalidRequest)
	}
	_, err = b.w.Create(t.Context(), CreateRequest{AttemptID: "att_3", Start: b.base, Provision: Provision{Link: []string{"src"}}})
	wantCode(t, err, fault.WorkspaceUnusable)
	_, err = b.w.Create(t.Context(), CreateRequest{AttemptID: "att_4", Start: b.base, Provision: Provision{Link: []string{"a/b"}}})
	wantCode(t, err, fault.TreeRefused)
}

func TestCommandsThatTouchWhatIsTrackedAreRefused(t *testing.T) {
	for name, do := range map[string]func(p string) error{
		"written":  func(p string) error { return os.WriteFile(filepath.Join(p, "a"), []byte("2\n"), 0o644) },
		"the same": func(p string) error { return os.WriteFile(filepath.Join(p, "a"), []byte("1\n"), 0o644) },
		"removed":  func(p string) error { return os.Remove(filepath.Join(p, "src/b")) },
		"mode":     func(p string) error { return os.Chmod(filepath.Join(p, "a"), 0o755) },
		"replaced by a link": func(p string) error {
			return os.Rename(filepath.Join(p, "src"), filepath.Join(p, "elsewhere"))
		},
		"flooded": func(p string) error {
			for i := range maxMade + 1 {
				if err := os.WriteFile(filepath.Join(p, "f"+strconv.Itoa(i)), nil, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := prepared(t)
			if err := do(b.tree.Path()); err != nil {
				t.Fatal(err)
			}
			wantCode(t, b.tree.Settle(t.Context()), fault.TreeRefused)
			c, _ := keep(t, b.tree, b.base)
			same(t, "changes", c.paths(), []string(nil))
		})
	}
}

func TestCommandsThatWereCutOffLeaveNothingBehind(t *testing.T) {
	b := prepared(t)
	write(t, b.tree.Path(), map[string]string{"a": "half\n", "dist/x": "half\n"})
	again, err := b.w.Reopen(t.Context(), "att_1") // as the next daemon finds it
	if err != nil {
		t.Fatal(err)
	}
	c, _ := keep(t, again, b.base)
	same(t, "changes", c.paths(), []string(nil))
}
