package tool_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/drawspan/drawspan/sdk/tool"
)

func TestACopyOfATreeMayBeWrittenTo(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, mode := range map[string]os.FileMode{"sub/program": 0o500, "file": 0o400} {
		if err := os.MkdirAll(filepath.Join(from, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(from, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(from, "sub"), 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(from, "sub"), 0o700) })
	if err := tool.CopyTree(t.Context(), to, from); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "sub", "program")); err != nil || string(text) != "sub/program" {
		t.Errorf("the copy holds %q, %v", text, err)
	}
	if info, err := os.Stat(filepath.Join(to, "sub", "program")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a program became %v, %v", info, err)
	}
	if target, err := os.Readlink(filepath.Join(to, "link")); err != nil || target != "/etc" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if _, err := os.Lstat(filepath.Join(to, "pipe")); err == nil {
		t.Error("a pipe was copied")
	}
	if err := os.WriteFile(filepath.Join(to, "sub", "new"), nil, 0o600); err != nil {
		t.Error(err)
	}
}
