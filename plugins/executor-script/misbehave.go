package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/drawspan/drawspan/sdk"
)

// crash ends the process, in the middle.
type crash struct {
	How string `json:"how"` // panic, sigkill, exit0 or exit1
}

func (c *crash) check() error {
	switch c.How {
	case "panic", "sigkill", "exit0", "exit1":
		return nil
	default:
		return errors.New("how must be panic, sigkill, exit0 or exit1")
	}
}

func (c *crash) play(context.Context, *stage) error {
	switch c.How {
	case "sigkill":
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "exit0":
		os.Exit(0)
	case "exit1":
		fmt.Fprintln(os.Stderr, "simulated failure")
		os.Exit(1)
	}
	panic("simulated panic")
}

// hang never ends by itself.
type hang struct {
	IgnoreCancel bool `json:"ignore_cancel"`
}

func (h *hang) play(ctx context.Context, s *stage) error {
	if err := s.say(ctx, "hanging"); err != nil {
		return err
	}
	if h.IgnoreCancel {
		select {}
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// spawn starts processes that do nothing, and leaves them.
type spawn struct {
	Count    int      `json:"count"`
	Detach   bool     `json:"detach"`    // each in its own session, double-forked
	Sleep    duration `json:"sleep"`     // how long they live; an hour where it is not said
	Deaf     bool     `json:"deaf"`      // they ignore SIGINT, SIGTERM and SIGHUP
	KeepPipe bool     `json:"keep_pipe"` // they hold the plugin's standard error
}

// spawnKey makes this program one of the processes that spawn starts.
const spawnKey = "DRAWSPAN_SCRIPT_SPAWNED"

func (sp *spawn) check() error {
	if sp.Count < 1 || sp.Count > 10000 {
		return errors.New("count must be between 1 and 10000")
	}
	return nil
}

func (sp *spawn) play(ctx context.Context, s *stage) error {
	life := time.Duration(sp.Sleep)
	if life <= 0 {
		life = time.Hour
	}
	if sp.Detach { // the one in the middle is gone at once, its children live on
		middle := self(spawnOrder{Life: life, Children: sp.Count, Deaf: sp.Deaf})
		if sp.KeepPipe {
			middle.Stderr = os.Stderr
		}
		if err := middle.Run(); err != nil {
			return s.say(ctx, "spawning %d processes: %v", sp.Count, err)
		}
		return s.say(ctx, "spawned %d processes", sp.Count)
	}
	for n := range sp.Count {
		cmd := self(spawnOrder{Life: life, Deaf: sp.Deaf})
		if sp.KeepPipe {
			cmd.Stderr = os.Stderr
		}
		if err := cmd.Start(); err != nil {
			return s.say(ctx, "spawned %d of %d processes: %v", n, sp.Count, err)
		}
		go cmd.Wait() //nolint:errcheck // only to reap it
	}
	return s.say(ctx, "spawned %d processes", sp.Count)
}

// spawnOrder is what a spawned process is to do.
type spawnOrder struct {
	Life     time.Duration
	Children int // start so many, each in a session of its own, and end
	Deaf     bool
}

func self(o spawnOrder) *exec.Cmd {
	raw, err := json.Marshal(o)
	if err != nil {
		panic(err) // plain fields always encode
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = "spawned"
	cmd.Env = []string{spawnKey + "=" + string(raw)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// read tries to read a file and tells what the kernel said.
type read struct {
	Path string `json:"path"`
}

func (r *read) play(ctx context.Context, s *stage) error {
	f, err := os.Open(r.Path)
	if err != nil {
		return s.say(ctx, "read %s: %s", r.Path, kernelWord(err))
	}
	defer f.Close()
	n, err := io.Copy(io.Discard, io.LimitReader(f, 1<<20))
	if err != nil {
		return s.say(ctx, "read %s: %s", r.Path, kernelWord(err))
	}
	return s.say(ctx, "read %s: ok, %d bytes", r.Path, n)
}

// write tries to write a file anywhere and tells what the kernel said.
type write struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

func (w *write) play(ctx context.Context, s *stage) error {
	if err := os.WriteFile(w.Path, []byte(w.Content), 0o644); err != nil {
		return s.say(ctx, "write %s: %s", w.Path, kernelWord(err))
	}
	return s.say(ctx, "write %s: ok", w.Path)
}

// connect tries to reach an address and tells what the kernel said.
type connect struct {
	Network string `json:"network"` // tcp (default), udp, unix
	Address string `json:"address"`
}

func (c *connect) play(ctx context.Context, s *stage) error {
	network := c.Network
	if network == "" {
		network = "tcp"
	}
	d := net.Dialer{Timeout: 3 * time.Second}
	conn, err := d.DialContext(ctx, network, c.Address)
	if err != nil {
		return s.say(ctx, "connect %s: %s", c.Address, kernelWord(err))
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		return s.say(ctx, "connect %s: %s", c.Address, kernelWord(err))
	}
	return s.say(ctx, "connect %s: ok", c.Address)
}

// kernelWord is the system's own word for an error: "permission denied".
func kernelWord(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// event sends any event at all; the host decides what it is worth.
type event struct {
	Type   string          `json:"type"`
	ItemID string          `json:"item_id"`
	Data   json.RawMessage `json:"data"`
}

func (e *event) play(ctx context.Context, s *stage) error {
	data := e.Data
	if data == nil {
		data = json.RawMessage(`{}`)
	}
	return s.attempt.Host.Emit(ctx, sdk.Event{Type: sdk.EventType(e.Type), ItemID: e.ItemID, Data: data})
}
