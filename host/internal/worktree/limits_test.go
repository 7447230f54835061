package worktree

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestS84_TreesWithoutEndAreCutOff(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	deep := func(n int, name string) {
		fd, err := unix.Open(b.tree.Path(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := unix.Mkdirat(fd, name, 0o755); err != nil {
				t.Fatal(err)
			}
			next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				t.Fatal(err)
			}
			closeFD(fd)
			fd = next
		}
		f, err := unix.Openat(fd, "leaf", unix.O_CREAT|unix.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		closeFD(f)
		closeFD(fd)
	}
	deep(3000, "d")
	deep(40, strings.Repeat("w", 200))
	deep(200, "ok")
	c, _ := keep(t, b.tree, b.base)
	var why []string
	for _, r := range c.Refused {
		why = append(why, r.Why)
	}
	same(t, "refused", why, []string{whyDeep, whyLong})
	same(t, "changes", c.paths(), []string{"add " + strings.Repeat("ok/", 200) + "leaf"})
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	if err := b.tree.Remove(t.Context()); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	if err := b.trees.EmptyTrash(t.Context()); err != nil {
		t.Fatalf("EmptyTrash: %v", err)
	}
	same(t, "trash", listed(t, filepath.Join(b.trees.dir, trashDir)), []string(nil))
}

func TestS84_ModesThatShutTheHostOutAreOpened(t *testing.T) {
	unprivileged(t)
	b := newBench(t, map[string]string{"a": "1\n", "dir/x": "1\n", "dir/sub/y": "1\n"})
	p := b.tree.Path()
	write(t, p, map[string]string{"dir/new": "n\n", "dir/.git/config": "x\n", "a": "22\n", "junk/z": "z\n", ".gitignore": "junk\n"})
	for _, c := range []struct {
		name string
		mode os.FileMode
	}{{"a", 0o200}, {"dir/new", 0}, {"dir/.git", 0}, {"dir/sub", 0o555}, {"dir", 0}, {"junk", 0}, {".", 0o111}} {
		if err := os.Chmod(filepath.Join(p, c.name), c.mode); err != nil {
			t.Fatal(err)
		}
	}
	c, _ := keep(t, b.tree, b.base)
	same(t, "changes", c.paths(), []string{"add .gitignore", "add dir/new", "modify a"})
	same(t, "refused", c.reasons(), []string{"nested_git dir/.git"})
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	if err := b.tree.Remove(t.Context()); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	if err := b.trees.EmptyTrash(t.Context()); err != nil {
		t.Fatalf("EmptyTrash: %v", err)
	}
	same(t, "trash", listed(t, filepath.Join(b.trees.dir, trashDir)), []string(nil))
}

func TestManyRefusedEntriesAreCounted(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	for i := range maxRefused + 25 {
		mkfifo(t, filepath.Join(b.tree.Path(), fmt.Sprintf("p%05d", i)))
	}
	c, _ := keep(t, b.tree, b.base)
	if n := len(c.Refused); n != maxRefused+1 || c.Refused[n-1].Path != "25" || c.Refused[n-1].Why != whyMore {
		t.Errorf("%d refused, last %+v", n, c.Refused[n-1])
	}
}

func TestAFileThatIsTooLargeIsRefusedUnlessItWasThere(t *testing.T) {
	b := newBench(t, map[string]string{"old": strings.Repeat("x", 5000), "edit": strings.Repeat("y", 5000)})
	write(t, b.tree.Path(), map[string]string{"edit": strings.Repeat("z", 5001), "ok": strings.Repeat("o", 4000)})
	if err := os.Truncate(filepath.Join(b.tree.Path(), "ok"), 4000); err != nil {
		t.Fatal(err)
	}
	sparse := filepath.Join(b.tree.Path(), "sparse")
	write(t, b.tree.Path(), map[string]string{"sparse": ""})
	if err := os.Truncate(sparse, 1<<40); err != nil {
		t.Skipf("no sparse file here: %v", err)
	}
	c, err := b.tree.Capture(t.Context(), CaptureRequest{Base: b.base, When: fixedTime, MaxFile: 4096})
	if err != nil {
		t.Fatalf("Capture: %v", err)
	}
	same(t, "refused", c.reasons(), []string{"too_large edit", "too_large sparse"})
	same(t, "changes", c.paths(), []string{"add ok", "delete edit"})
}

func TestLargeFilesTravelAsPacks(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	if err := os.WriteFile(filepath.Join(b.tree.Path(), "big"), make([]byte, 65<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := b.tree.Capture(t.Context(), CaptureRequest{Base: b.base, When: fixedTime})
	if err != nil {
		t.Fatalf("Capture: %v", err)
	}
	same(t, "size", run(t, b.root, "cat-file", "-s", c.Commit+":big"), fmt.Sprint(65<<20))
	run(t, b.w.mirror.dir, "fsck", "--no-dangling")
}
