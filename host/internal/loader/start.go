package loader

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

// Start starts a plugin whose program is locked, and configures it. ctx bounds the start only.
func (l *Loader) Start(ctx context.Context, launch Launch) (*Instance, error) {
	s, entry, err := l.verified(launch.Kind, launch.Name)
	if err != nil {
		return nil, err
	}
	i, err := l.bring(ctx, launch, s, entry)
	if err != nil {
		return nil, err
	}
	configure, cancel := context.WithTimeout(ctx, l.opts.Times.Configure)
	defer cancel()
	if err := i.client.Configure(configure, launch.Config); err != nil {
		return nil, i.abandon(ctx, err)
	}
	return i, nil
}

// bring launches a sealed program and goes through handshake, connection, greeting and description.
func (l *Loader) bring(ctx context.Context, launch Launch, s *seal, entry pluginlock.Entry) (*Instance, error) {
	room, err := newRoom(l.opts.RunDir)
	if err != nil {
		return nil, err
	}
	log := l.log.With("plugin", launch.program(), "version", entry.Version, "attempt", launch.AttemptID)
	r := &confinedRunner{
		loader: l, launch: launch, seal: s, room: room, handshake: newHandshake(),
		stderr: &tailLog{log: log, ended: make(chan struct{})},
		caller: func() error { return context.Cause(ctx) },
	}
	addr, err := l.shake(ctx, r)
	if err != nil {
		return nil, l.clear(room, r.diagnosis(err))
	}
	process, _ := r.started()
	conn, err := connect(room, addr, process.PID())
	if err != nil {
		_, killed := kill(ctx, process, l.opts.Times.Kill)
		return nil, l.clear(room, withCause(err, killed))
	}
	i := &Instance{
		loader: l, launch: launch, log: log, room: room, process: process, stderr: r.stderr, conn: conn,
		client: wire.NewClient(conn, wire.ClientOptions{Heartbeat: l.opts.Times.Heartbeat}),
		ended:  make(chan struct{}), stopped: make(chan struct{}),
		identity: work.PluginIdentity{
			Name: launch.Name, Kind: launch.Kind, Version: entry.Version, Digest: s.digest, Protocol: wire.Protocol,
		},
	}
	admitted := l.admit(i)
	go i.bury()
	if admitted != nil {
		return nil, i.abandon(ctx, admitted)
	}
	if err := i.meet(ctx, entry); err != nil {
		return nil, i.abandon(ctx, err)
	}
	return i, nil
}

// clear removes the room of a start that failed.
func (l *Loader) clear(r *room, err error) error { return withCause(err, r.remove()) }

// withCause keeps the first error the one that is told.
func withCause(err, also error) error {
	if also == nil {
		return err
	}
	return fmt.Errorf("%w (and: %w)", err, also)
}

// shake has go-plugin run the handshake. Nothing else of the library's host side is used: its own
// connection, broker and Kill have no bounds.
func (l *Loader) shake(ctx context.Context, r *confinedRunner) (net.Addr, error) {
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  wire.Handshake(),
		VersionedPlugins: wire.HostPlugins(),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		SkipHostEnv:      true,
		StartTimeout:     l.opts.Times.Start,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: r.room.path},
		Logger:           hclog.NewNullLogger(),
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, dir string) (runner.Runner, error) {
			r.socketDir, r.room.inside = dir, cmp.Or(l.inside, dir)
			r.env = payloadEnv(cmd.Env, r.room.inside)
			return r, nil
		},
	})
	// A caller that gives up ends the handshake by ending the process.
	giveUp := context.AfterFunc(ctx, func() {
		if p, _ := r.started(); p != nil {
			if _, err := kill(ctx, p, l.opts.Times.Kill); err != nil {
				l.log.Error("kill plugin of an abandoned start", "error", err)
			}
		}
	})
	defer giveUp()
	return client.Start()
}

// connect prepares the one connection to a plugin; it is made by the first call.
func connect(r *room, addr net.Addr, leader int) (*grpc.ClientConn, error) {
	dialed := make(chan struct{}, 1)
	dialed <- struct{}{}
	once := func(ctx context.Context, _ string) (net.Conn, error) {
		select {
		case <-dialed:
		default:
			return nil, wire.ErrBroken // a plugin that drops its connection does not get another
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, addr.Network(), addr.String())
		if err != nil {
			return nil, fmt.Errorf("connect to plugin: %w", err)
		}
		if err := checkPeer(conn, leader); err != nil {
			conn.Close() //nolint:errcheck // nothing was sent
			return nil, err
		}
		return conn, nil
	}
	options := append(r.secret.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the socket is the plugin's, checked
		grpc.WithContextDialer(once))
	conn, err := grpc.NewClient("passthrough:///plugin", options...)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to the plugin: %w", err)
	}
	return conn, nil
}

// meet greets the plugin and learns what it is.
func (i *Instance) meet(ctx context.Context, entry pluginlock.Entry) error {
	l := i.loader
	ctx, cancel := context.WithTimeout(ctx, l.opts.Times.Start)
	defer cancel()
	_, err := i.client.Hello(ctx, wire.Greeting{
		HostVersion: l.opts.Version, InstanceID: i.launch.AttemptID, LogLevel: l.log.GetLevel().String(),
	})
	if err != nil {
		return err
	}
	if i.manifest, err = i.describe(ctx); err != nil {
		return err
	}
	i.identity.Version = i.manifest.Version
	i.identity.Simulated = i.manifest.Simulated || entry.Simulated
	if i.manifest.Name != i.launch.Name || !slices.Contains(i.manifest.Kinds, i.launch.Kind) {
		return fault.New(fault.PluginProtocol, `program drawspan-%s says it is %v "%s"`, i.program(), i.manifest.Kinds, printable(i.manifest.Name, 80)).
			Fix("install it under its own name")
	}
	return nil
}

// describe asks once for each digest.
func (i *Instance) describe(ctx context.Context) (sdk.Manifest, error) {
	l := i.loader
	l.mu.Lock()
	m, known := l.manifests[i.identity.Digest]
	l.mu.Unlock()
	if known {
		return m, nil
	}
	m, err := i.client.Describe(ctx)
	if err != nil {
		return sdk.Manifest{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manifests[i.identity.Digest] = m
	return m, nil
}

// abandon ends an instance whose start failed and tells why it did.
func (i *Instance) abandon(ctx context.Context, err error) error {
	err = i.startFailure(ctx, i.translate(err))
	if _, stopped := i.Stop(context.WithoutCancel(ctx), 0); stopped != nil {
		return withCause(err, stopped)
	}
	return err
}

// startFailure makes what is not the plugin's answer a failed start.
func (i *Instance) startFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil || fault.CodeOf(err) != fault.Internal {
		return err
	}
	return startFault("drawspan-"+i.program(), &StartError{
		Reason: TimedOut, Detail: "it shook hands, but did not answer: " + err.Error(), Stderr: lastLines(i.stderr.tail(), 5),
	})
}

// admit counts an instance among the live ones.
func (l *Loader) admit(i *Instance) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fault.New(fault.Unavailable, "the daemon is stopping")
	}
	l.live[i] = struct{}{}
	return nil
}

func (l *Loader) dismiss(i *Instance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, i)
}

// Manifest is what a locked plugin says of itself, and the digest of the program that said it. Each
// digest is asked once, in a sandbox that holds nothing.
func (l *Loader) Manifest(ctx context.Context, kind, name string) (sdk.Manifest, string, error) {
	s, entry, err := l.verified(kind, name)
	if err != nil {
		return sdk.Manifest{}, "", err
	}
	l.mu.Lock()
	m, known := l.manifests[s.digest]
	l.mu.Unlock()
	if known {
		return m, s.digest, nil
	}
	return l.ask(ctx, kind, name, s, entry)
}

// Inspect is Manifest for a program that is not locked (yet): what `drawspan plugin lock` looks at.
func (l *Loader) Inspect(ctx context.Context, kind, name string) (sdk.Manifest, string, error) {
	f, err := l.find(kind, name)
	if err != nil {
		return sdk.Manifest{}, "", err
	}
	defer f.Close()
	s, err := l.sealed(f, "")
	if err != nil {
		return sdk.Manifest{}, "", err
	}
	defer s.release()
	return l.ask(ctx, kind, name, s, pluginlock.Entry{})
}

func (l *Loader) ask(ctx context.Context, kind, name string, s *seal, entry pluginlock.Entry) (sdk.Manifest, string, error) {
	i, err := l.bring(ctx, Launch{Kind: kind, Name: name, Policy: l.opts.DescribePolicy}, s, entry)
	if err != nil {
		return sdk.Manifest{}, "", err
	}
	if _, err := i.Stop(ctx, 0); err != nil {
		return sdk.Manifest{}, "", err
	}
	return i.manifest, s.digest, nil
}
