package cli

import (
	"context"
	"io"
	"os"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/daemon"
	"github.com/drawspan/drawspan/host/internal/demo"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/report"
)

// Program is the App that is shipped: this command line over the daemon.
func Program() App {
	return App{
		Serve: func(ctx context.Context, o DaemonOptions) error { return daemon.Run(ctx, o.toDaemon()) },
		Doctor: func(ctx context.Context, o DaemonOptions) []api.Check {
			return daemon.Doctor(ctx, o.toDaemon()).Checks
		},
		Describe: describe,
		Pins: func(ctx context.Context, o DaemonOptions) ([]pluginlock.Pin, map[string]error, error) {
			return daemon.Pins(ctx, o.toDaemon())
		},
		Demo:    demonstrate,
		GateRun: gateRun,
	}
}

func (o DaemonOptions) toDaemon() daemon.Options {
	d := daemon.Options{
		Source: o.Source, Host: o.Host, Socket: o.Socket, Libexec: o.Libexec, Lock: o.Lock, Version: o.Version, UID: o.UID,
		Stderr: o.Stderr, Reload: o.Reload, Argv: os.Args, Environ: kept(), Variable: os.LookupEnv,
	}
	if o.Ready != nil {
		d.Ready = func(r daemon.Ready) { o.Ready(r.Socket, r.Address) }
	}
	return d
}

// gateRun judges commits with a daemon that serves nobody.
func gateRun(ctx context.Context, o GateRunOptions) (*report.Document, error) {
	doc, err := daemon.GateRun(ctx, o.toDaemon(), daemon.GateAsk{
		Base: o.Base, Head: o.Head, Workspace: o.Workspace, Root: o.Root, Only: o.Only, Baseline: o.Baseline, Locked: o.Locked, Cache: o.Cache, Record: o.Record, Reports: o.Reports,
	})
	if diags := daemon.Diagnostics(err); diags != nil {
		return nil, diagnosed{diags}
	}
	return doc, err
}

// describe asks a program what it is, confined, for the lock file.
func describe(ctx context.Context, o DaemonOptions, p pluginlock.Program) (pluginlock.Facts, error) {
	return daemon.Describe(ctx, o.toDaemon(), p)
}

// kept are the variables that stay when root becomes the user of run_as.
func kept() []string {
	var env []string
	for _, name := range []string{"PATH", "LANG", "TERM", "DRAWSPAN_LIBEXEC", "DRAWSPAN_CONFIG", "DRAWSPAN_SOCKET", "GOROOT", "GOMODCACHE", "GOCACHE", "GOPATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// demonstrate runs the demonstration with this very command line and daemon.
func demonstrate(ctx context.Context, o DemoOptions) error {
	app := Program()
	return demo.Run(ctx, demo.Options{
		Out: o.Out, Keep: o.Keep, Source: o.Repository, Path: o.Host.Path,
		Command: func(ctx context.Context, out io.Writer, config string, args ...string) int {
			return app.Run(ctx, o.streams(out), append([]string{"--config", config}, args...))
		},
		Serve: func(ctx context.Context, config string, log io.Writer, ready func()) error {
			d := o.DaemonOptions
			d.Source.Paths, d.Lock, d.Socket, d.Stderr = []string{config}, "", "", log
			d.Ready = func(string, string) { ready() }
			return app.Serve(ctx, d)
		},
	})
}

// streams are the outside of a command of the demonstration: the demonstration's own, with out.
func (o DemoOptions) streams(out io.Writer) Streams {
	s := processStreams(nil)
	s.Out, s.Err, s.OutFD, s.ErrFD = out, out, o.OutFD, o.OutFD
	return s
}
