package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/sdk"
)

// measureResident times a check of a validator that sees no tree, by a process that is there already, against the
// same with a start before and an end after it.
func measureResident(ctx context.Context, s *site) (figures []figure, err error) {
	box, err := s.sandbox()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	l, err := s.loader(box)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close(context.WithoutCancel(ctx))) }()
	policy := confined()
	policy.Level = "isolated"
	launch := loader.Launch{Kind: "validator", Name: "diff", Config: json.RawMessage(`{"max_files":100}`), Policy: policy, AttemptID: "bench"}
	if err := startedOnce(ctx, l, launch); err != nil { // hashes and seals the program
		return nil, err
	}
	resident, err := l.Start(ctx, launch)
	if err != nil {
		return nil, err
	}
	defer func() { _, stopErr := resident.Stop(context.WithoutCancel(ctx), 0); err = errors.Join(err, stopErr) }()
	check := patched(50)
	got, err := race(ctx, rounds{warm: 5, kept: 80},
		entrant{"resident", func(ctx context.Context, _ int) (float64, error) { return checked(ctx, resident, check) }},
		entrant{"cold", func(ctx context.Context, _ int) (float64, error) {
			return timed(func() error {
				i, err := l.Start(ctx, launch)
				if err != nil {
					return err
				}
				_, err = checked(ctx, i, check)
				_, stopErr := i.Stop(ctx, 0)
				return errors.Join(err, stopErr)
			})
		}},
	)
	if err != nil {
		return nil, err
	}
	return []figure{compared("gate-resident", "ms", got[0], got[1], bar{ratioAtMost, 0.10}).
		also("validator-diff over a patch of %d files and %d KB, isolated; floor: a start, the same check, and an end", len(check.Changes), len(check.Patch)>>10)}, nil
}

// checked times one check that has to pass.
func checked(ctx context.Context, i *loader.Instance, c sdk.Check) (float64, error) {
	return timed(func() error {
		v, err := i.Check(ctx, c, func(string, []byte) error { return nil })
		if err == nil && v.Outcome != sdk.Pass {
			err = fmt.Errorf("the check says %s: %s", v.Outcome, v.Message)
		}
		return err
	})
}

// patched is a check of a change that adds files of about a kilobyte.
func patched(count int) sdk.Check {
	c := sdk.Check{AttemptID: "bench", Gate: "bench", Base: strings.Repeat("1", 40), Head: strings.Repeat("2", 40), TreeSum: strings.Repeat("3", 40)}
	const lines = 20
	var patch bytes.Buffer
	for n := range count {
		name := fmt.Sprintf("d/f%03d.txt", n)
		fmt.Fprintf(&patch, "diff --git a/%s b/%s\nnew file mode 100644\nindex 0000000..1111111\n--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n", name, name, name, lines)
		for line := range lines {
			fmt.Fprintf(&patch, "+line %d of a file that was not there before %d\n", line, n)
		}
		c.Changes = append(c.Changes, sdk.Change{Path: name, Op: "add", OldMode: "000000", NewMode: "100644", Size: 1000, Added: lines})
	}
	c.Patch = patch.Bytes()
	return c
}

// reviewed is a repository with a change on top of its main branch, and gates that judge it without a daemon.
type reviewed struct {
	repo *repository
	home *household
}

// newReviewed makes one with a change of the given files.
func (s *site) newReviewed(gates string, change map[string]string) (*reviewed, error) {
	repo, err := s.newRepository("reviewed")
	if err != nil {
		return nil, err
	}
	for name, content := range change {
		path := filepath.Join(repo.root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			return nil, fmt.Errorf("make a change: %w", err)
		}
	}
	for _, args := range [][]string{{"checkout", "-q", "-b", "change"}, {"add", "-A"}, {"commit", "-q", "-m", "change"}} {
		if _, err := repo.git("", args...); err != nil {
			return nil, err
		}
	}
	h, err := s.newHousehold("", fmt.Sprintf("sandbox \"box\" {\n}\n\nexecutor \"none\" {\n  plugin  = \"manual\"\n  sandbox = \"box\"\n}\n\n"+
		"workspace \"bench\" {\n  root      = %q\n  base      = \"main\"\n  executors = [\"none\"]\n%s}\n", repo.root, gates))
	if err != nil {
		return nil, err
	}
	return &reviewed{repo, h}, h.lockPlugins()
}

// commandGate is a gate over one program.
func commandGate(name string, argv ...string) string {
	quoted := make([]string, len(argv))
	for i, a := range argv {
		quoted[i] = strconv.Quote(a)
	}
	return fmt.Sprintf("  gate %q {\n    validator = \"command\"\n    sandbox   = \"box\"\n    config {\n      run = [%s]\n    }\n  }\n", name, strings.Join(quoted, ", "))
}

// outcome is what a run of the gates said of itself.
type outcome struct {
	Verdict string
	Timing  struct {
		Gates []struct {
			Name   string
			Millis float64 `json:"duration_ms"`
			Reused bool
		}
	}
}

// run judges the change once.
func (r *reviewed) run(args ...string) (took float64, said outcome, err error) {
	cmd := r.home.command(append([]string{"gate", "run", "--base", "main", "--head", "change", "--workspace", "bench", "--json"}, args...)...)
	cmd.Dir = r.repo.root
	var out []byte
	took, err = timed(func() (err error) { out, err = cmd.Output(); return err })
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s%s", err, exit.Stderr, out)
		}
		return 0, outcome{}, fmt.Errorf("gate run: %w", err)
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return 0, outcome{}, fmt.Errorf("read what gate run says: %w", err)
	}
	if said.Verdict != "pass" {
		return 0, outcome{}, fmt.Errorf("gate run says %s", said.Verdict)
	}
	return took, said, nil
}

const (
	napping = 100 // milliseconds that a gate takes
	nappers = 10
)

// small is a change that no gate minds.
func small() map[string]string {
	return map[string]string{"d00/new.txt": "new\n", "d01/new.txt": "new\n"}
}

// measureGateRun times the gates without a daemon: what they add to a command's own time, and how ten commands
// that do not wait for each other share the processors.
func measureGateRun(ctx context.Context, s *site) ([]figure, error) {
	nap := []string{"sleep", fmt.Sprintf("%g", napping/1000.0)}
	one, err := s.newReviewed(commandGate("nap", nap...), small())
	if err != nil {
		return nil, err
	}
	var ten strings.Builder
	for n := range nappers {
		ten.WriteString(commandGate(fmt.Sprintf("nap%d", n), nap...))
	}
	all, err := s.newReviewed(ten.String(), small())
	if err != nil {
		return nil, err
	}
	got, err := race(ctx, rounds{warm: 2, kept: 15},
		entrant{"one gate", func(context.Context, int) (float64, error) { took, _, err := one.run(); return took, err }},
		entrant{"the command", func(context.Context, int) (float64, error) { return spawned(nap...) }},
		entrant{"ten gates", func(context.Context, int) (float64, error) { took, _, err := all.run(); return took, err }},
	)
	if err != nil {
		return nil, err
	}
	// What one gate takes beside its own command is paid once, whatever the number of gates.
	wide := min(runtime.NumCPU(), nappers)
	ideal := float64((nappers+wide-1)/wide) * napping
	var shared sample
	for i, took := range got[2] {
		shared = append(shared, took-(got[0][i]-got[1][i]))
	}
	return []figure{
		compared("gate-ci", "ms", got[0], got[1], bar{addsAtMost, 300}).
			also("gate run over %d files with one command gate that sleeps for %d ms, strict; floor: the bare command", files, napping),
		against("gate-parallel", shared, ideal).
			also("%d independent command gates of %d ms on %d processors, without what a run with one gate adds to its command; floor: the ideal schedule; the whole run %s ms",
				nappers, napping, wide, number(got[2].median())),
	}, nil
}

// against makes a figure of a sample and a floor that is reckoned.
func against(name string, took sample, ideal float64) figure {
	f := judged(name, "ms", took.median(), ideal, bar{ratioAtMost, 1.3})
	f.Note = fmt.Sprintf("p50 of %d; p10-p90 %s", len(took), took.spread())
	return f
}

// headed is a change of files that all say their licence, which takes a classifier a while.
func headed(count int) map[string]string {
	change := map[string]string{}
	for n := range count {
		change[fmt.Sprintf("new/f%03d.go", n)] = "// Copyright 2026 The authors\n// Use of this source code is governed by a BSD-style\n" +
			"// license that can be found in the LICENSE file.\n\npackage new\n" + strings.Repeat(fmt.Sprintf("// line of file %d\n", n), 100)
	}
	return change
}

// measureGateCache times a second run over the same change with the first one's results at hand, against the first.
func measureGateCache(ctx context.Context, s *site) ([]figure, error) {
	var gates strings.Builder
	for n := range 4 {
		fmt.Fprintf(&gates, "  gate \"license%d\" {\n    validator = \"license\"\n    sandbox   = \"box\"\n    config {\n      ignore = [\"none%d\"]\n    }\n  }\n", n, n)
	}
	r, err := s.newReviewed(gates.String(), headed(100))
	if err != nil {
		return nil, err
	}
	cache := ""
	got, err := race(ctx, rounds{warm: 0, kept: 5},
		entrant{"first", func(context.Context, int) (float64, error) {
			if cache, err = s.dir("cache"); err != nil {
				return 0, err
			}
			took, _, err := r.run("--cache", cache)
			return took, err
		}},
	)
	if err != nil {
		return nil, err
	}
	var again sample
	for range got[0] {
		took, said, err := r.run("--cache", cache)
		if err != nil {
			return nil, err
		}
		for _, g := range said.Timing.Gates {
			if !g.Reused {
				return nil, fmt.Errorf("gate %s was evaluated again", g.Name)
			}
		}
		again = append(again, took)
	}
	return []figure{compared("gate-cached", "ms", again, got[0], bar{ratioAtMost, 0.1}).
		also("gate run of 4 license gates over a change of 100 files, with the results of an earlier run at hand; floor: the same with none")}, nil
}
