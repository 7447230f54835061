package real

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest/modelserver"
)

// roomVar is set for the half of a test that runs in a room of its own: the file of its order.
const roomVar = "DRAWSPAN_REAL_ROOM"

// patience bounds one attempt of an agent.
const patience = 120 * time.Second

// order is what a room is to do.
type order struct {
	Dir         string // holds tree, home, tmp and sock; all else is read-only
	Plugin      string
	Program     *sdk.Installed
	Config      json.RawMessage
	Wire        string
	Script      modelserver.Script
	Instruction string
	Allow       bool // what permission requests are answered with
	Cancel      bool // once the tool has said that it runs
	Resume      *sdk.Resume
}

// report is what a room saw.
type report struct {
	Events   []sdk.Event
	Result   sdk.Result
	Err      string
	Lookups  []string // names that were asked for
	Left     []string // command lines of processes that were there after the plugin's end
	Requests []modelserver.Request
	Asked    int           // permission requests
	Cancel   time.Duration // from the cancel to the result
	Took     time.Duration
	Stderr   string // of the plugin
}

func TestMain(m *testing.M) {
	if file := os.Getenv(roomVar); file != "" {
		if err := inside(file); err != nil {
			fmt.Fprintln(os.Stderr, "room:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if err := writeTable(); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		code = 1
	}
	os.Exit(code)
}

// room is one prepared directory.
type room struct {
	dir   string
	files map[string]string // of the tree, at the beginning
}

// furnish makes a room with a repository in it.
func furnish(t *testing.T, files map[string]string) room {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("root: agents are tried as the unprivileged users that run them; scripts/agents does that")
	}
	base := os.TempDir()
	if cache, err := os.UserCacheDir(); err == nil && os.MkdirAll(cache, 0o700) == nil {
		base = cache // an agent's home must not lie below its temporary directory
	}
	dir, err := os.MkdirTemp(base, "real")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() || os.Getenv("DRAWSPAN_KEEP") == "" {
			_ = exec.Command("chmod", "-R", "u+w", dir).Run() // agents make directories read-only
			_ = os.RemoveAll(dir)                             // the next run does not need it
		}
	})
	r := room{dir, map[string]string{"README.md": "# A project\n", "src/app.txt": "one\ntwo\n"}}
	for name, text := range files {
		r.files[name] = text
	}
	for _, d := range []string{"tree", "home", "tmp", "sock"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range r.files {
		write(t, filepath.Join(dir, "tree", name), text)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "base"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = filepath.Join(dir, "tree")
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost",
			"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "tree", ".git", "ready"), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// perform runs one attempt in the room, kills the room, and proves that nothing of it lives.
func (r room) perform(t *testing.T, p program, o order) report {
	t.Helper()
	prefix := os.Getenv(prefixVar)
	if prefix == "" {
		t.Skip(prefixVar + " is not set: scripts/agents test builds the programs and sets it")
	}
	o.Dir, o.Plugin = r.dir, filepath.Join(prefix, "lib", "drawspan", "drawspan-executor-"+p.plugin)
	if _, err := os.Stat(o.Plugin); err != nil {
		t.Fatalf("the plugin %s is not built into $%s: %v", p.plugin, prefixVar, err)
	}
	if p.bin != "" {
		o.Program, o.Wire = p.installed(t), p.wire
	}
	if o.Config == nil {
		config, err := json.Marshal(p.settings())
		if err != nil {
			t.Fatal(err)
		}
		o.Config = config
	}
	if o.Instruction == "" {
		o.Instruction = "Do what the script says."
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.dir, "order.json")
	write(t, file, string(text))
	return r.enter(t, file)
}

// enter starts the half of the test that is in the room, and ends it with everything in it.
func (r room) enter(t *testing.T, file string) report {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roomVar+"="+file)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	release, err := cmd.StdinPipe() // the room stays until it is killed, or until we are dead
	if err != nil {
		t.Fatal(err)
	}
	defer release.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_PTRACE},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("uid %d may not make user namespaces here, which every sandbox needs: %v", os.Getuid(), err)
	}
	space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	done := filepath.Join(r.dir, "done")
	if err := unix.Mkfifo(done, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	// The room opens the pipe once its report is written, and an exit opens it too.
	exited := make(chan error, 1)
	go func() {
		exited <- cmd.Wait()
		if f, err := os.OpenFile(done, os.O_RDWR|unix.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
	}()
	if _, err := os.ReadFile(done); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = cmd.Process.Kill() // it may have ended already
	<-exited
	if took := time.Since(killed); took > time.Second {
		t.Errorf("the room was gone %v after its kill", took)
	}
	if left := members(space); len(left) > 0 {
		t.Errorf("processes outlived the kill of their room: %q", left)
	}
	text, err := os.ReadFile(filepath.Join(r.dir, "report.json"))
	if err != nil {
		t.Fatalf("the room left no report: %v\n%s", err, out.String())
	}
	var got report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// members lists the processes of a namespace of processes.
func members(space string) []string {
	links, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		panic(err) // the pattern is right
	}
	var list []string
	for _, l := range links {
		if in, err := os.Readlink(l); err == nil && in == space {
			list = append(list, l)
		}
	}
	return list
}

// tree is the content of the room's worktree, without git's own files.
func (r room) tree(t *testing.T) map[string]string {
	t.Helper()
	got := map[string]string{}
	root := filepath.Join(r.dir, "tree")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case rel == ".git":
			return filepath.SkipDir
		case d.IsDir():
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			got[rel] = "-> " + to
			return err
		}
		text, err := os.ReadFile(path)
		got[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// changed fails the test unless the tree differs from its beginning by exactly these files.
func (r room) changed(t *testing.T, want map[string]string) {
	t.Helper()
	got := r.tree(t)
	for name, text := range r.files {
		if _, ours := want[name]; !ours {
			if got[name] != text {
				t.Errorf("%s was changed to %.200q", name, got[name])
			}
			delete(got, name)
		}
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s is %.200q, want %q", name, got[name], text)
		}
		delete(got, name)
	}
	for name, text := range got {
		t.Errorf("%s is new: %.200q", name, text)
	}
}

// alive lists the command lines of the processes of this namespace, but for the given ones and the dead.
func alive(but ...int) []string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []string{err.Error()}
	}
	var list []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || contains(but, pid) {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		_, after, ok := strings.Cut(string(stat), ") ")
		if err != nil || !ok || after[0] == 'Z' {
			continue
		}
		line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err == nil {
			list = append(list, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " ")))
		}
	}
	return list
}

func contains(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}
