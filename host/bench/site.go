package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// site is where things are: the programs under test, the floors' programs, and a scratch directory on
// the file system that is measured.
type site struct {
	prefix  string // bin/ and lib/drawspan/ of freshly built programs
	beside  string // where this program is, with the floors' programs
	scratch string
}

// newSite takes the places from the environment that scripts/bench sets.
func newSite() (*site, error) {
	prefix := os.Getenv("DRAWSPAN_PREFIX")
	if prefix == "" {
		return nil, errors.New("DRAWSPAN_PREFIX is not set: run scripts/bench, which builds what is measured")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the floors' programs: %w", err)
	}
	scratch, err := os.MkdirTemp("", "drawspan-bench-")
	if err != nil {
		return nil, fmt.Errorf("make the scratch directory: %w", err)
	}
	if scratch, err = filepath.EvalSymlinks(scratch); err != nil {
		return nil, fmt.Errorf("find the scratch directory: %w", err)
	}
	return &site{prefix: prefix, beside: filepath.Dir(self), scratch: scratch}, nil
}

func (s *site) remove() error { return os.RemoveAll(s.scratch) }

// describe says what machine this is, for whoever reads the figures later.
func (s *site) describe() string {
	load := "unknown"
	if raw, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(raw))[:3], " ")
	}
	var u unix.Utsname
	kernel := "unknown"
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("%s %s, %d processors, load %s, uid %d, scratch on %s",
		runtime.GOOS, kernel, runtime.NumCPU(), load, os.Getuid(), fileSystem(s.scratch))
}

// dir makes an empty directory of the scratch.
func (s *site) dir(name string) (string, error) {
	dir, err := os.MkdirTemp(s.scratch, name+"-")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	return dir, nil
}

func (s *site) libexec() string { return filepath.Join(s.prefix, "lib", "drawspan") }

// floorProgram is one of the programs that scripts/bench builds beside this one.
func (s *site) floorProgram(name string) (string, error) {
	path := filepath.Join(s.beside, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the floor's program is missing: %w", err)
	}
	return path, nil
}

// durable is an error where the scratch directory is on a file system that keeps nothing: there a
// durable write is free, and no ratio to it means anything.
func (s *site) durable() error {
	if name := fileSystem(s.scratch); name == "tmpfs" {
		return notHere("%s is on tmpfs, where fdatasync does nothing; set TMPDIR to a directory on a disk", filepath.Dir(s.scratch))
	}
	return nil
}

// fileSystem names the file system of a path.
func fileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "unknown"
	}
	names := map[int64]string{
		unix.TMPFS_MAGIC: "tmpfs", unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs",
		unix.BTRFS_SUPER_MAGIC: "btrfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	}
	if name, ok := names[int64(st.Type)]; ok {
		return name
	}
	return fmt.Sprintf("type %#x", st.Type)
}

// state is the state directory of every sandbox that is measured; attempts' trees are below it.
func (s *site) state() string { return filepath.Join(s.scratch, "state") }

// sandbox makes a sandbox with a home of its own.
func (s *site) sandbox() (*sandbox.Sandbox, error) {
	state := s.state()
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	home, err := s.dir("home")
	if err != nil {
		return nil, err
	}
	return sandbox.New(sandbox.Options{
		Launcher: filepath.Join(s.libexec(), "drawspan-sandbox"), StateDir: state, Home: home,
	})
}

// confined is the policy of every launch that is measured: what a sandbox block has without keys.
func confined() *work.SandboxPolicy {
	return &work.SandboxPolicy{
		Name: "bench", Level: "strict", Processes: 512, OpenFiles: 4096, FileSize: 2 << 30, Tmp: 512 << 20,
		Output: 64 << 20, OnShortfall: "refuse",
	}
}

// crowded is the same for a launch of very many processes.
func crowded() *work.SandboxPolicy {
	p := confined()
	p.Processes = 4 * crowd
	return p
}

// bubblewrap is the command of bubblewrap's minimal view with a writable tree, around a program.
func bubblewrap(tree string, program ...string) ([]string, error) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, notHere("bubblewrap is not installed (Debian: apt-get install bubblewrap)")
	}
	argv := []string{bwrap, "--unshare-all", "--ro-bind", "/usr", "/usr"}
	for _, dir := range []string{"/bin", "/lib", "/lib64"} {
		if target, err := os.Readlink(dir); err == nil {
			argv = append(argv, "--symlink", target, dir)
		} else if _, err := os.Stat(dir); err == nil {
			argv = append(argv, "--ro-bind", dir, dir)
		}
	}
	argv = append(argv, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", tree, tree)
	return append(argv, program...), nil
}

// spawned runs a program to its end with an empty environment and says what that took.
func spawned(argv ...string) (float64, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{}
	return timed(func() error {
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("run %s: %w", filepath.Base(argv[0]), err)
		}
		return nil
	})
}
