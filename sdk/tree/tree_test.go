package tree_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/drawspan/drawspan/sdk/tree"
)

func planted(t *testing.T) *os.Root {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sub", "file"), []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "sub/file", "out": "/etc/passwd", "nowhere": "none", "up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestAFileIsReadWithinItsBoundOrNotAtAll(t *testing.T) {
	root := planted(t)
	if data, err := tree.Read(root, "sub/file", 10); err != nil || string(data) != "0123456789" {
		t.Errorf("Read = %q, %v", data, err)
	}
	if data, err := tree.Read(root, "sub/file", 9); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("Read beyond the bound = %q, %v", data, err)
	}
	if data, err := tree.Head(root, "sub/file", 3); err != nil || string(data) != "012" {
		t.Errorf("Head = %q, %v", data, err)
	}
}

func TestF9_NothingButAFileOfTheTreeIsOpened(t *testing.T) {
	root := planted(t)
	for name, want := range map[string]error{
		"link": tree.ErrNotFile, "out": tree.ErrNotFile, "nowhere": tree.ErrNotFile, "pipe": tree.ErrNotFile, "sub": tree.ErrNotFile,
		".": tree.ErrNotFile, "none": fs.ErrNotExist, "../x": nil, "/etc/passwd": nil, "up/x": nil, "": nil, "a\x00": nil,
	} {
		if f, err := tree.Open(root, name); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("Open(%q) = %v, %v, want %v", name, f, err, want)
		}
	}
}

func TestMoreThanTheBoundIsAnErrorAndNoEnd(t *testing.T) {
	for n, want := range map[int]error{0: nil, 4: nil, 5: tree.ErrTooLarge, 5000: tree.ErrTooLarge} {
		var got bytes.Buffer
		_, err := io.Copy(&got, tree.AtMost(strings.NewReader(strings.Repeat("x", n)), 4))
		if !errors.Is(err, want) || err == nil && got.Len() != n {
			t.Errorf("%d bytes: %d, %v, want %v", n, got.Len(), err, want)
		}
	}
}
