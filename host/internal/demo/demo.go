// Package demo shows the product at work: a daemon of its own on a temporary repository, and four steps
// driven through the same command line that people use. One passes a gate that runs vet and tests, one
// is stopped for touching a forbidden path, one tries to get out of the sandbox, one is cancelled while
// its children have detached. At the end the record is verified.
//
// It guarantees that nothing is played: every step is executed, judged and recorded as any other, and a
// step that ends otherwise than announced makes the demonstration fail. It leaves nothing behind. It
// must not know the rooms: it is handed the daemon and the command line as functions.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/fault"
)

// Options of a demonstration.
type Options struct {
	Out    io.Writer
	Keep   bool   // leave the temporary directory
	Source string // the repository that is cloned: this project's; "" makes a small one
	Path   string // where git is looked for
	// Command runs the command line with a configuration and answers with its exit code.
	Command func(ctx context.Context, out io.Writer, config string, args ...string) int
	// Serve runs the daemon until ctx ends; ready is called once it answers.
	Serve func(ctx context.Context, config string, log io.Writer, ready func()) error
}

// demo is one demonstration.
type demo struct {
	Options
	source                    source
	dir, repo, config, canary string
	log                       *os.File
}

// Run shows everything and cleans up. It fails when a step did not end as announced.
func Run(ctx context.Context, o Options) (err error) {
	home, err := os.UserHomeDir() // not under /tmp: that is private inside, and a stray write would seem to succeed
	if err != nil {
		return fmt.Errorf("find a place for the demonstration: %w", err)
	}
	dir, err := os.MkdirTemp(home, ".drawspan-demo-")
	if err != nil {
		return fmt.Errorf("make the demonstration's directory: %w", err)
	}
	d := &demo{Options: o, dir: dir, repo: filepath.Join(dir, "repo"), config: filepath.Join(dir, "drawspan.hcl"), canary: filepath.Join(dir, "private-notes.txt")}
	if o.Keep {
		defer d.say("everything is left in %s", dir)
	} else {
		defer func() { err = errors.Join(err, remove(dir)) }()
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.log.Close()) }()
	return d.withDaemon(ctx, d.show)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }

// prepare makes repository, canary, configuration and lock file.
func (d *demo) prepare(ctx context.Context) error {
	if err := d.clone(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(d.canary, []byte("only for the person at this machine\n"), 0o600); err != nil {
		return fmt.Errorf("write the canary: %w", err)
	}
	if err := os.WriteFile(d.config, []byte(d.hcl()), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	var err error
	if d.log, err = os.OpenFile(filepath.Join(d.dir, "daemon.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open the daemon's log: %w", err)
	}
	if code := d.Command(ctx, io.Discard, d.config, "plugin", "lock"); code != fault.ExitOK {
		return fault.New(fault.PluginNotFound, "the plugins could not be locked (exit %d)", code).Fix("run: scripts/install, then drawspan doctor")
	}
	return nil
}

// withDaemon runs show beside a daemon, and stops the daemon whatever happens.
func (d *demo) withDaemon(ctx context.Context, show func(context.Context) error) error {
	serveCtx, stop := context.WithCancel(ctx)
	defer stop()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- d.Serve(serveCtx, d.config, d.log, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		return fmt.Errorf("start the daemon: %w", err)
	}
	err := show(ctx)
	stop()
	return errors.Join(err, <-ended)
}

// scene is one step of the show.
type scene struct {
	title, about string
	args         []string
	want         int // exit code
}

func (d *demo) show(ctx context.Context) error {
	began := time.Now()
	d.say("drawspan works on a clone in %s. Each step gets a tree of its own, a sandbox and a judge.", d.repo)
	for i, s := range d.scenes() {
		d.say("\n%d. %s\n   %s\n   $ drawspan %s", i+1, s.title, s.about, shown(s.args))
		if code := d.Command(ctx, d.Out, d.config, s.args...); code != s.want {
			return fault.New(fault.Internal, "%q ended with exit code %d, %d was announced", s.title, code, s.want).Fix("run again with --keep and look at daemon.log")
		}
	}
	if err := d.outside(ctx); err != nil {
		return err
	}
	if err := d.cancelled(ctx); err != nil {
		return err
	}
	d.say("\n5. The record\n   Every transition, verdict and artifact above is in a log that can prove itself.\n   $ drawspan audit verify --artifacts")
	if code := d.Command(ctx, d.Out, d.config, "audit", "verify", "--artifacts"); code != fault.ExitOK {
		return fault.New(fault.AuditFailed, "the record does not verify (exit %d)", code)
	}
	d.say("\nDone in %.1f s; nothing is left behind. Next: README.md, \"Your first workspace\", or drawspan doctor.", time.Since(began).Seconds())
	return nil
}

func (d *demo) scenes() []scene {
	return []scene{
		{
			title: "A change that passes", want: fault.ExitOK,
			about: "A program edits " + d.source.Package + ". Gates run go vet and go test on the result, in a sandbox of their own.",
			args:  []string{"do", "Add a package example with a test", "--with", "author", "--workspace", "demo"},
		},
		{
			title: "A change that is stopped", want: fault.ExitGateFailed,
			about: "This one also rewrites a CI workflow. The operator's path rule says no, whatever the executor says.",
			args:  []string{"do", "Tidy up, and make CI friendlier", "--with", "meddler", "--workspace", "demo"},
		},
	}
}

// outside shows what an executor meets that looks around.
func (d *demo) outside(ctx context.Context) error {
	d.say("\n3. A look outside\n   This executor (a simulator that makes real system calls) tries your home, your\n   repository and the network.\n   $ drawspan do ... --with snoop --expect none")
	var out strings.Builder
	code := d.Command(ctx, io.MultiWriter(d.Out, &out), d.config, "do", "Look around", "--with", "snoop", "--workspace", "demo", "--expect", "none")
	if code != fault.ExitOK {
		return fault.New(fault.Internal, "the look outside ended with exit code %d", code)
	}
	id, err := d.newest(ctx)
	if err != nil {
		return err
	}
	d.say("   $ drawspan step logs %s", id)
	var logs strings.Builder
	if code := d.Command(ctx, io.MultiWriter(d.Out, &logs), d.config, "step", "logs", id); code != fault.ExitOK {
		return fault.New(fault.Internal, "the step's log could not be read (exit %d)", code)
	}
	if strings.Contains(logs.String(), "only for the person") {
		return fault.New(fault.SandboxUnverified, "the executor read a file of the caller's")
	}
	if _, err := os.Lstat(d.planted()); !errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.SandboxUnverified, "the executor wrote into the caller's repository")
	}
	return nil
}

// planted is a file of the caller's repository that no executor may make.
func (d *demo) planted() string { return filepath.Join(d.repo, "planted.txt") }

// cancelled shows that "cancelled" means proved dead.
func (d *demo) cancelled(ctx context.Context) error {
	d.say("\n4. A cancel that is true\n   A hundred children detach into sessions of their own; then the step is cancelled.\n   $ drawspan do ... --with swarm --detach")
	if code := d.Command(ctx, io.Discard, d.config, "do", "Never end", "--with", "swarm", "--workspace", "demo", "--detach"); code != fault.ExitOK {
		return fault.New(fault.Internal, "the step could not be dispatched (exit %d)", code)
	}
	id, err := d.newest(ctx)
	if err != nil {
		return err
	}
	if err := d.swarmed(ctx, id); err != nil {
		return err
	}
	d.say("   $ drawspan step cancel %s", id)
	if code := d.Command(ctx, d.Out, d.config, "step", "cancel", id); code != fault.ExitCancelled {
		return fault.New(fault.Internal, "the cancel ended with exit code %d, %d was announced", code, fault.ExitCancelled)
	}
	return nil
}

func shown(args []string) string {
	out := make([]string, 0, len(args))
	for _, a := range args {
		if strings.ContainsAny(a, " ") {
			a = "\"" + a + "\""
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}

// remove deletes the directory, whose content store is read-only.
func remove(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the demonstration's directory: %w", err)
	}
	return nil
}
