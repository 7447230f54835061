package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

func TestQuantilesInterpolateBetweenNeighbours(t *testing.T) {
	tests := []struct {
		name string
		of   sample
		q    float64
		want float64
	}{
		{"the median of an odd number", sample{3, 1, 2}, 0.5, 2},
		{"the median of an even number", sample{4, 1, 3, 2}, 0.5, 2.5},
		{"a single value at any place", sample{7}, 0.9, 7},
		{"the smallest", sample{5, 9, 1}, 0, 1},
		{"the largest", sample{5, 9, 1}, 1, 9},
		{"p10 of eleven", sample{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100}, 0.1, 10},
		{"p90 of two", sample{0, 10}, 0.9, 9},
		{"equal values", sample{4, 4, 4, 4}, 0.5, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.of.quantile(tt.q); math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("quantile %v of %v is %v, want %v", tt.q, tt.of, got, tt.want)
			}
		})
	}
}

func TestAQuantileLeavesTheSampleInItsOrder(t *testing.T) {
	s := sample{3, 1, 2}
	s.median()
	if !slices.Equal(s, sample{3, 1, 2}) {
		t.Errorf("the sample became %v", s)
	}
}

func TestAnEmptySampleHasNoMedian(t *testing.T) {
	if got := (sample{}).median(); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{
		0.1234: "0.123", 1.234: "1.23", 12.345: "12.3", 123.45: "123", 56789.4: "56789", 50: "50", 0: "0", math.NaN(): "-",
	} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}

func TestARaceTakesTurnsAndThrowsTheWarmUpAway(t *testing.T) {
	var order []string
	runner := func(name string) entrant {
		return entrant{name, func(_ context.Context, round int) (float64, error) {
			order = append(order, name)
			return float64(round), nil
		}}
	}
	got, err := race(t.Context(), rounds{warm: 1, kept: 2}, runner("a"), runner("b"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "b", "a", "a", "b"}; !slices.Equal(order, want) {
		t.Errorf("the order was %v, want %v", order, want)
	}
	for n, s := range got {
		if !slices.Equal(s, sample{1, 2}) {
			t.Errorf("entrant %d kept %v, want the rounds 1 and 2", n, s)
		}
	}
}

func TestARaceEndsWithTheFirstFailure(t *testing.T) {
	broken := errors.New("broken")
	_, err := race(t.Context(), rounds{kept: 3}, entrant{"a", func(context.Context, int) (float64, error) { return 0, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("the race ended with %v", err)
	}
}

func TestARaceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ran := 0
	_, err := race(ctx, rounds{kept: 1000}, entrant{"a", func(context.Context, int) (float64, error) {
		ran++
		cancel()
		return 0, nil
	}})
	if !errors.Is(err, context.Canceled) || ran != 1 {
		t.Errorf("%d rounds ran, and the error is %v", ran, err)
	}
}

func TestTimesAreInMilliseconds(t *testing.T) {
	if got := ms(1500 * time.Microsecond); got != 1.5 {
		t.Errorf("1500 µs are %v ms", got)
	}
}
