package launcher

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// Exit codes of the launcher itself. The payload's code travels in the exit message.
const (
	exitReported = 0
	exitNoSpec   = 124
	exitRefused  = 125
	exitExceeded = 126
	exitOrphaned = 137
)

// Run is the whole life of the launcher; it returns the exit code of the process. The working thread is
// never the main one: signals to PID 1 are judged by the main thread's Landlock domain.
func Run() int {
	if len(os.Args) == 2 && os.Args[1] == spec.SpawnerArg {
		return serveSpawns()
	}
	return run(nil)
}

func run(off map[string]bool) int {
	runtime.LockOSThread()
	go func() {
		runtime.LockOSThread() // never unlocked: the thread's restrictions are for the payload only
		os.Exit(live(off))     // from here: the main thread would have to be woken first
	}()
	select {}
}

// errOrphaned means that the daemon's end of the control socket is gone.
var errOrphaned = errors.New("the daemon is gone")

func live(off map[string]bool) int {
	sp, err := receiveSpec(off[layerFDs])
	if err != nil {
		fmt.Fprintln(os.Stderr, "read the specification:", err) // a descriptor of the daemon's
		return exitNoSpec
	}
	started := time.Now()
	if isInner() {
		return liveInner(sp, off)
	}
	b := &box{spec: sp, off: off, feed: newFeed(programName(sp))}
	if err := b.setUp(); err != nil {
		b.report.Err = err.Error()
		var at *stageError
		if errors.As(err, &at) {
			b.report.Stage = at.stage
		}
	}
	b.report.SetupUS = time.Since(started).Microseconds()
	if err := b.sendReport(); err != nil || b.report.Err != "" {
		return exitRefused
	}
	p := b.prepare()
	if err := awaitStart(); err != nil {
		return exitOrphaned
	}
	if supervised(sp) {
		return b.supervise(p)
	}
	return b.runPayload(p)
}

// programName is how the payload's refusals are labelled; the kernel keeps no more of a name either.
func programName(sp *spec.Spec) string {
	if len(sp.Argv) == 0 {
		return ""
	}
	name := path.Base(sp.Argv[0])
	return name[:min(len(name), 15)]
}

// readControl reads one packet; the end of the daemon is errOrphaned.
func readControl(packet []byte) (int, error) {
	for {
		n, err := unix.Read(spec.ControlFD, packet)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("read the control socket: %w", err)
		case n == 0:
			return 0, errOrphaned
		}
		return n, nil
	}
}

func send(m spec.Message) error { return sendPacket(m.Append(nil), 0) }

func sendPacket(packet []byte, flags int) error {
	for {
		err := unix.Send(spec.ControlFD, packet, flags|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// awaitStart returns when the daemon accepted the report.
func awaitStart() error {
	var packet [2]byte
	for {
		n, err := readControl(packet[:])
		if err != nil {
			return err
		}
		if n > 0 && packet[0] == spec.CommandStart {
			return nil
		}
	}
}
