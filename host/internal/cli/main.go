package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// errInterrupted is why the context of a command ends early.
var errInterrupted = errors.New("interrupted")

// Main is the program: it takes the process's streams, environment and signals, and answers with the
// exit code. The first interrupt goes to whoever follows work, else it ends the context; once the
// context has ended, the next signal kills.
func Main(ctx context.Context, app App, args []string) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	interrupts := make(chan os.Signal)
	go func() {
		for sig := range signals {
			if sig == os.Interrupt {
				select {
				case interrupts <- sig:
					continue
				default:
				}
			}
			signal.Stop(signals)
			cancel(errInterrupted)
		}
	}()
	return app.Run(ctx, processStreams(interrupts), args)
}

func processStreams(interrupts <-chan os.Signal) Streams {
	s := Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, OutFD: os.Stdout.Fd(), ErrFD: os.Stderr.Fd(),
		Env: os.Getenv, UID: os.Getuid(), Interrupts: interrupts,
	}
	// Without them, what needs them says which path it could not find.
	s.Dir, _ = os.Getwd()        // see above
	s.Home, _ = os.UserHomeDir() // see above
	if exe, err := os.Executable(); err == nil {
		s.Program, _ = filepath.EvalSymlinks(exe) // see above
	}
	return s
}
