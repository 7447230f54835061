package sandbox

import (
	"context"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// CountSurvivors is asked only when a death cannot be proved, which no test can bring about.
func CountSurvivors(pid int) int { return survivors(pid) }

// SpawnerPID is the process that starts launchers, 0 without one.
func (s *Sandbox) SpawnerPID() int {
	s.spawner.mu.Lock()
	defer s.spawner.mu.Unlock()
	if s.spawner.control == nil {
		return 0
	}
	return s.spawner.process.Pid
}

// PlanMounts is what a launch would attach, without the launch.
func (s *Sandbox) PlanMounts(ctx context.Context, r Request) ([]spec.Mount, error) {
	p, err := s.plan(ctx, r)
	if err != nil {
		return nil, err
	}
	return slices.Concat(p.spec.System, p.spec.Mounts), p.tidy()
}

// Environ is what a launch would have for its environment.
func Environ(r Request) []string { return environment(r) }

// StandingPID is the launcher that stands ready, 0 without one. It waits for one that is being started.
func (s *Sandbox) StandingPID() int {
	s.standing.work.Wait()
	s.standing.mu.Lock()
	defer s.standing.mu.Unlock()
	if s.standing.ready == nil {
		return 0
	}
	return s.standing.ready.launcher.PID()
}

// StandingTaken reports that none stands ready now.
func (s *Sandbox) StandingTaken() bool {
	s.standing.mu.Lock()
	defer s.standing.mu.Unlock()
	return s.standing.ready == nil
}

// ForgetMounts makes the launcher that stands ready look as if nothing had been mounted since its start.
func (s *Sandbox) ForgetMounts() error {
	fd, err := unix.Open("/proc/self/mounts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	s.standing.mu.Lock()
	defer s.standing.mu.Unlock()
	err = s.standing.ready.mounts.Close()
	s.standing.ready.mounts = os.NewFile(uintptr(fd), "mounts")
	return err
}

// LastWords sends a new launcher a packet with descriptors, and returns what it says when it ends.
func (s *Sandbox) LastWords(packet []byte, files []*os.File) (string, error) {
	p, err := s.spawnUsual()
	if err != nil {
		return "", err
	}
	defer p.control.Close()
	defer p.lastWords.Close()
	if err := sendFiles(p.control, packet, files); err != nil {
		return "", err
	}
	_, err = p.os.Wait()
	return p.words(), err
}
