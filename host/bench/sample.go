package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

// sample is what was measured, in any order.
type sample []float64

// quantile is the value below which the share q of the sample lies, interpolated between neighbours.
// It is not a number for an empty sample.
func (s sample) quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func (s sample) median() float64 { return s.quantile(0.5) }

// spread is the middle of the sample: "8.1-12.3".
func (s sample) spread() string {
	return number(s.quantile(0.1)) + "-" + number(s.quantile(0.9))
}

// number writes a figure with three significant digits, and whole numbers whole.
func number(v float64) string {
	switch size := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case size >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	case size >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// ms is a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// timed is how long f takes, in milliseconds.
func timed(f func() error) (float64, error) {
	began := time.Now()
	err := f()
	return ms(time.Since(began)), err
}

// entrant is one side of a comparison. Its run does the work once and says what it took; what it has to
// prepare and clear away is not in that.
type entrant struct {
	name string
	run  func(ctx context.Context, round int) (float64, error)
}

// rounds is how often a comparison is repeated. The warm-up is thrown away.
type rounds struct{ warm, kept int }

// race lets the entrants take turns, each round beginning with another one.
func race(ctx context.Context, r rounds, entrants ...entrant) ([]sample, error) {
	samples := make([]sample, len(entrants))
	runtime.GC() // what was measured before is not paid for here
	for round := range r.warm + r.kept {
		for i := range entrants {
			n := (i + round) % len(entrants)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			v, err := entrants[n].run(ctx, round)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", entrants[n].name, round, err)
			}
			if round >= r.warm {
				samples[n] = append(samples[n], v)
			}
		}
	}
	return samples, nil
}
