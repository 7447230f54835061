package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// spawnLimit is how long a spawner may take. It is idle when it is asked.
const spawnLimit = 5 * time.Second

// spawner is a small process of the launcher's program that starts launchers, because the kernel copies the
// address space of whoever starts a process in a new user namespace: from the daemon that takes
// milliseconds, more with every megabyte. Launchers are the daemon's own children all the same. It ends
// with the daemon. Where there is none, or it fails, the daemon starts launchers itself.
type spawner struct {
	mu      sync.Mutex
	control *os.File // nil: there is none, or no longer
	process *os.Process
}

// startSpawner starts the process; without it everything works, slower.
func startSpawner(program *pinned) (*spawner, error) {
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	defer null.Close()
	process, err := os.StartProcess(program.path(), []string{"drawspan-sandbox", spec.SpawnerArg}, &os.ProcAttr{
		Dir: "/", Env: []string{"GOGC=25", "GOMAXPROCS=1"}, Files: []*os.File{null, null, null, theirs},
		Sys: &syscall.SysProcAttr{Setpgid: true}, // a Ctrl-C at the daemon's terminal is not for it
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the spawner: %w", err), ours.Close())
	}
	return &spawner{control: ours, process: process}, nil
}

// errNoSpawner means that the daemon has to start the launcher itself.
var errNoSpawner = errors.New("there is no spawner")

// start has a launcher started with these descriptors, from 0 on. A spawner that fails once is not asked
// again: the daemon's own try will say what is wrong.
func (s *spawner) start(files []*os.File) (*os.Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.control == nil {
		return nil, errNoSpawner
	}
	pid, err := s.ask(files)
	if err != nil {
		s.kill()
		return nil, errors.Join(err, s.end())
	}
	return os.FindProcess(pid) // it is our child and not waited for yet: the number is still its own
}

func (s *spawner) ask(files []*os.File) (int, error) {
	if err := s.control.SetDeadline(time.Now().Add(spawnLimit)); err != nil {
		return 0, err
	}
	if err := sendFiles(s.control, []byte{spec.SpawnNative}, files); err != nil {
		return 0, fmt.Errorf("ask the spawner: %w", err)
	}
	var reply [spec.SpawnReply]byte
	if _, err := io.ReadFull(s.control, reply[:]); err != nil {
		return 0, fmt.Errorf("wait for the spawner: %w", err)
	}
	if number := binary.NativeEndian.Uint64(reply[8:]); number != 0 {
		return 0, fmt.Errorf("the spawner: %w", syscall.Errno(number))
	}
	return int(binary.NativeEndian.Uint64(reply[:])), nil
}

// close lets the process end, as it would after the daemon's death.
func (s *spawner) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.control == nil {
		return nil
	}
	late := time.AfterFunc(spawnLimit, s.kill)
	defer late.Stop()
	return s.end()
}

// end makes the spawner one that is not there.
func (s *spawner) end() error {
	err := s.control.Close()
	s.control = nil
	_, wait := s.process.Wait()
	return errors.Join(err, wait)
}

func (s *spawner) kill() {
	_ = s.process.Kill() // already dead is what is wanted
}
