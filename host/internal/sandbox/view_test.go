package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

func TestTheTreeIsWritableAtItsOwnPath(t *testing.T) {
	f := newFixture(t)
	text, end := f.script(sandbox.Request{Tree: f.writable()}, "pwd; echo text >sub-file; mkdir sub; mv sub-file sub/")
	if end.Code != 0 || text != f.tree+"\n" {
		t.Fatalf("exit %+v: %q", end, text)
	}
	if got := read(t, filepath.Join(f.tree, "sub", "sub-file")); got != "text\n" {
		t.Errorf("outside it is %q", got)
	}
}

func TestAnOverlaidTreeIsUntouchedBelow(t *testing.T) {
	f := newFixture(t)
	kept := write(t, filepath.Join(f.tree, "dir", "kept"), "before")
	write(t, filepath.Join(f.tree, "removed"), "before")
	text, end := f.script(sandbox.Request{Tree: sandbox.Tree{Path: f.tree, Mode: sandbox.TreeOverlay}}, `
		set -e
		echo after >dir/kept; rm removed; echo new >new; mkdir made; mv dir moved
		cat moved/kept; ls`)
	if want := "after\nmade\nmoved\nnew\n"; end.Code != 0 || text != want {
		t.Errorf("inside: %q, want %q (%+v)", text, want, end)
	}
	if got := read(t, kept); got != "before" {
		t.Errorf("outside it is %q", got)
	}
	entries, err := os.ReadDir(f.tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the tree holds %v", entries)
	}
}

func TestS78_AValidatorCannotChangeWhatItJudges(t *testing.T) {
	f := newFixture(t)
	write(t, filepath.Join(f.tree, "code"), "judged")
	r := sandbox.Request{Tree: sandbox.Tree{Path: f.tree, Mode: sandbox.TreeOverlay}}
	for range 2 { // the second sees nothing of the first
		text, end := f.script(r, "cat code; echo changed >code; ls; : >left")
		if end.Code != 0 || text != "judgedcode\n" {
			t.Errorf("exit %+v: %q", end, text)
		}
	}
}

func TestATreeThatIsNotTheOneThatWasPinnedIsRefused(t *testing.T) {
	f := newFixture(t)
	var st unix.Stat_t
	if err := unix.Lstat(f.tree, &st); err != nil {
		t.Fatal(err)
	}
	pinned := sandbox.Tree{Path: f.tree, Mode: sandbox.TreeWritable, Dev: uint64(st.Dev), Ino: st.Ino}
	other := realTemp(t)
	refused := func(t *testing.T, tree sandbox.Tree) {
		t.Helper()
		for _, mode := range []string{sandbox.TreeWritable, sandbox.TreeOverlay} {
			tree.Mode = mode
			_, err := f.box.Launch(deadline(t), sandbox.Request{Policy: isolated(), Tree: tree, Path: "/bin/true"})
			if !fault.Is(err, fault.TreeRefused) {
				t.Errorf("%s: got %v", mode, err)
			}
		}
	}
	t.Run("the pinned one is taken", func(t *testing.T) {
		if _, end := f.script(sandbox.Request{Tree: pinned}, ": >here"); end.Code != 0 {
			t.Errorf("exit: %+v", end)
		}
	})
	t.Run("another directory in its place", func(t *testing.T) {
		if err := os.Rename(f.tree, f.tree+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(f.tree, 0o755); err != nil {
			t.Fatal(err)
		}
		refused(t, pinned)
	})
	t.Run("a symbolic link in its place", func(t *testing.T) {
		if err := os.Remove(f.tree); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(other, f.tree); err != nil {
			t.Fatal(err)
		}
		refused(t, pinned)
		refused(t, sandbox.Tree{Path: f.tree})
	})
	t.Run("a symbolic link above it", func(t *testing.T) {
		if err := os.Mkdir(filepath.Join(other, "tree"), 0o755); err != nil {
			t.Fatal(err)
		}
		refused(t, sandbox.Tree{Path: filepath.Join(f.tree, "tree")})
	})
	t.Run("a path that is not clean", func(t *testing.T) {
		refused(t, sandbox.Tree{Path: other + "/../" + filepath.Base(other)})
		refused(t, sandbox.Tree{Path: "tree"})
		refused(t, sandbox.Tree{Path: filepath.Join(other, "missing")})
	})
}

func TestOnlyWhatIsNamedIsVisible(t *testing.T) {
	f := newFixture(t)
	tools := realTemp(t)
	write(t, filepath.Join(tools, "bin", "tool"), "#!/bin/sh\necho tool runs\n")
	if err := os.Chmod(filepath.Join(tools, "bin", "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	more := filepath.Dir(write(t, filepath.Join(realTemp(t), "more", "file"), "more\n"))
	cache := write(t, filepath.Join(realTemp(t), "cache", "entry"), "cached")
	missing := filepath.Join(realTemp(t), "missing-cache")
	policy := isolated()
	policy.Read = []string{more}
	policy.Env = map[string]string{"FROM_POLICY": "1", "SHARED": "policy"}
	policy.Toolchains = []work.Toolchain{{
		Name: "test", Read: []string{tools}, Overlay: []string{filepath.Dir(cache), missing},
		Path: []string{filepath.Join(tools, "bin")}, Env: map[string]string{"TOOL": "1", "SHARED": "toolchain"},
	}}
	bound := realTemp(t)
	r := sandbox.Request{
		Policy: policy,
		Binds: []sandbox.Bind{
			{Host: bound, Inside: "/bound/rw", Mode: "rw"},
			{Host: write(t, filepath.Join(bound, "one"), "1"), Inside: "/bound/file", Mode: "ro"},
		},
		Env: []string{"MINE=x"},
	}
	text, end := f.script(r, `
		set -e
		tool; cat `+more+`/file /bound/file; echo
		! echo x 2>/dev/null >`+tools+`/bin/other
		! echo x 2>/dev/null >/bound/file
		echo changed >`+cache+`; echo new >`+missing+`/new; echo out >/bound/rw/out
		cat `+cache+` `+missing+`/new
		echo $FROM_POLICY $SHARED $TOOL $MINE $HOME $TMPDIR
		echo x >$HOME/x; echo x >$TMPDIR/x; echo x >/var/tmp/x; echo x >/dev/shm/x
		ls /home`)
	want := "tool runs\nmore\n1\nchanged\nnew\n1 policy 1 x /home/user /tmp\nuser\n"
	if end.Code != 0 || text != want {
		t.Errorf("exit %+v:\n%s\nwant:\n%s", end, text, want)
	}
	if got := read(t, cache); got != "cached" {
		t.Errorf("the cache below is now %q", got)
	}
	if got := read(t, filepath.Join(bound, "out")); got != "out\n" {
		t.Errorf("the bound directory got %q", got)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the missing cache was made outside: %v", err)
	}
}

func TestWhatWouldShowTooMuchIsRefused(t *testing.T) {
	f := newFixture(t)
	inState := write(t, filepath.Join(f.state, "file"), "x")
	for name, change := range map[string]func(*sandbox.Request){
		"the home":             func(r *sandbox.Request) { r.Policy.Read = []string{f.home} },
		"above the home":       func(r *sandbox.Request) { r.Policy.Read = []string{filepath.Dir(f.home)} },
		"everything":           func(r *sandbox.Request) { r.Policy.Read = []string{"/"} },
		"the state directory":  func(r *sandbox.Request) { r.Binds = []sandbox.Bind{{Host: f.state, Inside: "/x", Mode: "ro"}} },
		"a file of the daemon": func(r *sandbox.Request) { r.Policy.Read = []string{inState} },
		"the canaries": func(r *sandbox.Request) {
			r.Binds = []sandbox.Bind{{Host: filepath.Join(f.state, "sandbox"), Mode: "ro"}}
		},
		"the host's /proc":    func(r *sandbox.Request) { r.Policy.Read = []string{"/proc"} },
		"the host's /dev":     func(r *sandbox.Request) { r.Binds = []sandbox.Bind{{Host: "/dev", Mode: "rw"}} },
		"the host's /etc":     func(r *sandbox.Request) { r.Policy.Read = []string{"/etc/passwd"} },
		"another /usr":        func(r *sandbox.Request) { r.Binds = []sandbox.Bind{{Host: f.tree, Inside: "/usr", Mode: "rw"}} },
		"a path that is gone": func(r *sandbox.Request) { r.Policy.Read = []string{"/no/such/path"} },
		"a socket":            func(r *sandbox.Request) { r.Policy.Read = []string{listen(t, f)} },
		"a relative path":     func(r *sandbox.Request) { r.Policy.Read = []string{"tools"} },
		"two for one place": func(r *sandbox.Request) {
			r.Binds = []sandbox.Bind{{Host: f.tree, Inside: "/x", Mode: "rw"}, {Host: f.tree, Inside: "/x", Mode: "overlay"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := sandbox.Request{Policy: isolated(), Path: "/bin/true"}
			change(&r)
			if _, err := f.box.Launch(deadline(t), r); !fault.Is(err, fault.ConfigInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func listen(t *testing.T, f *fixture) string {
	t.Helper()
	name := filepath.Join(f.tree, "sock")
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return name
}

func TestWhatThisVersionCannotEnforceIsRefused(t *testing.T) {
	f := newFixture(t)
	policy := isolated()
	policy.Level = "impenetrable"
	if _, err := f.box.Launch(deadline(t), sandbox.Request{Policy: policy, Path: "/bin/true"}); !fault.Is(err, fault.ConfigInvalid) {
		t.Errorf("an unknown level: got %v", err)
	}
	for name, r := range map[string]sandbox.Request{
		"no policy":      {Path: "/bin/true"},
		"no program":     {Policy: isolated()},
		"two programs":   {Policy: isolated(), Path: "/bin/true", Program: os.Stdin},
		"a zero byte":    {Policy: isolated(), Path: "/bin/true", Argv: []string{"a\x00b"}},
		"a relative dir": {Policy: isolated(), Path: "/bin/true", Dir: "x"},
		"a tree's mode":  {Policy: isolated(), Path: "/bin/true", Tree: sandbox.Tree{Path: f.tree, Mode: "ro"}},
		"a bind's mode":  {Policy: isolated(), Path: "/bin/true", Binds: []sandbox.Bind{{Host: f.tree, Mode: "x"}}},
		"a bind in the tree": {Policy: isolated(), Path: "/bin/true", Tree: f.writable(),
			Binds: []sandbox.Bind{{Host: f.tree, Inside: filepath.Join(f.tree, "missing"), Mode: "ro"}}},
	} {
		if _, err := f.box.Launch(deadline(t), r); !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	huge := sandbox.Request{Policy: isolated(), Path: "/bin/true", Env: []string{"X=" + strings.Repeat("x", 200<<10)}}
	if _, err := f.box.Launch(deadline(t), huge); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a huge environment: got %v", err)
	}
}

func TestNothingIsInherited(t *testing.T) {
	f := newFixture(t)
	t.Setenv("SECRET_TOKEN", "hush")
	// A descriptor that a library opened without close-on-exec.
	leaked, err := unix.Open(write(t, filepath.Join(f.home, "open"), "x"), unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leaked)
	text, end := f.payload(sandbox.Request{}, "descriptors")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if end.Code != 0 || len(lines) != 3 || !strings.HasPrefix(lines[0], "0 /dev/null") {
		t.Errorf("descriptors inside: %q", lines)
	}
	text, _ = f.payload(sandbox.Request{Env: []string{"LANG=C"}}, "environment")
	got := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(got)
	want := []string{"GIT_CONFIG_NOSYSTEM=1", "HOME=/home/user", "LANG=C", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "TMPDIR=/tmp"}
	if !slices.Equal(got, want) {
		t.Errorf("environment inside: %q", got)
	}
}

func TestStandardStreamsAreTheCallers(t *testing.T) {
	f := newFixture(t)
	in, feed := pipe(t)
	go func() {
		_, err := io.Copy(feed, bytes.NewReader(bytes.Repeat([]byte("x"), 1<<20)))
		if err := errors.Join(err, feed.Close()); err != nil {
			t.Error(err)
		}
	}()
	text, end := f.payload(sandbox.Request{Stdin: in}, "echo")
	if end.Code != 0 || len(text) != 1<<20 {
		t.Errorf("exit %+v, %d bytes", end, len(text))
	}
	text, end = f.payload(sandbox.Request{}, "echo")
	if end.Code != 0 || text != "" {
		t.Errorf("without one: exit %+v, %q", end, text)
	}
}

func TestAUnixSocketInABoundDirectoryReachesTheHost(t *testing.T) {
	f := newFixture(t)
	dir, err := os.MkdirTemp(f.state, "s")
	if err != nil {
		t.Fatal(err)
	}
	const inside = "/run/bound"
	p, out := f.start(sandbox.Request{Binds: []sandbox.Bind{{Host: dir, Inside: inside, Mode: "rw"}}}, "serve", inside+"/s")
	readLines(t, out, 1)
	held, err := os.Open(dir) // a socket's path is bounded, a test's directory is not
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	c, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/s", held.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(c)
	if err := errors.Join(err, c.Close()); err != nil || string(text) != "hello from inside" {
		t.Errorf("%q, %v", text, err)
	}
	if end := p.Exit(); end.Code != 0 {
		t.Errorf("exit: %+v", end)
	}
}

func TestLimitsHold(t *testing.T) {
	f := newFixture(t)
	policy := isolated()
	policy.Tmp, policy.FileSize, policy.OpenFiles = 4<<20, 1<<20, 64
	text, end := f.script(sandbox.Request{Policy: policy, Tree: f.writable()}, `
		ulimit -n; ulimit -c
		dd if=/dev/zero of=big bs=64k count=32 2>/dev/null; stat -c %s big
		for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/tmp/$i bs=64k count=15 2>/dev/null; done
		du -sx /tmp | cut -f1`)
	lines := strings.Fields(text)
	if end.Code != 0 || len(lines) != 4 {
		t.Fatalf("exit %+v: %q", end, text)
	}
	if want := []string{"64", "0", "1048576"}; !slices.Equal(lines[:3], want) {
		t.Errorf("limits: %q, want %q", lines[:3], want)
	}
	if len(lines[3]) > 4 || lines[3] > "4096" {
		t.Errorf("/tmp took %s KiB of 4096", lines[3])
	}
	p := f.launch(sandbox.Request{Policy: policy, Path: "/bin/true"})
	if l := vector(t, p).Limits; l.OpenFiles != 64 || l.FileSize != 1<<20 || l.Tmp != 4<<20 || l.Memory != nil {
		t.Errorf("recorded: %+v", l)
	}
}

func TestS65_NoNewPrivileges(t *testing.T) {
	f := newFixture(t)
	text, end := f.script(sandbox.Request{}, "grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid)' /proc/self/status")
	if end.Code != 0 {
		t.Fatalf("exit %+v: %s", end, text)
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.HasPrefix(name, "Cap") && strings.Trim(value, "0") != "":
			t.Errorf("a capability is left: %s", line)
		case name == "NoNewPrivs" && value != "1", name == "Seccomp" && value != "2":
			t.Errorf("not in force: %s", line)
		}
	}
	p := f.launch(sandbox.Request{Path: "/bin/sleep", Argv: []string{"sleep", "1000"}})
	e := vector(t, p)
	if !e.Proc.NoNewPrivs || e.Proc.Caps != 0 || e.Proc.NestedUserns != "denied" || !e.Proc.PIDNS {
		t.Errorf("recorded: %+v", e.Proc)
	}
	assertInitIsUnprivileged(t, p.PID())
}

// assertInitIsUnprivileged looks at every thread of PID 1 from outside: none may hold a capability, and
// only the one that forks the payload is restricted, so that the main thread stays out of its reach.
func assertInitIsUnprivileged(t *testing.T, pid int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + itoa(pid) + "/task/*/status")
	if err != nil || len(tasks) < 2 {
		t.Fatalf("threads of PID 1: %v, %v", tasks, err)
	}
	restricted := 0
	for _, name := range tasks {
		text := read(t, name)
		for _, set := range []string{"CapPrm", "CapEff", "CapAmb"} {
			if !strings.Contains(text, set+":\t0000000000000000") {
				t.Errorf("%s: %s is not empty", name, set)
			}
		}
		if strings.Contains(text, "Seccomp:\t2") {
			restricted++
			if strings.Contains(name, "/task/"+itoa(pid)+"/") {
				t.Error("the main thread of PID 1 is in the payload's domain")
			}
		}
	}
	if restricted != 1 {
		t.Errorf("%d threads of PID 1 are restricted, want the one that forks", restricted)
	}
}
