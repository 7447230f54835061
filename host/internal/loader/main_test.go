package loader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"github.com/drawspan/drawspan/sdk/wire"
)

// This program is its own set of plugins: started by a loader, under a name, it plays that name's part.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "hold-stderr" {
		<-time.After(30 * time.Second) // a grandchild that holds a pipe; it is killed by its test
		os.Exit(0)
	}
	if os.Getenv(wire.CookieKey) != "" {
		play(strings.TrimPrefix(filepath.Base(os.Args[0]), "drawspan-"))
		os.Exit(0)
	}
	code := m.Run()
	if launcherDir != "" {
		mustDo(os.RemoveAll(launcherDir))
	}
	os.Exit(code)
}

// play is what the plugins do.
func play(program string) {
	kind, name, _ := strings.Cut(program, "-")
	manifest := sdk.Manifest{Name: name, Version: "1.0.0", Config: []sdk.Attribute{{Name: "word", Type: sdk.TypeString}}}
	dir := os.Getenv(wire.SocketDirKey)
	switch name {
	case "liar":
		manifest.Name = "other"
	case "pure":
		manifest.Feeds, manifest.Pure, manifest.Resident = []string{sdk.FeedPatch, sdk.FeedFacts}, true, true
	case "noise":
		fmt.Println("hello \x1b[31mfrom a print")
	case "quit":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(7)
	case "mute":
		os.Stdout.Close()
		<-time.After(time.Minute)
	case "slow":
		<-time.After(time.Minute)
	case "foreign":
		for !strings.Contains(listing(dir), "theirs") {
			<-time.After(10 * time.Millisecond)
		}
		fmt.Println("1|1|unix|" + filepath.Join(dir, "theirs") + "|grpc")
		<-time.After(time.Minute)
	case "busy":
		mustDo(os.WriteFile(filepath.Join(dir, "litter"), []byte("x"), 0o600))
		mustDo(os.MkdirAll(filepath.Join(dir, "closed", "deep"), 0o700))
		mustDo(os.Chmod(filepath.Join(dir, "closed"), 0))
	case "old":
		fmt.Println("1|99|unix|" + filepath.Join(dir, "x") + "|grpc")
		<-time.After(time.Minute)
	case "netrpc":
		fmt.Println("1|1|unix|" + filepath.Join(dir, "x") + "|netrpc")
		<-time.After(time.Minute)
	case "docker":
		fmt.Println("1|1|unix|/run/docker.sock|grpc")
		<-time.After(time.Minute)
	case "tcp":
		fmt.Println("1|1|tcp|127.0.0.1:1|grpc")
		<-time.After(time.Minute)
	case "symlink":
		mustDo(os.Symlink("/run/docker.sock", filepath.Join(dir, "plugin1")))
		fmt.Println("1|1|unix|" + filepath.Join(dir, "plugin1") + "|grpc")
		<-time.After(time.Minute)
	case "file":
		mustDo(os.WriteFile(filepath.Join(dir, "plugin1"), nil, 0o600))
		fmt.Println("1|1|unix|" + filepath.Join(dir, "plugin1") + "|grpc")
		<-time.After(time.Minute)
	case "sub":
		fmt.Println("1|1|unix|" + filepath.Join(dir, "..", "x") + "|grpc")
		<-time.After(time.Minute)
	case "raw-cert", "raw-big", "raw-twice", "raw-gap", "raw-host", "raw-mute", "raw-untyped", "raw-drop":
		raw(strings.TrimPrefix(name, "raw-"), dir, name)
		return
	}
	if name == "stock" {
		stock(dir, manifest)
		return
	}
	if kind == "validator" {
		plugin.Serve(manifest, judge{})
		return
	}
	plugin.Serve(manifest, actor{name})
}

// stock is a plugin that go-plugin's own library serves.
func stock(dir string, manifest sdk.Manifest) {
	raw, err := os.ReadFile(filepath.Join(dir, wire.SecretFile))
	mustDo(err)
	secret, err := wire.ParseSecret(raw)
	mustDo(err)
	p, err := wire.NewPlugin(manifest, actor{"stock"})
	mustDo(err)
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{wire.ProtocolVersion: {"drawspan": stockPlugin{server: wire.NewServer(p, wire.Hooks{})}}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, secret.ServerOptions()...)...)
		},
	})
}

type stockPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	server *wire.Server
}

func (s stockPlugin) GRPCServer(_ *goplugin.GRPCBroker, g *grpc.Server) error {
	s.server.Register(g)
	return nil
}

func (stockPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("not dispensed")
}

func mustDo(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
}

type judge struct{}

func (judge) Check(_ context.Context, c *sdk.Check) (sdk.Verdict, error) {
	switch c.Gate {
	case "crash":
		panic("validator panic")
	case "error":
		return sdk.Verdict{Outcome: sdk.Pass}, errors.New("no compiler")
	}
	return sdk.Verdict{Outcome: sdk.Pass, Message: c.Gate}, c.Output("stdout", []byte("judged "+c.Gate))
}

type actor struct{ name string }

func (a actor) Configure(_ context.Context, config json.RawMessage) error {
	if strings.Contains(string(config), "forbidden") {
		return &sdk.ConfigError{Attribute: "word", Message: "must not be forbidden"}
	}
	return nil
}

func (a actor) Run(ctx context.Context, at *sdk.Attempt) (sdk.Result, error) {
	say := func(text string) error { return at.Host.Emit(ctx, sdk.Message(text)) }
	switch at.Instruction {
	case "panic":
		mustDo(say("about to panic"))
		panic("executor panic")
	case "exit0":
		os.Exit(0)
	case "exit3":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case "sigkill":
		mustDo(syscall.Kill(os.Getpid(), syscall.SIGKILL))
	case "grandchild":
		mustDo(say(fmt.Sprint(holdStderr())))
		<-ctx.Done()
	case "many":
		for range 20 {
			holdStderr()
		}
		mustDo(say("spawned"))
		<-make(chan struct{})
	case "leave":
		holdStderr()
		os.Exit(4)
	case "read":
		_, err := os.ReadFile(at.Tree + "/../canary")
		return sdk.Result{Summary: fmt.Sprint(err)}, nil
	case "edit":
		err := os.WriteFile(filepath.Join(at.Tree, "made"), []byte("by the plugin"), 0o644)
		dir, _ := os.Getwd()
		return sdk.Result{Summary: dir}, err
	case "hang":
		mustDo(say("hanging"))
		<-ctx.Done()
		return sdk.Result{}, nil
	case "ignore":
		mustDo(say("ignoring"))
		<-make(chan struct{})
	case "env":
		return sdk.Result{Summary: strings.Join(os.Environ(), "\n")}, nil
	case "dir":
		return sdk.Result{Summary: listing(os.Getenv(wire.SocketDirKey))}, nil
	case "print":
		for n := range 20000 {
			fmt.Println("print", n)
			fmt.Fprintln(os.Stderr, "to stderr", n)
		}
		slog.Info("structured", "n", 1)
		return sdk.Result{}, say("printed")
	case "fill":
		err := os.WriteFile(filepath.Join(os.Getenv(wire.SocketDirKey), "fill"), []byte("x"), 0o600)
		return sdk.Result{Summary: fmt.Sprint(err)}, nil
	case "litter":
		dir := filepath.Join(os.Getenv(wire.SocketDirKey), "a", "b")
		mustDo(os.MkdirAll(dir, 0o700))
		mustDo(os.WriteFile(filepath.Join(dir, "c"), []byte("x"), 0o400))
		mustDo(os.Chmod(filepath.Dir(dir), 0))
		mustDo(os.Chmod(os.Getenv(wire.SocketDirKey), 0o500))
	case "ask":
		answer, err := at.Host.Ask(ctx, sdk.Question{ID: "q1", Text: "which?"})
		return sdk.Result{Summary: answer.Text}, err
	default:
		mustDo(say("did " + at.Instruction))
	}
	return sdk.Result{}, nil
}

// holdStderr starts a process in a session of its own that holds the plugin's pipes.
func holdStderr() (pid int) {
	cmd := exec.Command("/proc/self/exe", "hold-stderr")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	mustDo(cmd.Start())
	return cmd.Process.Pid
}

func listing(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return "[" + strings.Join(names, " ") + "]"
}

// raw is a plugin without the SDK, which does as it likes.
func raw(how, dir, name string) {
	secret, err := os.ReadFile(filepath.Join(dir, wire.SecretFile))
	mustDo(err)
	session, err := wire.ParseSecret(secret)
	mustDo(err)
	listener, err := net.Listen("unix", filepath.Join(dir, "plugin1"))
	mustDo(err)
	server := grpc.NewServer(session.ServerOptions()...)
	h := &rawPlugin{how: how, name: name}
	pb.RegisterBaseServer(server, h)
	pb.RegisterExecutorServer(server, h)
	line := "1|1|unix|" + listener.Addr().String() + "|grpc|"
	if how == "cert" {
		line += selfSigned
	}
	fmt.Println(line)
	fmt.Println(strings.Repeat("the host drains this ", 20000))
	if how == "big" {
		serveBig(listener)
	}
	mustDo(server.Serve(listener))
}

// serveBig answers every call with a message that announces 512 MiB and goes on for ever.
func serveBig(listener net.Listener) {
	server := &http.Server{
		Protocols: &http.Protocols{},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			block := make([]byte, 64<<10)
			copy(block, []byte{0, 0x20, 0, 0, 0})
			for {
				if _, err := w.Write(block); err != nil {
					return
				}
				clear(block)
			}
		}),
	}
	server.Protocols.SetUnencryptedHTTP2(true)
	mustDo(server.Serve(listener))
}

type rawPlugin struct {
	pb.UnimplementedBaseServer
	pb.UnimplementedExecutorServer
	how, name string
}

func (r *rawPlugin) Hello(ctx context.Context, _ *pb.HelloRequest) (*pb.HelloReply, error) {
	switch r.how {
	case "mute":
		<-ctx.Done()
		return nil, ctx.Err()
	case "untyped":
		return nil, status.Error(codes.PermissionDenied, "no \x1b[31m")
	}
	return &pb.HelloReply{Sdk: "raw"}, nil
}

func (r *rawPlugin) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeReply, error) {
	return &pb.DescribeReply{Manifest: &pb.Manifest{Name: r.name, Version: "1", Kinds: []string{"executor"}}}, nil
}

func (r *rawPlugin) Configure(context.Context, *pb.ConfigureRequest) (*pb.ConfigureReply, error) {
	return &pb.ConfigureReply{}, nil
}

func (r *rawPlugin) Start(context.Context, *pb.StartRequest) (*pb.StartReply, error) {
	return &pb.StartReply{}, nil
}

func (r *rawPlugin) Attach(_ *pb.AttachRequest, s grpc.ServerStreamingServer[pb.AttachReply]) error {
	event := func(seq uint64, kind string) *pb.AttachReply {
		return &pb.AttachReply{Seq: seq, Body: &pb.AttachReply_Event{Event: &pb.Event{Type: kind, Data: []byte("{}")}}}
	}
	result := func(seq uint64) *pb.AttachReply {
		return &pb.AttachReply{Seq: seq, Body: &pb.AttachReply_Result{Result: &pb.Result{StopReason: "end_turn"}}}
	}
	replies := map[string][]*pb.AttachReply{
		"twice": {result(1), result(2)},
		"gap":   {event(1, "message"), event(3, "message"), result(4)},
		"host":  {event(1, "host.sandbox.denied"), result(2)},
		"cert":  {result(1)},
	}[r.how]
	for _, reply := range replies {
		if err := s.Send(reply); err != nil {
			return err
		}
	}
	if r.how == "drop" {
		dropConnections()
		runtime.Goexit()
	}
	return nil
}

// dropConnections closes every socket of the process behind gRPC's back.
func dropConnections() {
	for fd := 3; fd < 64; fd++ {
		if link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && strings.HasPrefix(link, "socket:") {
			mustDo(syscall.Shutdown(fd, syscall.SHUT_RDWR))
		}
	}
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // stdin is empty
	<-time.After(time.Minute)
}
