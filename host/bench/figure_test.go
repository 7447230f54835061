package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestABarIsHeldFromItsOwnSide(t *testing.T) {
	tests := []struct {
		name        string
		ours, floor float64
		bar         bar
		want        bool
	}{
		{"a ratio below", 17, 10, bar{ratioAtMost, 1.8}, true},
		{"a ratio on the bar", 18, 10, bar{ratioAtMost, 1.8}, true},
		{"a ratio above", 18.1, 10, bar{ratioAtMost, 1.8}, false},
		{"a ratio that must be reached, above", 90, 10, bar{ratioAtLeast, 8}, true},
		{"a ratio that must be reached, below", 79, 10, bar{ratioAtLeast, 8}, false},
		{"an absolute bar, whatever the ratio", 99, 1, bar{oursAtMost, 100}, true},
		{"an absolute bar, above", 101, 100, bar{oursAtMost, 100}, false},
		{"what is added, within", 40, 10, bar{addsAtMost, 30}, true},
		{"what is added, above", 41, 10, bar{addsAtMost, 30}, false},
		{"an absolute bar that must be reached, above", 300, 9000, bar{oursAtLeast, 300}, true},
		{"an absolute bar that must be reached, below", 299, 1, bar{oursAtLeast, 300}, false},
		{"an absolute bar without a floor", 30, math.NaN(), bar{oursAtMost, 40}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := judged("f", "ms", tt.ours, tt.floor, tt.bar)
			if f.OK == nil || *f.OK != tt.want {
				t.Errorf("ok is %v, want %v", f.OK, tt.want)
			}
		})
	}
}

func TestTheRatesOfAReaderAreThoseThatItsBenchmarkPrints(t *testing.T) {
	out := "goos: linux\nBenchmarkNormalise/events  \t  500\t 1234 ns/op\t 412345 events/s\nBenchmarkNormalise/scan-1\t1\t2 ns/op\t1.5e+06 lines/s\nPASS\n"
	events, lines, err := rates([]byte(out))
	if err != nil || events != 412345 || lines != 1.5e6 {
		t.Errorf("%v events, %v lines, %v", events, lines, err)
	}
	for _, bad := range []string{"", "PASS\n", "BenchmarkNormalise/events 1 2 ns/op 3 events/s\n"} {
		if _, _, err := rates([]byte(bad)); err == nil {
			t.Errorf("%q has rates", bad)
		}
	}
}

func TestTheRatioIsThatOfTheMedians(t *testing.T) {
	f := compared("f", "ms", sample{1, 30, 100}, sample{10, 10, 1000}, bar{ratioAtMost, 2})
	if *f.Ours != 30 || *f.Floor != 10 || *f.Ratio != 3 || *f.OK {
		t.Errorf("ours %v, floor %v, ratio %v, ok %v", *f.Ours, *f.Floor, *f.Ratio, *f.OK)
	}
}

func TestWithoutNumbersNothingIsHeld(t *testing.T) {
	for name, f := range map[string]figure{
		"no samples":       compared("f", "ms", nil, nil, bar{ratioAtMost, 2}),
		"no floor":         judged("f", "ms", 1, math.NaN(), bar{ratioAtMost, 2}),
		"a floor of zero":  judged("f", "ms", 1, 0, bar{ratioAtMost, 2}),
		"cannot be given":  unmeasured("f", fmt.Errorf("look: %w", notHere("no bubblewrap"))),
		"no absolute ours": judged("f", "ms", math.Inf(1), 1, bar{oursAtMost, 2}),
	} {
		if f.OK != nil || f.Ratio != nil {
			t.Errorf("%s: ok %v, ratio %v; want neither", name, f.OK, f.Ratio)
		}
	}
}

func TestAMeasurementThatWentWrongIsNotHeld(t *testing.T) {
	f := unmeasured("f", errors.New("the daemon died"))
	if f.OK == nil || *f.OK || !strings.Contains(f.Note, "the daemon died") {
		t.Errorf("ok %v, note %q", f.OK, f.Note)
	}
}

func TestALineOfJSONHasExactlyTheKeys(t *testing.T) {
	full := judged("event", "ms", 2, 1, bar{ratioAtMost, 1.8})
	tests := []struct {
		name string
		of   figure
		want map[string]any
	}{
		{"measured", full, map[string]any{
			"name": "event", "ours": 2.0, "floor": 1.0, "unit": "ms", "ratio": 2.0, "bar": 1.8, "ok": false}},
		{"noted", full.also("p50 of %d", 7), map[string]any{
			"name": "event", "ours": 2.0, "floor": 1.0, "unit": "ms", "ratio": 2.0, "bar": 1.8, "ok": false, "note": "p50 of 7"}},
		{"not measurable", unmeasured("launch", notHere("a < b")), map[string]any{
			"name": "launch", "ours": nil, "floor": nil, "unit": "", "ratio": nil, "bar": 0.0, "ok": nil,
			"note": "not measurable here: a < b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := writeJSON(&out, []figure{tt.of}); err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestEveryFigureIsALineOfItsOwn(t *testing.T) {
	var out bytes.Buffer
	if err := writeJSON(&out, []figure{{Name: "a"}, {Name: "b"}}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(out.String()) {
		var f figure
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("the lines are %v", names)
	}
}

func TestTheTableSaysWhatIsNotMeasurable(t *testing.T) {
	var out bytes.Buffer
	unmeasured("launch", notHere("bubblewrap is not installed")).print(&out)
	if got := out.String(); !strings.Contains(got, "not measurable here: bubblewrap is not installed") || strings.Contains(got, "yes") {
		t.Errorf("the row is %q", got)
	}
}

func TestTheTableShowsTheBarWithItsSide(t *testing.T) {
	tests := []struct {
		bar  bar
		want string
	}{
		{bar{ratioAtMost, 1.8}, "<= 1.80x"},
		{bar{ratioAtLeast, 8}, ">= 8x"},
		{bar{oursAtMost, 100}, "<= 100"},
		{bar{addsAtMost, 30}, "<= +30"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		judged("f", "ms", 1, 1, tt.bar).print(&out)
		if !strings.Contains(out.String(), tt.want) {
			t.Errorf("the row %q does not show %q", out.String(), tt.want)
		}
	}
}

func TestNotesAreBrokenBetweenWords(t *testing.T) {
	got := wrap("one two three four", 9)
	if want := []string{"one two", "three", "four"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
