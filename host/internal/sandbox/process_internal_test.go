package sandbox

import (
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// A command that crosses the launcher's last word on its way must not cost that word: the proof is in it.
func TestTheLastWordOfALauncherIsReadThoughACommandCameTooLate(t *testing.T) {
	ours, theirs, err := controlPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	p := &Process{control: ours}
	last := spec.Message{Exit: &spec.Exit{Emptied: true}}
	if _, err := theirs.Write(last.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if err := p.command(spec.CommandEnd, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	m, err := p.receive(buf)
	if err != nil || m.Exit == nil || !m.Exit.Emptied {
		t.Fatalf("read %+v, %v", m, err)
	}
	if _, err := p.receive(buf); !errors.Is(err, io.EOF) {
		t.Errorf("behind it: %v", err)
	}
}
