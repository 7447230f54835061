package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// devUser is who the package carries on as when it is started as root; a number, as in scripts/test.
const devUser = 61234

// parallel is how many scripts run at once. They wait for processes more than they compute.
const parallel = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getuid() == 0 && !*write {
		os.Exit(asUser())
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err) // the flag is testing's own
	}
	code := m.Run()
	if dir := os.Getenv(builtHere); dir == "" {
		sweep()
	}
	os.Exit(code)
}

// builtHere tells the unprivileged half that its programs are the root half's to remove.
const builtHere = "DRAWSPAN_E2E_BASE"

// asUser builds what is needed and runs this very test program as an unprivileged user.
func asUser() int {
	base, err := os.MkdirTemp("", "e2e")
	if err != nil {
		return told(err)
	}
	defer os.RemoveAll(base)
	if err := furnish(base); err != nil {
		return told(err)
	}
	cmd := exec.Command(filepath.Join(base, "e2e.test"), withoutLogFile(os.Args[1:])...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(base, "home"), "TMPDIR=" + filepath.Join(base, "tmp"),
		"GOPATH=" + filepath.Join(base, "home", "go"), "GOFLAGS=", "GOTOOLCHAIN=local", "GOPROXY=off",
		builtHere + "=" + base, prefixVar + "=" + filepath.Join(base, "drawspan"),
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: devUser, Gid: devUser}, Pdeathsig: syscall.SIGTERM}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode()
	}
	if err != nil {
		return told(fmt.Errorf("carry on as uid %d: %w", devUser, err))
	}
	return 0
}

func told(err error) int {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

// furnish puts into base what the unprivileged half needs: the programs, this program, and a home.
func furnish(base string) error {
	if err := os.Chmod(base, 0o755); err != nil {
		return err
	}
	built, err := programs()
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(base, "drawspan"), os.DirFS(built)); err != nil {
		return err
	}
	for name, program := range map[string]func() ([]byte, error){helloName: hello, driverName: driver, leakerName: leaker} {
		text, err := program()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(base, name), text, 0o755); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(base, "e2e.test"), program, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{"home", "home/.cache", "tmp"} {
		if err := os.Mkdir(filepath.Join(base, dir), 0o700); err != nil {
			return err
		}
		if err := os.Chown(filepath.Join(base, dir), devUser, devUser); err != nil {
			return err
		}
	}
	sweep()
	return nil
}

// withoutLogFile drops the file that go test keeps about what a test has read: it is root's.
func withoutLogFile(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-test.testlogfile=") })
}

// prefixVar names the directory of programs that are built already.
const prefixVar = "DRAWSPAN_PREFIX"

// root is the project's directory. The tests run in their package's.
func root() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err) // there is a working directory
	}
	return dir
}

// programs is where the built programs are; it builds them where nobody has.
var programs = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(prefixVar); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.MkdirTemp("", "drawspan-built-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(root(), "scripts", "build"), dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return dir, nil
})

// The programs that scripts need beside the built ones, by their names in what the root half leaves.
const (
	helloName  = "drawspan-executor-hello"
	driverName = "driver"
	leakerName = "leaker"
)

// hello is the program of examples/executor-hello, built in its own module as its reader would.
var hello = sync.OnceValues(func() ([]byte, error) { return extra(helloName, "examples/executor-hello") })

// driver and leaker are the programs of the directories below this one.
var (
	driver = sync.OnceValues(func() ([]byte, error) { return extra(driverName, "host/e2e/driver") })
	leaker = sync.OnceValues(func() ([]byte, error) { return extra(leakerName, "host/e2e/leaker") })
)

// extra builds a program from its directory, unless that was done before.
func extra(name, source string) ([]byte, error) {
	if base := os.Getenv(builtHere); base != "" {
		return os.ReadFile(filepath.Join(base, name))
	}
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-trimpath", "-tags=grpcnotrace", "-o", filepath.Join(dir, name), ".")
	cmd.Dir, cmd.Env = filepath.Join(root(), source), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", source, err, out)
	}
	return os.ReadFile(filepath.Join(dir, name))
}

// sweep removes programs that were built here.
func sweep() {
	if os.Getenv(prefixVar) != "" {
		return
	}
	if dir, err := programs(); err == nil {
		_ = os.RemoveAll(dir) // the system cleans its temporary directory too
	}
}

// confined says why sandboxes cannot be made here; "" where they can.
var confined = sync.OnceValue(func() string {
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Run(); err != nil {
		return fmt.Sprintf("uid %d may not make user namespaces here, which every sandbox needs: %v", os.Getuid(), err)
	}
	return ""
})
