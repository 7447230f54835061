package daemon

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/egress"
	"github.com/drawspan/drawspan/host/internal/policy"
)

// Options are what the command line takes from its surroundings and hands to the daemon.
type Options struct {
	Source  config.Source // where the configuration is and what it may see
	Host    policy.Host   // what the toolchain presets may see of this machine
	Socket  string        // "" is <state_dir>/run/drawspan.sock
	Libexec []string      // directories in which the launcher and plugins are looked for, in order
	Lock    string        // drawspan.lock.hcl; "" is beside the first configuration file
	Version string
	// LogLevel overrules the configuration's; "" does not.
	LogLevel string
	Stderr   io.Writer // the log's place when no file is declared
	UID      int       // who the daemon runs as
	// Argv and Environ are what the program is executed anew with when root becomes run_as; HOME and the
	// user's name are added.
	Argv    []string
	Environ []string
	// Variable looks a variable of the daemon's own environment up, for what the configuration passes on
	// or hands in by name. Nil: there is none.
	Variable func(name string) (string, bool)
	// Resolver and Dial are how allowed hosts are found and reached; nil is this machine's way.
	Resolver egress.Resolver
	Dial     func(context.Context, netip.AddrPort) (net.Conn, error)
	// Ready is called once, when the daemon serves. May be nil.
	Ready func(Ready)
	// Reload delivers requests to load the configuration again (SIGHUP). May be nil.
	Reload <-chan struct{}
}

// Ready says where a daemon serves.
type Ready struct {
	Socket    string
	Address   string // of the loopback port, "" for none
	TokenFile string
	StateDir  string
	Took      time.Duration
}

// Names of what a daemon needs beside itself.
const (
	LauncherName = "drawspan-sandbox"
	LockName     = "drawspan.lock.hcl"
)
