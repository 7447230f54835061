package worktree

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// F21: a directory that programs wrote to is taken away at once, and deleted whatever they made of it.
func TestF21_ADirectoryIsDiscardedWhateverIsInIt(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, map[string]string{"key": "s3cret\n"})
	trees := openTrees(t)
	dir := filepath.Join(trees.dir, "caches", "api", "npm")
	write(t, dir, map[string]string{"a": "1\n", "d/\x1b[2J\n\xff": "2\n", strings.Repeat("deep/", 200) + "f": "3\n"})
	err := errors.Join(os.Symlink(outside, filepath.Join(dir, "link")), os.Chmod(filepath.Join(dir, "d"), 0), os.Chmod(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := trees.Discard(dir); err != nil {
		t.Fatalf("Discard: %v", err)
	}
	if exists(dir) {
		t.Error("it is still in its place")
	}
	if err := trees.EmptyTrash(t.Context()); err != nil {
		t.Fatalf("EmptyTrash: %v", err)
	}
	same(t, "trash", listed(t, filepath.Join(trees.dir, trashDir)), []string(nil))
	same(t, "outside", read(t, outside, "key"), "s3cret\n")
	if err := trees.Discard(dir); err != nil {
		t.Errorf("one that is not there: %v", err)
	}
}
