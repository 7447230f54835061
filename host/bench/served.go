package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
)

const (
	startLimit = 30 * time.Second // until a daemon must be ready
	stopLimit  = 30 * time.Second // until one must have stopped
)

// household is everything that one daemon needs: a configuration, an empty state directory, a home.
type household struct {
	program string
	config  string
	home    string
	state   string
}

// newHousehold writes a configuration; blocks follow the daemon's own.
func (s *site) newHousehold(daemon, blocks string) (*household, error) {
	dir, err := s.dir("daemon")
	if err != nil {
		return nil, err
	}
	h := &household{
		program: filepath.Join(s.prefix, "bin", "drawspan"), config: filepath.Join(dir, "drawspan.hcl"),
		home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"),
	}
	if err := os.Mkdir(h.home, 0o700); err != nil {
		return nil, fmt.Errorf("make a home: %w", err)
	}
	text := fmt.Sprintf("version = 1\n\ndaemon {\n  state_dir = %q\n%s}\n\n%s", h.state, daemon, blocks)
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write a configuration: %w", err)
	}
	return h, nil
}

func (h *household) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.program, append([]string{"--config", h.config}, args...)...)
	cmd.Env = []string{"HOME=" + h.home, "PATH=" + os.Getenv("PATH")}
	return cmd
}

// lockPlugins has the installed plugins locked, as an operator does.
func (h *household) lockPlugins() error {
	if said, err := h.command("plugin", "lock").CombinedOutput(); err != nil {
		return fmt.Errorf("lock the plugins: %w: %s", err, bytes.TrimSpace(said))
	}
	return nil
}

// served is a running daemon.
type served struct {
	cmd    *exec.Cmd
	words  *tail // the end of what it logged
	client *client.Client
	ready  time.Duration // from its start to the line that says so
	first  time.Duration // from its start to its first answer
	ended  chan error
}

// serve starts a daemon and waits until it has answered.
func (h *household) serve(ctx context.Context) (*served, error) {
	cmd := h.command("serve", "--json")
	d := &served{cmd: cmd, words: &tail{}, ended: make(chan error, 1)}
	cmd.Stderr = d.words
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	cmd.Stdout = in
	began := time.Now()
	err = errors.Join(cmd.Start(), in.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the daemon: %w", err), out.Close())
	}
	go func() { d.ended <- cmd.Wait() }()
	socket, err := readySocket(out)
	d.ready = time.Since(began)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the daemon: %w", err), out.Close(), d.stop(ctx), d.words.said())
	}
	go func() {
		defer out.Close()
		_, _ = io.Copy(io.Discard, out) // until the daemon ends
	}()
	d.client = client.Open(client.Options{Socket: socket, Name: "cli"})
	if _, err := client.Call[api.Instance](ctx, d.client, api.OpInstanceDescribe, api.Empty{}); err != nil {
		return nil, errors.Join(fmt.Errorf("ask the daemon: %w", err), d.stop(ctx), d.words.said())
	}
	d.first = time.Since(began)
	return d, nil
}

// readySocket reads the document in which the daemon says where it serves.
func readySocket(out *os.File) (string, error) {
	if err := out.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		return "", fmt.Errorf("bound the start: %w", err)
	}
	var doc struct {
		Socket string `json:"socket"`
	}
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&doc); err != nil {
		return "", fmt.Errorf("read where it serves: %w", err)
	}
	return doc.Socket, out.SetReadDeadline(time.Time{})
}

// stop ends the daemon as its operator would, and by force where that does not help.
func (d *served) stop(ctx context.Context) error {
	if d.client != nil {
		d.client.Close()
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the daemon: %w", err)
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	select {
	case err := <-d.ended:
		if err != nil {
			return fmt.Errorf("stop the daemon: %w", err)
		}
		return nil
	case <-limit.Done():
		if err := d.cmd.Process.Kill(); err != nil {
			return fmt.Errorf("kill the daemon: %w", err)
		}
		<-d.ended
		return fmt.Errorf("the daemon did not stop within %v", stopLimit)
	}
}

// memory is the daemon's resident size in MB.
func (d *served) memory() (float64, error) { return resident(d.cmd.Process.Pid) }

// resident is a process's resident size in MB, as the kernel counts it.
func resident(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read resident size: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		rest, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return 0, fmt.Errorf("read resident size: %w", err)
		}
		return kb * 1024 / 1e6, nil
	}
	return 0, errors.New("the kernel tells no resident size")
}

// settle waits until a process has not used the processor for a while: what it does on its own after
// it has answered must neither be counted nor disturb what is measured next.
func (d *served) settle(ctx context.Context) error {
	const quiet, step = 3, 30 * time.Millisecond
	last, still := "", 0
	for deadline := time.Now().Add(10 * time.Second); still < quiet && time.Now().Before(deadline); {
		used, err := processorTime(d.cmd.Process.Pid)
		if err != nil {
			return err
		}
		if still++; used != last {
			last, still = used, 0
		}
		if err := pause(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// processorTime is a process's user and system time, its children's included, in ticks.
func processorTime(pid int) (string, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", fmt.Errorf("read processor time: %w", err)
	}
	_, rest, ok := strings.Cut(string(raw), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if !ok || len(fields) < 15 {
		return "", errors.New("the kernel's account of a process is not understood")
	}
	return strings.Join(fields[11:15], " "), nil
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-most):]
	return len(p), nil
}

// said is what was written, as an error; it may be called once the writer has ended.
func (t *tail) said() error {
	if words := bytes.TrimSpace(t.kept); len(words) > 0 {
		return fmt.Errorf("it said: %s", words)
	}
	return nil
}
