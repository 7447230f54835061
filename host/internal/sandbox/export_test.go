package sandbox

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
