package loader

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

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
	defer s.release()
	return l.bring(ctx, launch, s, entry)
}

// bring launches a sealed program and goes through handshake, connection, greeting, description and,
// where there is something to start, configuration.
func (l *Loader) bring(ctx context.Context, launch Launch, s *seal, entry pluginlock.Entry) (*Instance, error) {
	room := &room{secret: wire.NewSecret()}
	log := l.log.With("plugin", launch.program(), "version", entry.Version, "attempt", launch.AttemptID)
	r := &confinedRunner{
		loader: l, launch: launch, seal: s, room: room, handshake: newHandshake(l.opts.Mask),
		stderr: &tailLog{log: log, mask: l.opts.Mask, ended: make(chan struct{})},
		caller: func() error { return context.Cause(ctx) },
		link:   newLink(),
	}
	r.handshake.named = r.found
	conn, err := l.link(ctx, r)
	if err != nil {
		return nil, err
	}
	process, _ := r.started()
	i := &Instance{
		loader: l, launch: launch, log: log, room: room, process: process, stderr: r.stderr, link: r.link, conn: conn,
		client: wire.NewClient(conn, wire.ClientOptions{Heartbeat: l.opts.Times.Heartbeat}),
		ended:  make(chan struct{}), stopped: make(chan struct{}), vacated: make(chan struct{}),
		identity: work.PluginIdentity{
			Name: launch.Name, Kind: launch.Kind, Version: entry.Version, Digest: s.digest, Protocol: wire.Protocol,
		},
	}
	if p := launch.Program; p != nil {
		i.identity.Program = &p.Identity
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

// link goes through the handshake and returns the connection to the plugin.
func (l *Loader) link(ctx context.Context, r *confinedRunner) (*grpc.ClientConn, error) {
	err := l.shake(ctx, r)
	if err == nil {
		return r.conn, nil
	}
	err = r.diagnosis(err)
	if r.conn != nil {
		err = withCause(err, r.conn.Close())
	}
	return nil, withCause(err, r.room.remove())
}

// withCause keeps the first error the one that is told.
func withCause(err, also error) error {
	if also == nil {
		return err
	}
	return fmt.Errorf("%w (and: %w)", err, also)
}

// shake has go-plugin make the socket directory and run the handshake. Nothing else of the library is
// used: its own connection, broker and Kill have no bounds.
func (l *Loader) shake(ctx context.Context, r *confinedRunner) error {
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{wire.ProtocolVersion: {}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		SkipHostEnv:      true,
		StartTimeout:     l.opts.Times.Start,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: l.opts.RunDir},
		Logger:           hclog.NewNullLogger(),
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, dir string) (runner.Runner, error) {
			r.room.path, r.room.inside = dir, cmp.Or(l.insideOf(ctx, r.launch.Policy), dir)
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
	_, err := client.Start()
	return err
}

// meet greets the plugin, learns what it is and configures it. A program that is known by its digest is
// greeted and configured in one go.
func (i *Instance) meet(ctx context.Context, entry pluginlock.Entry) error {
	manifest, known := i.loader.known(i.program(), i.identity.Digest)
	if known {
		if err := i.asLocked(manifest, entry); err != nil {
			return err
		}
		i.introduce(manifest, entry)
		var configured error
		var wg sync.WaitGroup
		wg.Go(func() { configured = i.configure(ctx) })
		greeted := i.greet(ctx)
		wg.Wait()
		go i.vacate()
		return cmp.Or(greeted, configured)
	}
	if err := i.greet(ctx); err != nil {
		return err
	}
	go i.vacate()
	manifest, err := i.describe(ctx)
	if err != nil {
		return err
	}
	if manifest.Name != i.launch.Name || !slices.Contains(manifest.Kinds, i.launch.Kind) {
		return fault.New(fault.PluginProtocol, `program drawspan-%s says it is %v "%s"`, i.program(), manifest.Kinds, printable(manifest.Name, 80)).
			Fix("install it under its own name")
	}
	if err := i.asLocked(manifest, entry); err != nil {
		return err
	}
	i.introduce(manifest, entry)
	i.loader.remember(i.program(), i.identity.Digest, manifest)
	return i.configure(ctx)
}

// asLocked refuses a plugin that is not, by its own word, what the lock file says: the host feeds a
// validator, keeps it alive and uses its verdicts again by what is locked.
func (i *Instance) asLocked(m sdk.Manifest, entry pluginlock.Entry) error {
	says := pluginlock.Nature{Feeds: m.Feeds, Pure: m.Pure, Resident: m.Resident}
	if i.launch.describe || i.launch.Kind != "validator" || says.Same(entry.Nature) {
		return nil
	}
	return fault.New(fault.PluginMismatch, "plugin %s says of itself what the lock file does not: feeds %q, pure %v, resident %v", i.program(), m.Feeds, m.Pure, m.Resident).
		At(entry.Declared).Fix("run: drawspan plugin lock")
}

// introduce makes the manifest part of the identity.
func (i *Instance) introduce(m sdk.Manifest, entry pluginlock.Entry) {
	i.manifest = m
	i.identity.Version = m.Version
	i.identity.Simulated = m.Simulated || entry.Simulated
}

func (i *Instance) greet(ctx context.Context) error {
	l := i.loader
	ctx, cancel := context.WithTimeout(ctx, l.opts.Times.Start)
	defer cancel()
	_, err := i.client.Hello(ctx, wire.Greeting{
		HostVersion: l.opts.Version, InstanceID: i.launch.AttemptID, LogLevel: l.log.GetLevel().String(),
	})
	if err != nil && i.link.foreign.Load() {
		return startFault("drawspan-"+i.program(), &StartError{Reason: BadAddress, Detail: errForeignPeer.Error()})
	}
	return err
}

func (i *Instance) describe(ctx context.Context) (sdk.Manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, i.loader.opts.Times.Start)
	defer cancel()
	return i.client.Describe(ctx)
}

// configure hands over the config block; a plugin that is only asked what it is gets none.
func (i *Instance) configure(ctx context.Context) error {
	if i.launch.describe {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, i.loader.opts.Times.Configure)
	defer cancel()
	return i.client.Configure(ctx, i.launch.Config)
}

// known is the manifest of a program that has been asked before. A digest stands for one name: the same
// bytes under another name are asked again.
func (l *Loader) known(program, digest string) (sdk.Manifest, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.manifests[program+" "+digest]
	return m, ok
}

func (l *Loader) remember(program, digest string, m sdk.Manifest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manifests[program+" "+digest] = m
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
	defer s.release()
	if m, known := l.known(kind+"-"+name, s.digest); known {
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
	i, err := l.bring(ctx, Launch{Kind: kind, Name: name, Policy: l.opts.DescribePolicy, describe: true}, s, entry)
	if err != nil {
		return sdk.Manifest{}, "", err
	}
	if _, err := i.Stop(ctx, 0); err != nil {
		return sdk.Manifest{}, "", err
	}
	return i.manifest, s.digest, nil
}
