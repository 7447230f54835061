package sandbox

import "github.com/drawspan/drawspan/host/internal/sandbox/spec"

// Ways in which a limit of the launch as a whole is held.
const (
	limitWatched = "watched" // sampled by the launcher, which ends the launch
	limitCgroup  = "cgroup"  // by the kernel
)

// limitsMissing names the declared limits that the launcher did not say it holds.
func limitsMissing(asked, held spec.Limits) []string {
	var missing []string
	for _, l := range []struct {
		name        string
		asked, held int64
	}{
		{"limits.memory", asked.Memory, held.Memory},
		{"limits.disk", asked.Disk, held.Disk},
		{"limits.cpus", int64(asked.CPUs), int64(held.CPUs)},
		{"limits.cpu_time", asked.CPUTimeMS, held.CPUTimeMS},
	} {
		if l.asked != l.held {
			missing = append(missing, l.name)
		}
	}
	return missing
}

// recordWatched fills in what the launcher holds.
func recordWatched(e *spec.Enforced, held spec.Limits) {
	if held.Memory > 0 {
		e.Limits.Memory, e.Limits.MemoryBy = &held.Memory, limitWatched
	}
	if held.Disk > 0 {
		e.Limits.Disk, e.Limits.DiskBy = &held.Disk, limitWatched
	}
	e.Limits.CPUs, e.Limits.CPUTimeMS = held.CPUs, held.CPUTimeMS
}
