package plugin

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

const (
	exitCrash = 2                     // as the Go runtime does
	lastWords = 50 * time.Millisecond // for what was told before a crash to leave the process
)

// Serve serves impl, which must be an sdk.Executor or an sdk.Validator, or both, and may be an
// sdk.Configurer, until the daemon ends the program. It does not return early: a program that was not
// started by the daemon, or whose manifest is unusable, exits with a message.
func Serve(m sdk.Manifest, impl any) {
	p, err := wire.NewPlugin(m, impl)
	if err != nil {
		fail(err)
	}
	if os.Getenv(wire.CookieKey) != wire.CookieValue {
		fail(fmt.Errorf("%s %s is a drawspan plugin (%v): the daemon starts it; see `drawspan help plugin`",
			m.Name, m.Version, p.Manifest.Kinds))
	}
	handshake, err := divertStdout()
	if err != nil {
		fail(fmt.Errorf("join standard output to standard error: %w", err))
	}
	dir := os.Getenv(wire.SocketDirKey)
	if dir == "" {
		fail(fmt.Errorf("%s is not set", wire.SocketDirKey))
	}
	listener, err := wire.Announce(dir, handshake)
	if err != nil {
		fail(err)
	}
	hideMemory()
	keepOnInterrupt()
	secret, err := takeSecret(dir)
	if err != nil {
		fail(fmt.Errorf("take the session secret: %w", err))
	}
	level := logTo(os.Stderr)
	server := wire.NewServer(p, wire.Hooks{
		Greeted: func(wish string) { level.Set(parseLevel(wish)) },
		Crash: func(doing string, value any, stack []byte) {
			report(os.Stderr, m, doing, value, stack)
			time.Sleep(lastWords)
			os.Exit(exitCrash)
		},
	})
	if err := wire.Serve(server, secret, listener); err != nil {
		fail(err)
	}
}

// keepOnInterrupt lets an interrupt that is sent to all processes of an attempt reach the tools, while
// the plugin lives to tell how they ended. What it starts does not inherit this.
func keepOnInterrupt() {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
}

// fail ends a program that cannot be a plugin.
func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// report is the crash report: one line that says what, then what the Go runtime would have printed.
func report(w io.Writer, m sdk.Manifest, doing string, value any, stack []byte) {
	fmt.Fprintf(w, "plugin %s %s crashed while %s\npanic: %v\n\n%s\n", m.Name, m.Version, doing, value, stack)
}

// takeSecret reads the session secret and removes its file.
func takeSecret(dir string) (wire.Secret, error) {
	path := filepath.Join(dir, wire.SecretFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return wire.Secret{}, err
	}
	if err := os.Remove(path); err != nil {
		return wire.Secret{}, err
	}
	return wire.ParseSecret(text)
}
