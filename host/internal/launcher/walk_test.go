package launcher

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Both ways of opening find the same files and refuse the same links.
func TestAWalkOpensWhatOpenat2Opens(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a/b", "outside"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"a/relative": "b", "a/absolute": "/a/b", "a/up": "../../../../a/b", "a/loop": "loop", "a/gone": "nowhere", "a/chain": "absolute",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	for _, name := range []string{
		"/", "/a", "/a/b", "/a/relative", "/a/absolute", "/a/up", "/a/loop", "/a/gone", "/a/chain", "/missing", "/a/relative/missing",
	} {
		for _, resolve := range []uint64{0, unix.RESOLVE_NO_SYMLINKS} {
			want, wantErr := openBelow(root, name, resolve)
			got, err := walkBelow(root, name, resolve == 0)
			if err != wantErr {
				t.Errorf("%s, %d: %v, want %v", name, resolve, err, wantErr)
			}
			if err != nil || wantErr != nil {
				continue
			}
			var a, b unix.Stat_t
			if err := unix.Fstat(want, &a); err != nil {
				t.Fatal(err)
			}
			if err := unix.Fstat(got, &b); err != nil {
				t.Fatal(err)
			}
			if a.Ino != b.Ino {
				t.Errorf("%s: another file", name)
			}
			unix.Close(want)
			unix.Close(got)
		}
	}
}
