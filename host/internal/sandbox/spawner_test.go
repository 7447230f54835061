package sandbox_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

func (f *fixture) runTrue() {
	f.t.Helper()
	p := f.launch(sandbox.Request{Policy: isolated(), Path: "/bin/true"})
	if end := p.Exit(); end.Code != 0 || end.Lost != "" {
		f.t.Errorf("exit: %+v", end)
	}
}

func TestALauncherIsTheDaemonsOwnChild(t *testing.T) {
	f := newFixture(t)
	p := f.launch(sandbox.Request{Policy: isolated(), Path: "/bin/sleep", Argv: []string{"sleep", "100"}})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\nPPid:\t%d\n", os.Getpid()); !bytes.Contains(status, []byte(want)) {
		t.Errorf("it is not a child of %d:\n%s", os.Getpid(), status)
	}
	if f.box.SpawnerPID() == 0 {
		t.Error("it was started without the spawner")
	}
	if death, err := p.Kill(deadline(t)); err != nil || !death.Proved {
		t.Errorf("%+v, %v", death, err)
	}
}

func TestADeadSpawnerIsDoneWithout(t *testing.T) {
	f := newFixture(t)
	f.runTrue()
	if err := unix.Kill(f.box.SpawnerPID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f.runTrue()
	}
	if f.box.SpawnerPID() != 0 {
		t.Error("the dead spawner is still asked")
	}
}

func TestASpawnerThatHoldsStillIsDoneWithout(t *testing.T) {
	f := newFixture(t)
	spawner := f.box.SpawnerPID()
	if err := unix.Kill(spawner, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f.runTrue()
	if err := unix.Kill(spawner, 0); err != unix.ESRCH {
		t.Errorf("the spawner lives on: %v", err)
	}
}

func TestTheSpawnerEndsWithTheSandbox(t *testing.T) {
	needSandbox(t)
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: realTemp(t), Home: realTemp(t)})
	if err != nil {
		t.Fatal(err)
	}
	spawner := box.SpawnerPID()
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(spawner, 0); err != unix.ESRCH {
		t.Errorf("the spawner lives on: %v", err)
	}
}
