package real

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest/modelserver"
	"github.com/drawspan/drawspan/sdk/wire"
)

// inside performs an order in the room, writes the report, and waits to be killed.
func inside(file string) error {
	runtime.LockOSThread() // capabilities are a thread's
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	names := &nameserver{}
	if err := o.build(names); err != nil {
		return fmt.Errorf("build the room: %w", err)
	}
	got, err := o.perform()
	if err != nil {
		got.Err = err.Error()
	}
	got.Lookups, got.Left = names.asked()[1:], alive() // the first is our own
	if text, err = json.Marshal(got); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "report.json"), text, 0o600); err != nil {
		return err
	}
	done, err := os.OpenFile(filepath.Join(o.Dir, "done"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := done.Close(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// build makes the room: its own /proc, loopback, a name server that writes down, and nothing to write to but
// the attempt's own directories.
func (o order) build(names *nameserver) error {
	steps := []struct {
		what string
		do   func() error
	}{
		{"keep mounts to ourselves", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"mount /proc", func() error { return unix.Mount("proc", "/proc", "proc", 0, "") }},
		{"bring up loopback", loopbackUp},
		{"serve names", names.start},
		{"lay out the system's files", o.system},
		{"make all read-only but the attempt's", o.confine},
		{"try the name server", func() error {
			_, err := net.DefaultResolver.LookupHost(context.Background(), "control.example")
			if got := names.asked(); err == nil || len(got) == 0 {
				return fmt.Errorf("a look-up was not seen: %v, %v", got, err)
			}
			names.keep(1)
			return nil
		}},
		{"lay down the powers", func() error {
			return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// system puts files over the system's: a resolv.conf that names our server, an nsswitch.conf that asks it, and, as in
// every sandbox, a passwd that knows the user.
func (o order) system() error {
	for name, text := range map[string]string{"/etc/resolv.conf": "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"/etc/passwd":        fmt.Sprintf("agent:x:%d:%d:agent:%s:/bin/sh\n", os.Getuid(), os.Getgid(), filepath.Join(o.Dir, "home")),
	} {
		target, err := filepath.EvalSymlinks(name)
		if errors.Is(err, os.ErrNotExist) && name == "/etc/nsswitch.conf" {
			continue
		}
		if err != nil {
			return err
		}
		own := filepath.Join(o.Dir, filepath.Base(name))
		if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
			return err
		}
		if err := unix.Mount(own, target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

func (o order) confine() error {
	if err := unix.Mount(o.Dir, o.Dir, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, o.Dir, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
}

// perform starts the model's server and the plugin, and speaks to the plugin as the daemon does.
func (o order) perform() (report, error) {
	model, err := modelserver.New(o.Script)
	if err != nil {
		return report{}, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return report{}, err
	}
	server := &http.Server{Handler: model, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // it ends with the room
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := o.start(ctx)
	if err != nil {
		return report{Stderr: p.stderr.String()}, err
	}
	got, err := o.attempt(ctx, p.client, "http://"+listener.Addr().String(), model.Key)
	for _, q := range model.Requests() {
		q.Body = nil
		got.Requests = append(got.Requests, q)
	}
	_ = p.client.Shutdown(ctx, "the end of the test") // an answer may get lost
	ended := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(ended) }() // what it says of itself does not matter
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		err = errors.Join(err, errors.New("the plugin did not end after Shutdown"))
	}
	got.Stderr = p.stderr.String()
	return got, err
}

// started is a plugin that runs.
type started struct {
	cmd    *exec.Cmd
	client *wire.Client
	stderr *locked
}

// locked is a buffer that a process writes to.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() < 1<<20 {
		l.buf.Write(p)
	}
	return len(p), nil
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start starts the plugin's program with nothing of ours in its environment.
func (o order) start(ctx context.Context) (started, error) {
	secret := wire.NewSecret()
	sock := filepath.Join(o.Dir, "sock")
	s := started{cmd: exec.Command(o.Plugin), stderr: &locked{}}
	if err := os.WriteFile(filepath.Join(sock, wire.SecretFile), secret.Text(), 0o600); err != nil {
		return s, err
	}
	path := "/usr/local/bin:/usr/bin:/bin"
	if o.Program != nil && o.Program.Interpreter != "" {
		path = filepath.Dir(o.Program.Interpreter) + ":" + path
	}
	s.cmd.Env = []string{wire.CookieKey + "=" + wire.CookieValue, wire.VersionsKey + "=1", wire.SocketDirKey + "=" + sock,
		"HOME=" + filepath.Join(o.Dir, "home"), "TMPDIR=" + filepath.Join(o.Dir, "tmp"), "PATH=" + path, "LANG=C.UTF-8"}
	s.cmd.Dir, s.cmd.Stderr = filepath.Join(o.Dir, "tree"), s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := s.cmd.Start(); err != nil {
		return s, err
	}
	line, err := io.ReadAll(out)
	fields := strings.Split(strings.TrimSpace(string(line)), "|")
	if err != nil || len(fields) < 5 {
		return s, fmt.Errorf("the plugin said %q: %w", line, err)
	}
	conn, err := grpc.NewClient("unix:"+fields[3], append(secret.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return s, err
	}
	s.client = wire.NewClient(conn, wire.ClientOptions{Heartbeat: 5 * time.Second, Silence: patience})
	if _, err := s.client.Hello(ctx, wire.Greeting{HostVersion: "test", InstanceID: "test", LogLevel: "warn"}); err != nil {
		return s, err
	}
	return s, s.client.Configure(ctx, o.Config)
}

const attemptID = "att_real"

func (o order) attempt(ctx context.Context, client *wire.Client, url, key string) (report, error) {
	var got report
	var cancelled atomic.Int64
	if o.Cancel {
		go func() {
			// The tool says that it runs by writing into the pipe.
			if _, err := os.ReadFile(filepath.Join(o.Dir, "tree", ".git", "ready")); err == nil {
				cancelled.Store(time.Now().UnixNano())
				_ = client.Cancel(ctx, attemptID, "test") // the result tells
			}
		}()
	}
	begun := time.Now()
	result, err := client.Execute(ctx, sdk.Attempt{
		ID: attemptID, RunID: "run_real", StepID: "step_real", Instruction: o.Instruction, Tree: filepath.Join(o.Dir, "tree"),
		Base: strings.Repeat("0", 40), Config: o.Config, Program: o.Program, Resume: o.Resume,
		Gateway: &sdk.Gateway{URL: url, Key: key, Wire: o.Wire},
	}, func(ctx context.Context, e sdk.Event) error {
		got.Events = append(got.Events, e)
		switch e.Type {
		case sdk.EventPermissionAsked:
			got.Asked++
			return client.Input(ctx, attemptID, e.ItemID, sdk.Answer{}, sdk.Decision{Allowed: o.Allow, Rule: "the test"})
		case sdk.EventQuestionAsked:
			return client.Input(ctx, attemptID, e.ItemID, sdk.Answer{Text: "yes", Answered: true}, sdk.Decision{})
		}
		return nil
	})
	got.Result, got.Took = result, time.Since(begun)
	if at := cancelled.Load(); at != 0 {
		got.Cancel = time.Since(time.Unix(0, at))
	}
	return got, err
}

// nameserver answers every question with "there is no such name", and keeps what it was asked.
type nameserver struct {
	mu    sync.Mutex
	names []string
}

func (n *nameserver) start() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			q := buf[:size]
			n.mu.Lock()
			n.names = append(n.names, question(q))
			n.mu.Unlock()
			if size >= 12 {
				q[2], q[3] = q[2]|0x80, q[3]&0xf0|3 // an answer: no such name
				_, _ = conn.WriteTo(q, from)        // who asked may be gone
			}
		}
	}()
	return nil
}

// question is the name in a query.
func question(q []byte) string {
	var labels []string
	for i := 12; i < len(q) && q[i] > 0 && i+1+int(q[i]) <= len(q); i += 1 + int(q[i]) {
		labels = append(labels, string(q[i+1:i+1+int(q[i])]))
	}
	return strings.Join(labels, ".")
}

func (n *nameserver) asked() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.names...)
}

// keep forgets all but the first.
func (n *nameserver) keep(most int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names = n.names[:most]
}
