package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHelpListsEveryName(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, &out, &errOut); code != exitHeld {
		t.Errorf("the exit code is %d", code)
	}
	for _, m := range measurements() {
		if !strings.Contains(errOut.String(), m.name) {
			t.Errorf("%s is not in the help", m.name)
		}
	}
}

func TestTheScriptNamesWhatThereIs(t *testing.T) {
	raw, err := os.ReadFile("../../scripts/bench")
	if err != nil {
		t.Fatal(err)
	}
	want := "# Names:"
	for _, m := range measurements() {
		want += " " + m.name
	}
	for _, name := range slices.Sorted(maps.Keys(groups())) {
		want += "\n#   and " + name + ", which is " + strings.Join(groups()[name], " ")
	}
	if !strings.Contains(string(raw), want+"\n") {
		t.Errorf("scripts/bench does not say %q", want)
	}
}

func TestAnUnknownNameIsRefusedBeforeAnythingIsMeasured(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"event", "speed"}, &out, &errOut); code != exitUsage {
		t.Errorf("the exit code is %d", code)
	}
	if !strings.Contains(errOut.String(), `"speed"`) || out.Len() > 0 {
		t.Errorf("it said %q and printed %q", errOut.String(), out.String())
	}
}

func TestAGroupStandsForItsParts(t *testing.T) {
	chosen, err := choose(measurements(), []string{"event", "sandbox"})
	if err != nil || len(chosen) != 1+len(groups()["sandbox"]) || chosen[1].name != "launch" {
		t.Errorf("chosen %v: %v", chosen, err)
	}
}

func TestNamesAreMeasuredInTheOrderGiven(t *testing.T) {
	chosen, err := choose(measurements(), []string{"step", "event"})
	if err != nil {
		t.Fatal(err)
	}
	if chosen[0].name != "step" || chosen[1].name != "event" || len(chosen) != 2 {
		t.Errorf("chosen %v", chosen)
	}
	all, err := choose(measurements(), nil)
	if err != nil || len(all) != len(measurements()) {
		t.Errorf("without names %d are chosen: %v", len(all), err)
	}
}

func TestEveryBarThatIsMissedMakesTheExitCodeOne(t *testing.T) {
	t.Setenv("DRAWSPAN_PREFIX", t.TempDir())
	held := judged("a", "ms", 1, 1, bar{ratioAtMost, 2})
	missed := judged("b", "ms", 3, 1, bar{ratioAtMost, 2})
	open := unmeasured("c", notHere("why"))
	for _, tt := range []struct {
		name    string
		figures []figure
		want    int
	}{
		{"all held", []figure{held, held}, exitHeld},
		{"one missed", []figure{held, missed, held}, exitMiss},
		{"one not measurable", []figure{held, open}, exitHeld},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := verdict(tt.figures); got != tt.want {
				t.Errorf("the exit code is %d, want %d", got, tt.want)
			}
		})
	}
}

func TestFiguresAreSavedAndTheScratchIsRemoved(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("DRAWSPAN_PREFIX", t.TempDir())
	var out, errOut bytes.Buffer
	var scratch string
	figures, err := measure(t.Context(), []measurement{{name: "a", run: func(_ context.Context, s *site) ([]figure, error) {
		scratch = s.scratch
		return []figure{judged("a", "ms", 1, 1, bar{ratioAtMost, 2})}, notHere("half of it")
	}}}, &out, &errOut)
	if err != nil {
		t.Fatal(err)
	}
	if len(figures) != 2 || figures[1].OK != nil {
		t.Errorf("the figures are %+v", figures)
	}
	if _, err := os.Stat(scratch); scratch == "" || !os.IsNotExist(err) {
		t.Errorf("the scratch directory %q is left: %v", scratch, err)
	}
	file := filepath.Join(tmp, "json")
	if err := save(file, figures); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil || bytes.Count(raw, []byte("\n")) != 2 {
		t.Errorf("saved %q: %v", raw, err)
	}
}

func TestTheRepositoryIsTheSameCommitEveryTime(t *testing.T) {
	s := &site{scratch: t.TempDir()}
	one, err := s.newRepository("one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.newRepository("two")
	if err != nil {
		t.Fatal(err)
	}
	if one.commit != two.commit || len(one.commit) != 40 {
		t.Errorf("the commits are %s and %s", one.commit, two.commit)
	}
	listed, err := one.git("", "ls-files")
	if err != nil || strings.Count(listed, "\n")+1 != files {
		t.Errorf("%d files are tracked: %v", strings.Count(listed, "\n")+1, err)
	}
	tree := filepath.Join(s.scratch, "tree")
	if err := one.addWorktree(tree); err != nil {
		t.Fatal(err)
	}
	if err := one.capture(tree); err == nil {
		t.Error("a capture without a change is none")
	}
	if err := os.WriteFile(filepath.Join(tree, "bench.txt"), []byte("x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := one.capture(tree); err != nil {
		t.Error(err)
	}
}

func TestBubblewrapSeesTheTreeAndTheSystem(t *testing.T) {
	argv, err := bubblewrap("/some/tree", "/bin/true")
	if err != nil {
		t.Skip(err)
	}
	if !slices.Contains(argv, "/some/tree") || argv[len(argv)-1] != "/bin/true" || !slices.Contains(argv, "--unshare-all") {
		t.Errorf("the command is %q", argv)
	}
}
