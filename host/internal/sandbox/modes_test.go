package sandbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// changeModes is the payload: every way to change the mode or the times of a file without writing to it.
func changeModes(args []string) int {
	for _, name := range args {
		link := filepath.Join(os.Getenv("TMPDIR"), fmt.Sprintf("link-%d", time.Now().UnixNano()))
		if err := os.Symlink(name, link); err != nil {
			return 1
		}
		handle, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return 1
		}
		byHandle := fmt.Sprintf("/proc/self/fd/%d", handle)
		for way, err := range map[string]error{
			"chmod":             unix.Chmod(name, 0o777),
			"fchmodat":          unix.Fchmodat(unix.AT_FDCWD, name, 0o777, 0),
			"fchmodat2":         unix.Fchmodat(unix.AT_FDCWD, name, 0o777, unix.AT_SYMLINK_NOFOLLOW),
			"through a link":    unix.Chmod(link, 0o777),
			"through /proc":     unix.Chmod(byHandle, 0o777),
			"by a handle":       unix.Fchmodat(handle, "", 0o777, unix.AT_EMPTY_PATH),
			"fchmod":            fchmodReading(name),
			"times":             unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0),
			"times of a handle": unix.UtimesNanoAt(unix.AT_FDCWD, byHandle, []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0),
			"owner":             unix.Chown(name, os.Getuid(), os.Getgid()),
			"attribute":         unix.Setxattr(name, "user.x", []byte("x"), 0),
			"set-uid":           unix.Chmod(name, 0o4755),
		} {
			if err == nil {
				fmt.Println(way)
			}
		}
	}
	return 0
}

// fchmodReading needs no more than the right to read.
func fchmodReading(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fchmod(int(f.Fd()), 0o777)
}

// Landlock does not know modes and times, so who owns a file could change them anywhere: the operator's keys,
// the daemon's files, the tree that is judged.
func TestS30_LandlockAloneKeepsModesAndTimes(t *testing.T) {
	f := newFixture(t)
	x := outsideWorld(t, f)
	judged := write(t, filepath.Join(f.tree, "judged"), "text")
	before := []string{describeFile(t, x.Secret), describeFile(t, x.State), describeFile(t, judged)}
	text, end := f.payload(sandbox.Request{Policy: guarded(), Tree: sandbox.Tree{Path: f.tree, Mode: sandbox.TreeOverlay}},
		"modes", x.Secret, x.State, judged)
	if end.Code != 0 || text != "" {
		t.Errorf("exit %+v, these ways worked: %s", end, text)
	}
	for i, name := range []string{x.Secret, x.State, judged} {
		if got := describeFile(t, name); got != before[i] {
			t.Errorf("%s was %s and is %s", name, before[i], got)
		}
	}
	t.Run("and there it works", func(t *testing.T) {
		text, end := f.payload(sandbox.Request{Policy: guarded(), Tree: f.writable()}, "modes", judged)
		if want := 9; end.Code != 0 || strings.Count(text, "\n") != want {
			t.Errorf("exit %+v, %d ways of %d worked: %s", end, strings.Count(text, "\n"), want, text)
		}
		if got := describeFile(t, judged); got != "-rwxrwxrwx 1" {
			t.Errorf("it is %s", got)
		}
	})
	t.Run("as the usual programs do it", func(t *testing.T) {
		text, end := f.script(sandbox.Request{Policy: guarded(), Tree: f.writable()}, `set -e
			cd /; cd "$1"; mkdir -p d; cp -p judged d/copy; chmod 640 d/copy; cd d; touch -d @77 copy; chmod g-r ./copy; stat -c '%a %Y' copy
			tar cf ../a.tar copy; rm copy; tar xf ../a.tar; install -m 755 copy installed; stat -c %a installed; chmod 644 missing 2>&1 | grep -c 'No such file'`, f.tree)
		if want := "600 77\n755\n1\n"; end.Code != 0 || text != want {
			t.Errorf("exit %+v: %q, want %q", end, text, want)
		}
	})
}

func describeFile(t *testing.T, name string) string {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%v %d", info.Mode(), info.ModTime().Unix())
}
