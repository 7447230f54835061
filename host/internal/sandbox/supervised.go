package sandbox

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Where there is no process namespace, the launcher ends what it started, and tells when nothing is left. It
// must live for that: killing it first would let its orphans go.

// order asks the launcher to end everything. One that was stopped is woken for it.
func (p *Process) order() {
	if p.command(spec.CommandEnd, 0) != nil {
		return // it is gone, or going
	}
	_ = p.os.Signal(unix.SIGCONT) // gone meanwhile is no failure
}

// hangUp ends a launch whose payload may not be running yet: the end of the lifeline is understood at any
// time.
func (p *Process) hangUp() error {
	err := p.control.Close()
	_ = p.os.Signal(unix.SIGCONT) // gone already is no failure
	_, waitErr := p.os.Wait()
	return errors.Join(err, waitErr)
}

// settle writes down whether the launcher has seen everything end. Where it died before, what is still known
// to belong to it is killed and counted, and nothing is proved.
func (p *Process) settle(ended *spec.Exit) {
	if !p.onHost {
		p.proved = true
		return
	}
	if p.proved = ended != nil && ended.Emptied; p.proved {
		return
	}
	for range 50 {
		if p.left = killSession(p.os.Pid); p.left == 0 {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// death completes what Kill answers once the launch is over.
func (p *Process) death(d work.Death) (work.Death, error) {
	if d.Proved = p.proved; d.Proved {
		return d, nil
	}
	d.Survivors = p.left
	return d, fault.New(fault.SandboxUnavailable,
		"the launcher died before it had ended what it started; %d processes of its session are left", p.left).
		Fix("look for processes of the user that belong to nobody")
}

// killSession kills every process of a session and says how many there were.
func killSession(session int) int {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return 1 // nobody knows: at least one
	}
	n := 0
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil || !inSession(pid, session) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // gone
		}
		if inSession(pid, session) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
			n++
		}
		_ = unix.Close(fd) // nothing was written
	}
	return n
}

// inSession reports a living process of the session.
func inSession(pid, session int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(fields) > 3 && string(fields[3]) == strconv.Itoa(session) && fields[0][0] != 'Z' && fields[0][0] != 'X'
}
