package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) serveCommand() *cobra.Command {
	return s.leaf(leaf{
		use: "serve", short: "Run the daemon in the foreground",
		long: `Runs the daemon until SIGTERM or Ctrl-C: it stops what runs, records it and ends; a second signal
ends it at once. SIGHUP reads the configuration again. One daemon per state directory. It listens on
a unix socket that only this user can reach, and on a loopback port if the configuration says so.
As root it runs only with run_as. The launcher and plugins are looked for in DRAWSPAN_LIBEXEC, else in
lib/drawspan beside the program's directory.`,
		example: "drawspan serve --config ./drawspan.hcl",
		run: func(ctx context.Context, _ []string) error {
			if s.app.Serve == nil {
				return cannot("serve")
			}
			if _, err := s.load(); err != nil {
				return err
			}
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			o := s.daemonOptions()
			o.Reload, o.Ready = hangups(ctx), s.ready
			return s.app.Serve(ctx, o)
		},
	})
}

// hangups delivers SIGHUP until ctx ends. Signals that come close together are one.
func hangups(ctx context.Context) <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	out := make(chan struct{})
	go func() { // ends with ctx, which serve ends
		defer signal.Stop(signals)
		for {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
			select {
			case out <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// ready tells that the daemon answers.
func (s *shell) ready(socket, address string) {
	if s.g.json || s.g.jsonl {
		doc := map[string]string{"socket": socket}
		if address != "" {
			doc["address"] = address
		}
		_ = s.document(doc) // nobody reads it: the daemon serves all the same
		return
	}
	s.say(join(s.talk.Mark(term.Good)+" ready at "+term.Line(socket), term.Line(address)))
}
