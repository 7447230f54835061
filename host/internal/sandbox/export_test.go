package sandbox

// CountSurvivors is asked only when a death cannot be proved, which no test can bring about.
func CountSurvivors(pid int) int { return survivors(pid) }
