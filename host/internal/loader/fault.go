package loader

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/sdk/wire"
)

// Reasons of a StartError.
const (
	BadFormat        = "bad_format"        // not an executable of this machine
	NoHandshake      = "no_handshake"      // it closed standard output without a line
	StdoutPolluted   = "stdout_polluted"   // its first line is not the handshake
	ProtocolMismatch = "protocol_mismatch" // it speaks none of the host's protocols
	BadAddress       = "bad_address"       // it names a socket that is not its own
	Exited           = "exited"
	TimedOut         = "timeout"
)

// StartError says why a plugin did not come up. It is in the chain of a fault.PluginStart.
type StartError struct {
	Reason string
	Detail string
	Line   string       // of standard output, where that is the matter
	Exit   sandbox.Exit // with Exited
	Stderr string       // its last lines
}

// Error is the reason and its detail.
func (e *StartError) Error() string { return e.Reason + ": " + e.Detail }

// startFault makes the fault of a plugin that did not come up.
func startFault(program string, err error) error {
	var e *StartError
	if !errors.As(err, &e) {
		return err
	}
	f := fault.Wrap(err, fault.PluginStart, "plugin %s did not start: %s", program, e.Detail)
	if e.Stderr != "" {
		return f.Fix("its last words: %s", e.Stderr)
	}
	return f.Fix("%s", startHints[e.Reason])
}

var startHints = map[string]string{
	BadFormat:        "install a build for this machine, then run: drawspan plugin lock",
	NoHandshake:      "the program must be a drawspan plugin; Go programs call sdk/plugin.Serve in main",
	StdoutPolluted:   "the program prints to standard output before sdk/plugin.Serve; print to standard error",
	ProtocolMismatch: "install a version of the plugin for this version of drawspan, then run: drawspan plugin lock",
	BadAddress:       "the plugin misbehaves; do not use it",
	Exited:           "run it by hand to see what it says",
	TimedOut:         "the plugin does too much before sdk/plugin.Serve, or the machine is overloaded",
}

// Crash is how a plugin died that should have lived. It is in the chain of a fault.PluginCrashed.
type Crash struct {
	Exit   sandbox.Exit
	Stderr []byte // the last 64 KiB
}

// Error is the exit.
func (c *Crash) Error() string { return exitText(c.Exit) }

func exitText(e sandbox.Exit) string {
	switch {
	case e.Lost != "":
		return "ended without an exit status: " + e.Lost
	case e.Signal != 0:
		return "was ended by " + unix.SignalName(e.Signal)
	default:
		return fmt.Sprintf("exited with code %d", e.Code)
	}
}

func (i *Instance) crashed() error {
	c := &Crash{Exit: i.process.Exit(), Stderr: i.stderr.final()}
	f := fault.Wrap(c, fault.PluginCrashed, "plugin %s %s %s before it was done", i.program(), i.identity.Version, c.Error())
	if words := lastLines(c.Stderr, 5); words != "" {
		return f.Fix("its last words: %s", words)
	}
	return f
}

// refused maps what the plugin answered in the words of the protocol.
func (i *Instance) refused(r *wire.Refusal) error {
	code := map[wire.Code]fault.Code{
		wire.CodeConfig:         fault.PluginConfig,
		wire.CodeUnknownItem:    fault.NotFound,
		wire.CodeUnknownAttempt: fault.NotFound,
		wire.CodeBusy:           fault.Conflict,
		wire.CodeAttached:       fault.Conflict,
		wire.CodeUnsupported:    fault.NotSupported,
	}[r.Code]
	if code == "" {
		code = fault.PluginProtocol
	}
	if len(r.Config) > 0 {
		f := fault.Wrap(r.Config[0], code, "plugin %s refuses its configuration: %s", i.program(), r.Config[0])
		if more := len(r.Config) - 1; more > 0 {
			f.Message += fmt.Sprintf(" (and %d more)", more)
		}
		return f
	}
	return fault.Wrap(r, code, "plugin %s refused a call: %s", i.program(), r.Message)
}

// translate turns an error of the wire into a fault. Errors of the caller's own (its context, its sink)
// come back as they are.
func (i *Instance) translate(err error) error {
	var (
		violation *wire.Violation
		refusal   *wire.Refusal
		tooMuch   *wire.TooMuchError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errProcessDied), errors.Is(err, wire.ErrBroken) && i.dead(): // whoever noticed first
		return i.crashed()
	case errors.Is(err, wire.ErrBroken):
		return fault.Wrap(err, fault.PluginProtocol, "plugin %s closed its connection and goes on living", i.program())
	case errors.Is(err, wire.ErrSilent):
		return fault.Wrap(err, fault.PluginUnresponsive, "plugin %s has shown no life for %v", i.program(), 3*i.loader.opts.Times.Heartbeat)
	case errors.As(err, &violation):
		return fault.Wrap(err, fault.PluginProtocol, "plugin %s broke the protocol: %s", i.program(), violation.What)
	case errors.As(err, &refusal):
		return i.refused(refusal)
	case errors.As(err, &tooMuch):
		return fault.Wrap(err, fault.TooLarge, "the work does not fit into one message to the plugin")
	default:
		return err
	}
}

// lastLines is the end of what a plugin wrote, fit for one line of ours.
func lastLines(text []byte, most int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	for n, line := range lines {
		lines[n] = printable(line, 300)
	}
	return strings.Join(lines, " | ")
}
