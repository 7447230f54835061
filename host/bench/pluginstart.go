package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
)

// measurePluginStart times a plugin from the call to its answers to Hello and Configure: looked up in
// the lock file, its bytes verified, sealed, confined and greeted. The end of it is not in the figure.
func measurePluginStart(ctx context.Context, s *site) (figures []figure, err error) {
	box, err := s.sandbox()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	l, err := s.loader(box)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close(context.WithoutCancel(ctx))) }()
	tree, err := s.dir("tree")
	if err != nil {
		return nil, err
	}
	policy := confined()
	policy.Level = "isolated" // the tree has no git directory to protect
	launch := loader.Launch{
		Kind: "validator", Name: "command", Config: json.RawMessage(`{"run":["true"]}`), Policy: policy, Tree: tree,
		Mode: sandbox.TreeWritable, AttemptID: "bench",
	}
	first, err := timed(func() error { return startedOnce(ctx, l, launch) }) // hashes and seals the program
	if err != nil {
		return nil, err
	}
	got, err := race(ctx, rounds{warm: 5, kept: 80},
		entrant{"plugin", func(ctx context.Context, _ int) (float64, error) { return startPlugin(ctx, l, launch) }},
		entrant{"raw gRPC child", func(ctx context.Context, _ int) (float64, error) { return s.rawChild(ctx) }},
	)
	if err != nil {
		return nil, err
	}
	return []figure{compared("plugin-start", "ms", got[0], got[1], bar{ratioAtMost, 2}).
		also("validator-command, locked and sealed, isolated, both until Hello and Configure are answered; "+
			"the first start, with hashing and the manifest, %s ms", number(first))}, nil
}

// loader makes a loader of the freshly built plugins, all of them locked.
func (s *site) loader(box *sandbox.Sandbox) (*loader.Loader, error) {
	state, err := s.dir("plugins")
	if err != nil {
		return nil, err
	}
	l, err := loader.New(loader.Options{
		Dirs: []string{s.libexec()}, RunDir: filepath.Join(state, "run"), Launch: loader.Sandboxed(box),
		Version: "bench", Log: hclog.NewNullLogger(),
	})
	if err != nil {
		return nil, err
	}
	entries, err := pluginlock.Lock([]string{s.libexec()}, nil)
	if err != nil {
		return nil, err
	}
	l.SetLock(&pluginlock.File{Entries: entries})
	return l, nil
}

// startPlugin times one start and ends what it started.
func startPlugin(ctx context.Context, l *loader.Loader, launch loader.Launch) (float64, error) {
	var i *loader.Instance
	took, err := timed(func() (err error) { i, err = l.Start(ctx, launch); return err })
	if err != nil {
		return 0, err
	}
	_, err = i.Stop(ctx, 0)
	return took, err
}

func startedOnce(ctx context.Context, l *loader.Loader, launch loader.Launch) error {
	_, err := startPlugin(ctx, l, launch)
	return err
}

// rawChild times a child that serves gRPC on a unix socket, from its start to its answers to the
// same two calls.
func (s *site) rawChild(ctx context.Context) (took float64, err error) {
	program, err := s.floorProgram("rawgrpc")
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(s.scratch, "raw-")
	if err != nil {
		return 0, fmt.Errorf("make the child's directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	c, err := startRaw(program, filepath.Join(dir, "s"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	if err := c.hello(ctx); err != nil {
		return 0, err
	}
	return ms(time.Since(began)), nil
}

// rawProcess is a started raw gRPC child and the connection to it.
type rawProcess struct {
	cmd  *exec.Cmd
	conn *grpc.ClientConn
}

// startRaw starts the child and waits for the line that says that it listens.
func startRaw(program, socket string) (*rawProcess, error) {
	c := &rawProcess{cmd: exec.Command(program, socket)}
	if _, err := startToLine(c.cmd); err != nil {
		return nil, err
	}
	var err error
	c.conn, err = grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the raw child: %w", err), c.end())
	}
	return c, nil
}

// hello asks the two questions that the loader asks before a plugin counts as started.
func (c *rawProcess) hello(ctx context.Context) error {
	base := pb.NewBaseClient(c.conn)
	if _, err := base.Hello(ctx, &pb.HelloRequest{HostVersion: "bench"}); err != nil {
		return fmt.Errorf("greet the raw child: %w", err)
	}
	if _, err := base.Configure(ctx, &pb.ConfigureRequest{}); err != nil {
		return fmt.Errorf("configure the raw child: %w", err)
	}
	return nil
}

// end kills the child and waits for it.
func (c *rawProcess) end() error {
	var err error
	if c.conn != nil {
		err = c.conn.Close()
	}
	if killErr := c.cmd.Process.Kill(); killErr != nil {
		return errors.Join(err, fmt.Errorf("end the raw child: %w", killErr))
	}
	var exit *exec.ExitError
	if waitErr := c.cmd.Wait(); !errors.As(waitErr, &exit) { // it was killed: no other end is right
		err = errors.Join(err, fmt.Errorf("end the raw child: it ended by itself: %w", waitErr))
	}
	return err
}
