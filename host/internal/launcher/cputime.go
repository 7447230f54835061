package launcher

// cpuTime adds up the processor time of processes that come and go, in ticks. The time of a dead process
// is in the one that waited for it; where a parent lets the kernel reap, it would vanish, and what was
// seen of the process is kept.
type cpuTime struct {
	lost    int64 // of processes that nobody waited for
	pending int64 // of those that vanished since the reading before: perhaps a parent was read too early
	credit  int64 // taken over from processes that had still been read as alive
}

// ticksPerSecond is what /proc counts in, on every architecture.
const ticksPerSecond = 100

// add returns the ticks of the payload so far. Both lists are in the order of process numbers; reaped is
// what this process has waited for, and was at the reading before.
func (c *cpuTime) add(before, now []member, reapedBefore, reaped int64) int64 {
	total, gone, taken := reaped, int64(0), reaped-reapedBefore
	i := 0
	for j := range now {
		p := &now[j]
		total += p.own + p.waited
		taken += p.waited
		for ; i < len(before) && before[i].pid < p.pid; i++ {
			gone += before[i].own + before[i].waited
		}
		if i == len(before) || before[i].pid != p.pid {
			continue
		}
		if before[i].began == p.began {
			taken -= before[i].waited
		} else { // another process under the same number
			gone += before[i].own + before[i].waited
		}
		i++
	}
	for ; i < len(before); i++ {
		gone += before[i].own + before[i].waited
	}
	return total + c.settle(gone, taken)
}

// settle compares what vanished with what was taken over, and returns what is in no process.
func (c *cpuTime) settle(gone, taken int64) int64 {
	missing := gone - taken - c.credit
	surplus := max(-missing, 0)
	c.lost += max(c.pending-surplus, 0)
	c.credit = max(min(surplus, taken-gone)-c.pending, 0)
	c.pending = max(missing, 0)
	return c.lost + c.pending
}
