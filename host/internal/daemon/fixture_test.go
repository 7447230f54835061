package daemon_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/internal/daemon"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/policy"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

// Everything here is real: the daemon runs in this process, so that the race detector sees it, and
// starts the programs that are built once for all tests.

// anybody is an ordinary uid for Options, so that the tests also run as root.
const anybody = 1000

// programs is where TestMain has the programs built.
var programs string

var built = sync.OnceValues(func() (string, error) {
	dir := programs
	cmd := exec.Command("go", "build", "-o", dir+"/", "./host/cmd/drawspan-sandbox", "./plugins/...")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build programs: %w\n%s", err, out)
	}
	for _, name := range []string{"executor-command", "executor-script", "validator-command", "validator-paths"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "drawspan-"+name)); err != nil {
			return "", err
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "drawspan-programs-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(programs) // the tests are over
	os.Exit(code)
}

// host is one daemon with its repository, configuration and state.
type host struct {
	t          *testing.T
	dir, repo  string
	config     string
	opt        daemon.Options
	log        *syncBuffer
	client     *client.Client
	stop       context.CancelFunc
	ended      chan error
	reload     chan struct{}
	reloadOnce sync.Once
}

// syncBuffer takes the daemon's log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// blocks is the part of a configuration that the tests vary.
const blocks = `
sandbox "box" {
  limits { wall = "1m" }
}
executor "coder" {
  plugin  = "script"
  sandbox = "box"
  config {
    allow_text_play = true
    play = [{ edit = { path = "made.txt", content = "made" } }, { output = { text = "working" } }]
  }
}
workspace "w" {
  root      = "REPO"
  base      = "main"
  executors = ["coder"]
  paths { forbid = [".github/**"] }
  gate "paths" {
    validator = "paths"
    sandbox   = "box"
  }
  gate "look" {
    validator = "command"
    sandbox   = "box"
    config { run = ["test", "-f", "made.txt"] }
  }
}
`

func newHost(t *testing.T) *host {
	t.Helper()
	programs, err := built()
	if err != nil {
		t.Fatal(err)
	}
	// Short, since the socket's path has a bound; not t.TempDir(), whose name is the test's.
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	h := &host{t: t, dir: dir, repo: filepath.Join(dir, "repo"), config: filepath.Join(dir, "drawspan.hcl"), log: &syncBuffer{}, reload: make(chan struct{})}
	h.write(filepath.Join(h.repo, "README.md"), "# hello\n")
	if err := worktree.Init(t.Context(), os.Getenv("PATH"), h.repo); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	h.configure(blocks)
	h.opt = daemon.Options{
		Source: config.Source{Paths: []string{h.config}, Home: home, Dir: dir}, Host: policy.Host{Home: home, Path: os.Getenv("PATH")},
		Libexec: []string{programs}, Version: "test", UID: anybody, Stderr: h.log, Reload: h.reload,
	}
	h.needSandbox()
	h.lock()
	return h
}

// needSandbox skips where the kernel refuses what every attempt needs.
func (h *host) needSandbox() {
	h.t.Helper()
	for _, c := range daemon.Doctor(h.t.Context(), h.opt).Checks {
		if c.Group == "sandbox" && c.State == "fail" {
			h.t.Skipf("no sandbox here: %s: %s (%s)", c.Name, c.Detail, c.Fix)
		}
	}
}

func (h *host) write(path, body string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) configure(body string) {
	h.t.Helper()
	head := fmt.Sprintf("version = 1\ndaemon {\n  state_dir = %q\n  shutdown_grace = \"1s\"\n}\n", filepath.Join(h.dir, "state"))
	h.write(h.config, head+strings.ReplaceAll(body, "REPO", h.repo))
}

func (h *host) lock() {
	h.t.Helper()
	entries, err := pluginlock.Lock(h.opt.Libexec, func(p pluginlock.Program) (pluginlock.Facts, error) {
		return daemon.Describe(h.t.Context(), h.opt, p)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	f := &pluginlock.File{}
	f.Update(entries)
	if err := pluginlock.Write(daemon.LockPath(h.opt), f); err != nil {
		h.t.Fatal(err)
	}
}

// start runs the daemon until it serves.
func (h *host) start() {
	h.t.Helper()
	ready := make(chan daemon.Ready, 1)
	o := h.opt
	o.Ready = func(r daemon.Ready) { ready <- r }
	ctx, stop := context.WithCancel(context.Background())
	h.stop, h.ended = stop, make(chan error, 1)
	go func() { h.ended <- daemon.Run(ctx, o) }()
	select {
	case r := <-ready:
		h.client = client.Open(client.Options{Socket: r.Socket, Name: "cli"})
	case err := <-h.ended:
		h.t.Fatalf("the daemon did not start: %v\n%s", err, h.log)
	}
	h.t.Cleanup(h.end)
}

// end stops the daemon; it may be called twice.
func (h *host) end() {
	h.stop()
	if err, ok := <-h.ended; ok {
		close(h.ended)
		if err != nil {
			h.t.Errorf("the daemon ended with %v\n%s", err, h.log)
		}
	}
}

func call[Resp any](h *host, op api.Op, req any) Resp {
	h.t.Helper()
	resp, err := client.Call[Resp](h.t.Context(), h.client, op, req)
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", op, err, h.log)
	}
	return resp
}

func (h *host) open() api.Run {
	h.t.Helper()
	return call[api.Run](h, api.OpRunOpen, api.RunOpenRequest{Workspace: "w"})
}

func (h *host) dispatch(run api.Run, text string) api.Step {
	h.t.Helper()
	return call[api.Step](h, api.OpStepDispatch, api.StepDispatchRequest{RunID: run.ID, Text: text, Executor: "coder"})
}

// settled waits until the step has ended or asks.
func (h *host) settled(id string) api.Step {
	h.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		s := call[api.Step](h, api.OpStepGet, api.StepRef{StepID: id, Wait: 30})
		if s.State != "queued" && s.State != "active" {
			return s
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("step %s is still %s\n%s", id, s.State, h.log)
		}
	}
}

func (h *host) stream(op api.Op, req any) string {
	h.t.Helper()
	body, err := h.client.Stream(h.t.Context(), op, req)
	if err != nil {
		h.t.Fatalf("%s: %v", op, err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		h.t.Fatalf("%s: %v", op, err)
	}
	return string(b)
}

// fails is the error of a call that must not succeed.
func fails[Resp any](h *host, op api.Op, req any) error {
	h.t.Helper()
	_, err := client.Call[Resp](h.t.Context(), h.client, op, req)
	if err == nil {
		h.t.Errorf("%s with %+v was taken", op, req)
	}
	return err
}
