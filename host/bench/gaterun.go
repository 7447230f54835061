package main

import (
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
)

// reviewed is a repository with a change on top of its main branch, and gates that judge it without a daemon.
type reviewed struct {
	repo       *repository
	home       *household
	base, head string
	env        []string // beside the household's own
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
	return s.newJudged(&reviewed{repo: repo, base: "main", head: "change"}, "", gates)
}

// newJudged writes the configuration that judges a repository: the inside of its sandbox block, and its gates.
func (s *site) newJudged(r *reviewed, box, gates string) (*reviewed, error) {
	var err error
	r.home, err = s.newHousehold("", fmt.Sprintf("sandbox \"box\" {\n%s}\n\nexecutor \"none\" {\n  plugin  = \"manual\"\n  sandbox = \"box\"\n}\n\n"+
		"workspace \"bench\" {\n  root      = %q\n  base      = \"HEAD\"\n  executors = [\"none\"]\n%s}\n", box, r.repo.root, gates))
	if err != nil {
		return nil, err
	}
	return r, r.home.lockPlugins()
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
	cmd := r.home.command(append([]string{"gate", "run", "--base", r.base, "--head", r.head, "--workspace", "bench", "--json"}, args...)...)
	cmd.Dir, cmd.Env = r.repo.root, append(cmd.Env, r.env...)
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

// measureGateOwn times gates over the last commit of this project's own repository, as a CI system clones it,
// with commands of Go, against the time that those commands themselves took.
func measureGateOwn(ctx context.Context, s *site) ([]figure, error) {
	commands := [][]string{ // without the place of the tree in what is compiled, so that it is found again
		{"go", "vet", "-trimpath", "./host/fault", "./host/internal/work"},
		{"go", "test", "-trimpath", "-count=1", "./host/fault", "./host/internal/ident"},
	}
	root, err := s.dir("own")
	if err != nil {
		return nil, err
	}
	if said, err := exec.Command("git", "clone", "-q", "--no-local", ".", root).CombinedOutput(); err != nil {
		return nil, notHere("this is not run in a clone of the project: %s", said)
	}
	one := &repository{root: root, env: os.Environ()}
	if _, err := one.git("", "rev-parse", "--verify", "HEAD~1"); err != nil {
		return nil, notHere("the clone has no commit before the last")
	}
	var gates strings.Builder
	for n, argv := range commands {
		build := exec.Command(argv[0], argv[1:]...) // fills the cache, as CI systems keep it
		build.Dir = root
		if said, err := build.CombinedOutput(); err != nil {
			return nil, notHere("%v outside: %v: %s", argv, err, said)
		}
		gate := commandGate(fmt.Sprintf("go%d", n), argv...)
		if n > 0 { // one after the other, so that what they took can be added up
			gate = strings.Replace(gate, "    config", fmt.Sprintf("    needs     = [\"go%d\"]\n    config", n-1), 1)
		}
		gates.WriteString(gate)
	}
	r := &reviewed{repo: one, base: "HEAD~1", head: "HEAD"}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		place, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return nil, notHere("Go is not installed: %v", err)
		}
		r.env = append(r.env, name+"="+strings.TrimSpace(string(place)))
	}
	if r, err = s.newJudged(r, "  toolchain \"go\" {}\n", gates.String()); err != nil {
		return nil, err
	}
	var own sample
	got, err := race(ctx, rounds{warm: 1, kept: 5}, entrant{"gate run", func(context.Context, int) (float64, error) {
		took, said, err := r.run()
		inside := 0.0
		for _, g := range said.Timing.Gates {
			inside += g.Millis
		}
		own = append(own, inside)
		return took, err
	}})
	if err != nil {
		return nil, err
	}
	tracked, err := one.git("", "ls-files")
	return []figure{compared("gate-ci", "ms", got[0], own[1:], bar{addsAtMost, 300}).
		also("gate run over the last commit of a clone of this project with %d files, strict, %d gates that run go vet and go test one after the other; floor: what the commands themselves took",
			strings.Count(tracked, "\n")+1, len(commands))}, err
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
		compared("gate-run", "ms", got[0], got[1], bar{addsAtMost, 300}).
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
