package loader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Options say where things are.
type Options struct {
	// Dirs are searched, in order, for drawspan-executor-NAME and drawspan-validator-NAME.
	Dirs []string
	// RunDir holds one directory for each live plugin. It is the loader's own: what is in it when the
	// loader starts is left over from a dead daemon, and removed.
	RunDir  string
	Launch  Launcher
	Version string // the daemon's
	Log     hclog.Logger
	// Mask hides secrets in what plugins write to standard output and error, before any of it is cut or
	// kept; nil hides nothing.
	Mask Masker
	// DescribePolicy confines a plugin that is only asked what it is; nil means strict where the machine can, with nothing.
	DescribePolicy *work.SandboxPolicy
	Times          Times
}

// Masker hides secrets, in a stream and in a text.
type Masker interface {
	Stream(dst io.Writer) io.WriteCloser
	Text(s string) string
}

// Times bound what a plugin may take; zero values mean the defaults.
type Times struct {
	Start     time.Duration // from the launch to the handshake, and again to the first answer; 5 s
	Configure time.Duration // 10 s
	Heartbeat time.Duration // how often a plugin has to show life; 5 s, and three of them may be missed
	Kill      time.Duration // until a killed launch must be proved dead; 10 s
}

func (t Times) withDefaults() Times {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Start, 5*time.Second)
	def(&t.Configure, 10*time.Second)
	def(&t.Heartbeat, 5*time.Second)
	def(&t.Kill, 10*time.Second)
	return t
}

// Loader starts plugins.
type Loader struct {
	opts   Options
	log    hclog.Logger
	inside string // where plugins see their socket directory; "" is the host's path, in tests without a sandbox

	mu        sync.Mutex
	closed    bool
	lock      *pluginlock.File
	seals     map[string]*seal        // by digest
	seen      map[string]identity     // by path: what the file was when it was last hashed
	manifests map[string]sdk.Manifest // by program and digest
	live      map[*Instance]struct{}
}

// runPrefix is how go-plugin begins the names of the directories that it makes.
const runPrefix = "plugin-dir"

// New makes a loader and sweeps what a dead daemon left in RunDir.
func New(o Options) (*Loader, error) {
	o.Times = o.Times.withDefaults()
	if o.DescribePolicy == nil {
		o.DescribePolicy = describePolicy()
	}
	if err := os.MkdirAll(o.RunDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the plugins' run directory: %w", err)
	}
	if err := os.Chmod(o.RunDir, 0o700); err != nil {
		return nil, fmt.Errorf("close the plugins' run directory: %w", err)
	}
	entries, err := os.ReadDir(o.RunDir)
	if err != nil {
		return nil, fmt.Errorf("sweep the plugins' run directory: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), runPrefix) {
			continue
		}
		if err := removeAll(filepath.Join(o.RunDir, e.Name())); err != nil {
			return nil, fmt.Errorf("sweep the plugins' run directory: %w", err)
		}
	}
	return &Loader{
		opts: o, log: o.Log, inside: insideDir, lock: &pluginlock.File{}, seals: map[string]*seal{}, seen: map[string]identity{},
		manifests: map[string]sdk.Manifest{}, live: map[*Instance]struct{}{},
	}, nil
}

// SetLock makes f the lock file in force. Programs that it does not name are not started any more;
// those that run go on.
func (l *Loader) SetLock(f *pluginlock.File) {
	locked := map[string]bool{}
	for _, e := range f.Entries {
		locked[e.Digest()] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lock = f
	for digest, s := range l.seals {
		if !locked[digest] {
			delete(l.seals, digest)
			s.release()
		}
	}
}

// Installed lists the plugin programs that are found, sorted by name.
func (l *Loader) Installed() ([]pluginlock.Program, error) { return pluginlock.Installed(l.opts.Dirs) }

// Close kills every live plugin, waits for the proofs and forgets the programs.
func (l *Loader) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	var live []*Instance
	for i := range l.live {
		live = append(live, i)
	}
	l.mu.Unlock()
	errs := make([]error, len(live))
	var wg sync.WaitGroup
	for n, i := range live {
		wg.Go(func() { _, errs[n] = i.Stop(ctx, 0) })
	}
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for digest, s := range l.seals {
		delete(l.seals, digest)
		s.release()
	}
	return errors.Join(errs...)
}

func describePolicy() *work.SandboxPolicy {
	const mib = 1 << 20
	return &work.SandboxPolicy{
		Name: "describe", Level: "strict", Floor: "guarded", Processes: 64, OpenFiles: 256, FileSize: mib, Tmp: mib,
		Output: mib, Wall: time.Minute, OnShortfall: "degrade",
	}
}
