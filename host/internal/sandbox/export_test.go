package sandbox

import (
	"context"
	"slices"

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
