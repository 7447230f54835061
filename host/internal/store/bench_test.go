package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/work"
)

// BenchmarkDurableEvent measures one attempt's move (event, body, tree nodes, state) beside its floor, an
// append of the same bytes with fdatasync, interleaved. The ratio of the medians is the figure.
func BenchmarkDurableEvent(b *testing.B) {
	s := newStore(b)
	floor, err := os.OpenFile(filepath.Join(s.dir, "floor"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer floor.Close()
	a := walk(b, s, started(b, s), work.AttemptPreparing, work.AttemptRunning)
	states := [2]work.AttemptState{work.AttemptWaiting, work.AttemptRunning}
	bytes := []byte(strings.Repeat("x", 500))
	ctx := context.Background()
	var ours, theirs []time.Duration
	var cpu time.Duration
	for i := 0; b.Loop(); i++ {
		t0 := time.Now()
		if _, err := floor.Write(bytes); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(floor.Fd())); err != nil {
			b.Fatal(err)
		}
		cpu -= cpuTime(b)
		t1 := time.Now()
		_, err := s.Apply(ctx, work.MoveAttempt{ID: a.ID, Version: a.Version, To: states[i%2], Actor: daemon, Reason: strings.Repeat("r", 120)})
		if err != nil {
			b.Fatal(err)
		}
		cpu += cpuTime(b)
		a.Version++
		theirs, ours = append(theirs, t1.Sub(t0)), append(ours, time.Since(t1))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	mid := len(ours) / 2
	b.ReportMetric(float64(ours[mid].Microseconds()), "ours-us")
	b.ReportMetric(float64(theirs[mid].Microseconds()), "floor-us")
	b.ReportMetric(float64(ours[mid])/float64(theirs[mid]), "ratio")
	b.ReportMetric(float64(cpu.Microseconds())/float64(len(ours)), "cpu-us")
	b.ReportMetric(float64(ours[len(ours)*99/100].Microseconds()), "p99-us")
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGroupCommit measures how many calls share a transaction's cost, by the number of callers.
func BenchmarkGroupCommit(b *testing.B) {
	for _, callers := range []int{1, 4, 16, 64} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			s := newStore(b)
			var wg sync.WaitGroup
			turns := make(chan struct{})
			for range callers {
				wg.Go(func() {
					for range turns {
						if _, err := s.Apply(context.Background(), work.Fact{Kind: "some.fact", Body: strings.Repeat("x", 200)}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				turns <- struct{}{}
			}
			close(turns)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
