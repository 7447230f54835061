package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
)

// exit codes.
const (
	exitHeld  = 0
	exitMiss  = 1
	exitUsage = 2
)

// measurement is what a name on the command line stands for.
type measurement struct {
	name  string
	about string
	run   func(ctx context.Context, s *site) ([]figure, error)
}

// measurements lists them in the order in which they are made without names.
func measurements() []measurement {
	return []measurement{
		{"event", "a durable event with tree nodes and state against append and fdatasync of its bytes", measureEvent},
		{"store-writers", "events a second of 64 writers against those of one", measureWriters},
		{"launch", "a sandbox around /bin/true against bubblewrap and against plain fork and exec", measureLaunch},
		{"plugin-start", "a verified and sandboxed plugin's first answer against a raw gRPC child's", measurePluginStart},
		{"cancel", "kill and proof of 300 sandboxed processes against a process group's kill and wait", measureCancel},
		{"inside", "open, git status, go test and npm test inside against the same outside", measureInside},
		{"shadow", "the git directory of an attempt against git worktree add", measureShadow},
		{"idle", "memory of PID 1 of an idle sandbox against bubblewrap's processes", measureIdle},
		{"adapter", "an executor's attempt over a pinned program against a bare spawn of that program", measureAdapter},
		{"gateway", "the first byte of a model's answer through the gateway against the same asked directly", measureGateway},
		{"normalise", "events made of an agent's lines in a second, beside a plain scan of the lines", measureNormalise},
		{"gate-resident", "a check by a resident validator against one with a start and an end", measureResident},
		{"gate-ci", "gates without a daemon over this project's own last commit: what they add to commands of Go", measureGateOwn},
		{"gate-run", "gates without a daemon: what they add to a command, and ten of them against the ideal schedule", measureGateRun},
		{"gate-cached", "gates whose results are at hand against the same without", measureGateCache},
		{"daemon", "start to the first answer on an empty state, and memory when idle", measureDaemon},
		{"step", "dispatch to settled through a daemon against the sum of its floors", measureStep},
		{"parallel", "50 steps dispatched at once over 10 runs: how many are right", measureParallel},
	}
}

// groups are names for several measurements.
func groups() map[string][]string {
	return map[string][]string{
		"sandbox":  {"launch", "plugin-start", "cancel", "inside", "shadow", "idle"},
		"executor": {"adapter", "gateway", "normalise"},
		"gate":     {"gate-resident", "gate-ci", "gate-run", "gate-cached"},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is a whole invocation.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	all := measurements()
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(errOut)
	file := set.String("json", "", "also write the figures to `FILE`, one JSON object in a line")
	profiles := set.String("profile", "", "also write a CPU profile of each measurement into `DIR`")
	set.Usage = func() { usage(set, all) }
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitHeld
	case err != nil:
		return exitUsage
	}
	chosen, err := choose(all, set.Args())
	if err != nil {
		fmt.Fprintln(errOut, err)
		return exitUsage
	}
	if *profiles != "" {
		for i := range chosen {
			chosen[i] = profiled(chosen[i], *profiles)
		}
	}
	figures, err := measure(ctx, chosen, out, errOut)
	if err == nil && *file != "" {
		err = save(*file, figures)
	}
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return exitMiss
	}
	return verdict(figures)
}

// verdict is the exit code: what could not be measured is not missed.
func verdict(figures []figure) int {
	if slices.ContainsFunc(figures, func(f figure) bool { return f.OK != nil && !*f.OK }) {
		return exitMiss
	}
	return exitHeld
}

func usage(set *flag.FlagSet, all []measurement) {
	out := set.Output()
	fmt.Fprintln(out, "usage: bench [--json FILE] [NAME...]\nWithout names, all of them:")
	for _, m := range all {
		fmt.Fprintf(out, "  %-14s %s\n", m.name, m.about)
	}
	for name, parts := range groups() {
		fmt.Fprintf(out, "  %-14s all of: %s\n", name, strings.Join(parts, " "))
	}
	set.PrintDefaults()
}

// choose finds the named measurements, in the order of the names.
func choose(all []measurement, names []string) ([]measurement, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []measurement
	for _, name := range spelledOut(names) {
		i := slices.IndexFunc(all, func(m measurement) bool { return m.name == name })
		if i < 0 {
			var known []string
			for _, m := range all {
				known = append(known, m.name)
			}
			known = append(known, slices.Sorted(maps.Keys(groups()))...)
			return nil, fmt.Errorf("there is no figure %q; there are: %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// spelledOut puts what a group is made of in its place.
func spelledOut(names []string) []string {
	var out []string
	for _, name := range names {
		if group, ok := groups()[name]; ok {
			out = append(out, group...)
		} else {
			out = append(out, name)
		}
	}
	return out
}

// measure makes the measurements one after the other and prints each as it comes.
func measure(ctx context.Context, chosen []measurement, out, errOut io.Writer) (figures []figure, err error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	fmt.Fprintln(out, s.describe())
	heading(out)
	for _, m := range chosen {
		fmt.Fprintf(errOut, "drawspan: measuring %s\n", m.name)
		made, err := m.run(ctx, s)
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
		if err != nil {
			made = append(made, unmeasured(m.name, err))
		}
		for _, f := range made {
			f.print(out)
		}
		figures = append(figures, made...)
	}
	return figures, nil
}

// profiled is a measurement that leaves a CPU profile of this program in DIR/NAME.pprof: where the time
// of a figure that is too large goes, as far as it is spent here.
func profiled(m measurement, dir string) measurement {
	return measurement{m.name, m.about, func(ctx context.Context, s *site) (figures []figure, err error) {
		f, err := os.Create(filepath.Join(dir, m.name+".pprof"))
		if err != nil {
			return nil, fmt.Errorf("write profile: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, fmt.Errorf("write profile: %w", err)
		}
		defer pprof.StopCPUProfile()
		return m.run(ctx, s)
	}}
}

func save(path string, figures []figure) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if err := errors.Join(writeJSON(f, figures), f.Close()); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}
