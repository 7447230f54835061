package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// target is what lies outside and must not be reached.
type target struct {
	Secret   string // a file in the operator's home
	State    string // a file of the daemon
	Sibling  string // a file in another attempt's tree
	Tree     string
	Beside   string // a path beside the tree
	Tmp      string // a file in the host's /tmp
	Shm      string // a file in the host's /dev/shm
	Unix     string // a unix socket of the host
	Abstract string // an abstract unix socket of the host
	TCP      int    // a listener on the host's loopback
	PID      int    // a process of the host
	SysV     int    // a shared memory segment of the host
}

// attempt is one way out. do returns nil when it worked.
type attempt struct {
	name string
	do   func(target) error
	want []error // any of these is a refusal
}

// attempts of one kind: "host" for everything but the network.
func attempts(kind string) []attempt {
	if kind == "network" {
		return networkAttempts()
	}
	return slices.Concat(fileAttempts(), kernelAttempts(), processAttempts())
}

func open(name string, flags int) error {
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func fileAttempts() []attempt {
	gone := []error{unix.ENOENT}
	readOnly := []error{unix.EROFS}
	return []attempt{
		{"read the home", func(x target) error { return open(x.Secret, unix.O_RDONLY) }, gone},
		{"read the home through a planted link", func(x target) error {
			link := filepath.Join(x.Tree, "link")
			if err := os.Symlink(x.Secret, link); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("plant: %v", err)
			}
			return open(link, unix.O_RDONLY)
		}, gone},
		{"write the home through a planted directory link", func(x target) error {
			link := filepath.Join(x.Tree, "dirlink")
			if err := os.Symlink(filepath.Dir(x.Secret), link); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("plant: %v", err)
			}
			return open(filepath.Join(link, "planted"), unix.O_WRONLY|unix.O_CREAT)
		}, []error{unix.ENOENT, unix.EROFS}},
		{"list the home", func(x target) error {
			entries, err := os.ReadDir(filepath.Dir(x.Secret))
			if err == nil && len(entries) == 0 {
				return unix.ENOENT
			}
			return err
		}, gone},
		{"read the daemon's files", func(x target) error { return open(x.State, unix.O_RDONLY) }, gone},
		{"read another tree", func(x target) error { return open(x.Sibling, unix.O_RDONLY) }, gone},
		{"write beside the tree", func(x target) error {
			if err := open(x.Beside, unix.O_WRONLY|unix.O_CREAT); err != nil {
				return err
			}
			return errPrivate // a tree below /tmp: the write went to the private one, which the host sees
		}, []error{unix.EROFS, unix.EACCES, errPrivate}},
		{"hard-link a file of the host", func(x target) error { return unix.Link(x.Secret, filepath.Join(x.Tree, "hard")) }, gone},
		{"hard-link a system file", func(x target) error { return unix.Link("/usr/bin/env", filepath.Join(x.Tree, "hard")) }, []error{unix.EXDEV}},
		{"replace the tree", func(x target) error { return unix.Rename(x.Tree, x.Tree+".away") }, []error{unix.EROFS, unix.EBUSY, unix.EXDEV, unix.EACCES}},
		{"write /usr", func(target) error { return open("/usr/planted", unix.O_WRONLY|unix.O_CREAT) }, readOnly},
		{"write /etc", func(target) error { return open("/etc/planted", unix.O_WRONLY|unix.O_CREAT) }, readOnly},
		{"write /", func(target) error { return open("/planted", unix.O_WRONLY|unix.O_CREAT) }, readOnly},
		{"write a system program", func(target) error { return open("/usr/bin/env", unix.O_WRONLY) }, []error{unix.EROFS, unix.EACCES}},
		{"read the host's /tmp", func(x target) error { return open(x.Tmp, unix.O_RDONLY) }, gone},
		{"read the host's /dev/shm", func(x target) error { return open(x.Shm, unix.O_RDONLY) }, gone},
		{"read shadow passwords", func(target) error { return open("/etc/shadow", unix.O_RDONLY) }, gone},
		{"open kernel memory", func(target) error { return open("/dev/mem", unix.O_RDONLY) }, gone},
		{"open the kernel log", func(target) error { return open("/dev/kmsg", unix.O_RDONLY) }, gone},
		{"open fuse", func(target) error { return open("/dev/fuse", unix.O_RDWR) }, gone},
		{"open kvm", func(target) error { return open("/dev/kvm", unix.O_RDWR) }, gone},
		{"open a tunnel", func(target) error { return open("/dev/net/tun", unix.O_RDWR) }, gone},
		{"make a device", func(x target) error {
			return unix.Mknod(filepath.Join(x.Tree, "disk"), unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0)))
		}, []error{unix.EPERM, unix.EACCES}},
		{"make a set-id file", func(x target) error {
			name := filepath.Join(x.Tree, "setid")
			if err := os.WriteFile(name, nil, 0o755); err != nil {
				return fmt.Errorf("make: %v", err)
			}
			return unix.Chmod(name, 0o4755)
		}, []error{unix.EPERM}},
		{"create a set-id file", func(x target) error {
			fd, err := unix.Open(filepath.Join(x.Tree, "setid2"), unix.O_CREAT|unix.O_WRONLY, 0o4755)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}, []error{unix.EPERM}},
		{"give a file capabilities", func(x target) error {
			name := filepath.Join(x.Tree, "caps")
			if err := os.WriteFile(name, nil, 0o755); err != nil {
				return fmt.Errorf("make: %v", err)
			}
			caps := []byte{1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
			return unix.Setxattr(name, "security.capability", caps, 0)
		}, []error{unix.EPERM}},
		{"write a core pattern", func(target) error { return open("/proc/sys/kernel/core_pattern", unix.O_WRONLY) }, []error{unix.EROFS, unix.EACCES}},
		{"allow nested namespaces", func(target) error { return open("/proc/sys/user/max_user_namespaces", unix.O_WRONLY) }, []error{unix.EROFS, unix.EACCES}},
		{"pull sysrq", func(target) error {
			if err := open("/proc/sysrq-trigger", unix.O_WRONLY); err != nil {
				return err
			}
			return isNull("/proc/sysrq-trigger")
		}, []error{unix.EACCES, unix.ENOENT, errNull}},
		{"read kernel keys", func(target) error { return isNull("/proc/keys") }, []error{unix.EACCES, unix.ENOENT, errNull}},
		{"remap users", func(target) error {
			return os.WriteFile("/proc/self/uid_map", []byte("0 0 1"), 0)
		}, []error{unix.EPERM, unix.EACCES, unix.EROFS}},
	}
}

// Harmless outcomes that are no errors of the kernel.
var (
	errNull    = errors.New("the null device")
	errPrivate = errors.New("not the host's")
)

func isNull(name string) error {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
		return errNull
	}
	return nil
}

// outcome of one attempt as the payload saw it.
type outcome struct {
	Name    string
	Error   string // "" means that it worked
	Refused bool
}

// tryAll is the payload: every attempt of a kind, one after the other.
func tryAll(args []string) int {
	var x target
	if err := json.Unmarshal([]byte(args[1]), &x); err != nil {
		fmt.Println(err)
		return 1
	}
	var all []outcome
	for _, a := range attempts(args[0]) {
		err := a.do(x)
		o := outcome{Name: a.name}
		if err != nil {
			o.Error = err.Error()
			o.Refused = slices.ContainsFunc(a.want, func(w error) bool { return errors.Is(err, w) })
		}
		all = append(all, o)
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		return 1
	}
	return 0
}

// outsideWorld makes everything that the attempts go for, and proves that it is there.
func outsideWorld(t *testing.T, f *fixture) target {
	t.Helper()
	x := target{
		Secret:  write(t, filepath.Join(f.home, ".ssh", "id_ed25519"), "secret"),
		State:   write(t, filepath.Join(f.state, "drawspan.db"), "rows"),
		Sibling: write(t, filepath.Join(realTemp(t), "sibling", "file"), "other"),
		Tree:    f.tree,
		Beside:  filepath.Join(filepath.Dir(f.tree), "beside"),
		PID:     os.Getpid(),
	}
	tmp, err := os.CreateTemp("/tmp", "canary-")
	if err != nil {
		t.Fatal(err)
	}
	shm, err := os.CreateTemp("/dev/shm", "canary-")
	if err != nil {
		t.Fatal(err)
	}
	x.Tmp, x.Shm = tmp.Name(), shm.Name()
	t.Cleanup(func() { tmp.Close(); shm.Close(); os.Remove(tmp.Name()); os.Remove(shm.Name()) })
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x.TCP = tcp.Addr().(*net.TCPAddr).Port
	x.Unix = filepath.Join(f.state, "api.sock")
	pathname, err := net.Listen("unix", x.Unix)
	if err != nil {
		t.Fatal(err)
	}
	x.Abstract = fmt.Sprintf("drawspan-test-%d", os.Getpid())
	abstract, err := net.Listen("unix", "@"+x.Abstract)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close(); pathname.Close(); abstract.Close() })
	x.SysV = 0x44524157 ^ os.Getpid()
	id, err := unix.SysvShmGet(x.SysV, 4096, unix.IPC_CREAT|0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
			t.Error(err)
		}
	})
	return x
}

// assertRefused runs all attempts of a kind inside and returns what the kernel reported.
func assertRefused(t *testing.T, f *fixture, kind string, x target) map[string]int64 {
	t.Helper()
	arg, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int64)
	text, end := f.payload(sandbox.Request{
		Tree: f.writable(),
		OnViolation: func(v sandbox.Violation) {
			seen[v.Name] += v.Count
			if v.Comm != "payload" || v.PID < 2 || v.Syscall < 0 {
				t.Errorf("whose is it? %+v", v)
			}
		},
	}, "attempts", kind, string(arg))
	if end.Code != 0 || end.Lost != "" {
		t.Fatalf("the payload ended with %+v: %s", end, text)
	}
	var all []outcome
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	if got, want := len(all), len(attempts(kind)); got != want {
		t.Errorf("%d outcomes of %d attempts", got, want)
	}
	for _, o := range all {
		t.Run(o.Name, func(t *testing.T) {
			switch {
			case o.Error == "":
				t.Error("it worked")
			case !o.Refused:
				t.Errorf("refused in an unexpected way: %s", o.Error)
			}
		})
	}
	return seen
}

// outcomes runs all attempts of a kind under a policy.
func (f *fixture) outcomes(policy *work.SandboxPolicy, kind string, x target) []outcome {
	f.t.Helper()
	arg, err := json.Marshal(x)
	if err != nil {
		f.t.Fatal(err)
	}
	text, end := f.payload(sandbox.Request{Policy: policy, Tree: f.writable()}, "attempts", kind, string(arg))
	var all []outcome
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != len(attempts(kind)) {
		f.t.Fatalf("%v, exit %+v: %q", err, end, text)
	}
	return all
}

// assertUntouched holds that no attempt has left anything outside, nor a set-ID file in the tree.
func (f *fixture) assertUntouched(x target) {
	f.t.Helper()
	if got := read(f.t, x.Secret); got != "secret" {
		f.t.Errorf("the secret is now %q", got)
	}
	for _, planted := range []string{x.Beside, filepath.Join(filepath.Dir(x.Secret), "planted")} {
		if _, err := os.Lstat(planted); !errors.Is(err, fs.ErrNotExist) {
			f.t.Errorf("%s on the host: %v", planted, err)
		}
	}
	assertNoSetID(f.t, f.tree)
}

func TestS30_EveryWayOutIsRefusedByTheKernelAndReported(t *testing.T) {
	f := newFixture(t)
	x := outsideWorld(t, f)
	seen := assertRefused(t, f, "host", x)
	for _, name := range []string{"mount", "unshare", "ptrace", "chroot", "keyctl", "bpf", "fchmodat", "openat"} {
		if seen[name] == 0 {
			t.Errorf("no report of %s among %v", name, seen)
		}
	}
	f.assertUntouched(x)
}

func TestS73_NothingInsideReachesANetwork(t *testing.T) {
	f := newFixture(t)
	seen := assertRefused(t, f, "network", outsideWorld(t, f))
	if seen["socket"] == 0 {
		t.Errorf("no report of a socket among %v", seen)
	}
	p := f.launch(sandbox.Request{Path: "/bin/true"})
	if e := vector(t, p); e.Net.Mode != "none" || !e.Net.Netns || !e.Verified["egress_refused"] {
		t.Errorf("recorded: %+v, %v", e.Net, e.Verified)
	}
}

// Socket, files, memory and processes of the daemon are where the attempts go; the names are checked so
// that none of them gets lost.
func TestS78_NothingInsideReachesTheDaemon(t *testing.T) {
	f := newFixture(t)
	x := outsideWorld(t, f)
	text, end := f.script(sandbox.Request{Tree: f.writable()},
		`ls -a "$1" "$2" 2>&1; for f in "$3" "$4"; do test -e "$f" && echo "$f is there"; done; kill -0 $5 2>/dev/null && echo signalled; exit 0`,
		f.state, filepath.Dir(x.Secret), x.State, x.Unix, strconv.Itoa(x.PID))
	if end.Code != 0 || strings.Count(text, "No such file") != 2 || strings.Contains(text, "is there") || strings.Contains(text, "signalled") {
		t.Errorf("exit %+v: %s", end, text)
	}
	for _, name := range []string{"read the daemon's files", "use the control socket", "signal a process of the host", "trace PID 1"} {
		if !slices.ContainsFunc(attempts("host"), func(a attempt) bool { return a.name == name }) {
			t.Errorf("nobody tries to %s", name)
		}
	}
}

// assertNoSetID looks for files that would run as somebody else.
func assertNoSetID(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeDevice) != 0 {
			t.Errorf("%s has mode %v", strings.TrimPrefix(name, dir), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The attempts prove nothing if they fail outside too.
func TestTheWaysOutAreOpenOutside(t *testing.T) {
	f := newFixture(t)
	x := outsideWorld(t, f)
	for _, a := range slices.Concat(fileAttempts()[:6], processAttempts()[:2], networkAttempts()[:1]) {
		if err := a.do(x); err != nil {
			t.Errorf("%s fails outside as well: %v", a.name, err)
		}
	}
	for _, n := range []string{"an abstract socket of the host", "a unix socket of the host", "reach the host's shared memory", "read the host's /tmp", "read the host's /dev/shm"} {
		all := slices.Concat(attempts("host"), attempts("network"))
		i := slices.IndexFunc(all, func(a attempt) bool { return a.name == n })
		if err := all[i].do(x); err != nil {
			t.Errorf("%s fails outside as well: %v", n, err)
		}
	}
}
