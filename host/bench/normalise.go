package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// readers are the executors that make events of an agent's lines.
var readers = [...]string{"claude", "codex", "acp"}

// eventsPerSecond is what one processor has to make of an agent's lines.
const eventsPerSecond = 300_000

// measureNormalise runs the benchmark of each executor's reader, on one processor: the events that it makes
// of an agent's lines, and beside it a plain scan of the same lines that only looks whether they are JSON.
func measureNormalise(ctx context.Context, s *site) ([]figure, error) {
	var figures []figure
	for _, name := range readers {
		program, err := s.floorProgram("reader-" + name)
		if err != nil {
			return figures, err
		}
		events, lines, err := normalised(ctx, program, filepath.Join("plugins", "executor-"+name))
		if err != nil {
			return figures, fmt.Errorf("the reader of %s: %w", name, err)
		}
		figures = append(figures, judged("normalise-"+name, "events/s", events, lines, bar{oursAtLeast, eventsPerSecond}).
			also("one processor; floor: lines of the same stream, only checked to be JSON, a second"))
	}
	return figures, nil
}

// normalised runs one benchmark and reads its two rates.
func normalised(ctx context.Context, program, dir string) (events, lines float64, err error) {
	if program, err = filepath.Abs(program); err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, program, "-test.run=^$", "-test.bench=^BenchmarkNormalise$", "-test.cpu=1")
	cmd.Dir, cmd.Env, cmd.Stderr = dir, []string{"HOME=" + dir}, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("run the benchmark: %w", err)
	}
	return rates(out)
}

// rate is a line of a benchmark's output that ends with the metrics it reported.
var rate = regexp.MustCompile(`(?m)^BenchmarkNormalise/(events|scan)(?:-\d+)?\s.*?([0-9.e+]+) (?:events|lines)/s`)

func rates(out []byte) (events, lines float64, err error) {
	found := map[string]float64{}
	for _, m := range rate.FindAllSubmatch(out, -1) {
		v, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read %q: %w", m[0], err)
		}
		found[string(m[1])] = v
	}
	if found["events"] == 0 || found["scan"] == 0 {
		return 0, 0, errors.New("the benchmark printed no rates")
	}
	return found["events"], found["scan"], nil
}
