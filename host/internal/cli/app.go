package cli

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/policy"
	"github.com/drawspan/drawspan/host/internal/report"
)

// App is what the command line cannot do itself. A nil function makes its command answer that this
// build cannot do it.
type App struct {
	// Version of the program; "" takes it from the build.
	Version string
	// Serve runs the daemon until ctx ends.
	Serve func(ctx context.Context, o DaemonOptions) error
	// Doctor tries what a daemon with these options would need, the configuration included.
	Doctor func(ctx context.Context, o DaemonOptions) []api.Check
	// Describe starts a plugin program, confined, and asks what it is.
	Describe func(ctx context.Context, o DaemonOptions, p pluginlock.Program) (pluginlock.Facts, error)
	// Pins finds the programs that the declared executors drive; what cannot be pinned is in left, by executor.
	Pins func(ctx context.Context, o DaemonOptions) (pins []pluginlock.Pin, left map[string]error, err error)
	// GateRun judges a range of commits without a daemon.
	GateRun func(ctx context.Context, o GateRunOptions) (*report.Document, error)
	// Demo shows real steps on a temporary repository.
	Demo func(ctx context.Context, o DemoOptions) error
}

// DaemonOptions is what a daemon takes from the surroundings of the command line.
type DaemonOptions struct {
	Source  config.Source
	Host    policy.Host
	Socket  string   // "" is the one in the state directory
	Libexec []string // where the launcher and plugins are looked for, in order
	Lock    string   // the plugin lock file
	Version string
	UID     int
	Stderr  io.Writer
	// Reload fires when the configuration is to be read again.
	Reload <-chan struct{}
	// Ready is called once, when the daemon answers.
	Ready func(socket, address string)
}

// DemoOptions is what `drawspan demo` was told.
type DemoOptions struct {
	DaemonOptions
	Repository string // what is cloned; "" lets the demo make one
	Out        io.Writer
	OutFD      uintptr // of Out, to ask what it can show
	Keep       bool    // leave the temporary directory
}

// Streams is the outside of one invocation.
type Streams struct {
	In         io.Reader
	Out        io.Writer
	Err        io.Writer
	OutFD      uintptr // file descriptors, to ask what they can show
	ErrFD      uintptr
	Env        func(string) string
	Dir        string // the working directory
	Home       string
	Program    string // path of the running program, by which its companions are found
	UID        int
	Interrupts <-chan os.Signal // Ctrl-C while work is followed; when nobody receives, the context ends
	Heartbeat  time.Duration    // without a terminal, how long nothing may be said; 0 is 30 s
	Patience   time.Duration    // how long followed work waits for a daemon that starts anew; 0 is 30 s
	Began      time.Time        // what views that do not tick measure ages against; zero is now
}
