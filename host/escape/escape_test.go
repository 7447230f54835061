package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/escape/catalogue"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// built is where TestMain put the programs.
var built programs

func TestMain(m *testing.M) {
	if err := ownSession(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "escape-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir+"/",
		"./probe", "./weakened", "../cmd/drawspan-sandbox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	built = programs{launcher: dir + "/drawspan-sandbox", weakened: dir + "/weakened", probe: dir + "/probe"}
	return m.Run()
}

// newTestRig skips where this machine can have no sandbox.
func newTestRig(t *testing.T, level string) *rig {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Skip("root: the daemon never runs as root, and root's files and user are its own to change")
	}
	w, err := newWorld(built.probe)
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{world: w, programs: built, level: level, backend: "auto", boxes: make(map[string]*sandbox.Sandbox)}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	first := catalogue.All()[0]
	_, err = g.confined(&first, nil)
	var f *fault.Fault
	if errors.As(err, &f) && f.Code == fault.SandboxUnavailable {
		t.Skip(f.Error() + "; " + f.Hint)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// The catalogue at the strongest level. Every probe is tried; a probe that gets through, or cannot be tried,
// fails.
func TestS30_S73_S78_NoWayOutIsOpen(t *testing.T) {
	g := newTestRig(t, "strict")
	for _, p := range catalogue.All() {
		if testing.Short() && p.Layer == catalogue.Limits {
			continue
		}
		r, err := g.confined(&p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !r.refused() {
			t.Errorf("%s %s: %s", p.ID, p.Title, r.detail())
		}
	}
}

// One probe of each kind of layer gets through where the layer is left out, so a refusal is the layer's.
func TestProbesGetThroughWithoutTheirLayers(t *testing.T) {
	g := newTestRig(t, "strict")
	for _, id := range []string{"1", "9", "14", "17c", "20c", "26", "29g", "33c", "35", "36", "38", "40", "43", "44c", "44k", "44l", "44n", "45d", "47", "48b", "51b", "53b", "56c", "57i", "59", "61", "62", "63b"} {
		i := slices.IndexFunc(catalogue.All(), func(p catalogue.Probe) bool { return p.ID == id })
		if i < 0 {
			t.Errorf("there is no probe %s", id)
			continue
		}
		p := catalogue.All()[i]
		r, err := g.confined(&p, p.Walls)
		if err != nil {
			t.Fatal(err)
		}
		if !r.open() {
			t.Errorf("%s %s is refused without %v: %s", p.ID, p.Title, p.Walls, r.detail())
		}
	}
}

// Without the gateway's rules the service sees what must not come, so that it would be seen with them, too.
func TestAServiceSeesWhatACarelessGatewayLetsThrough(t *testing.T) {
	g := newTestRig(t, "strict")
	all := catalogue.All()
	for id, want := range map[string]string{
		"44i": "the gateway let through POST /v1/files", "44j": ", the header X-Original-Url: /v1/files",
	} {
		p := all[slices.IndexFunc(all, func(p catalogue.Probe) bool { return p.ID == id })]
		r, err := g.confined(&p, p.Walls)
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(r.changes, "; "); !strings.Contains(text, want) {
			t.Errorf("%s: the service saw %q", id, text)
		}
	}
}

func TestTheCatalogueIsWellFormed(t *testing.T) {
	seen := make(map[string]bool)
	numbers := make(map[string]bool)
	for _, p := range catalogue.All() {
		if seen[p.ID] {
			t.Errorf("two probes are %s", p.ID)
		}
		seen[p.ID] = true
		numbers[strings.TrimRight(p.ID, "abcdefghijklmnopqrstuvwxyz")] = true
		if p.Title == "" || p.Layer == "" || !slices.Contains([]string{"guarded", "isolated", "strict"}, p.Level) {
			t.Errorf("%s is not complete: %+v", p.ID, p)
		}
	}
	for _, n := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "22",
		"24", "25", "26", "28", "29", "31", "33", "35", "36", "37", "38", "39", "40", "42", "43", "44", "45", "46", "47", "48", "49", "50", "51", "53", "54", "55", "56", "57", "58", "59", "60", "61",
		"62", "63", "66", "67", "70"} {
		if !numbers[n] {
			t.Errorf("nobody tries number %s", n)
		}
	}
}

// What leaves layers out must not be in a program that is shipped: the linker leaves it out of the launcher,
// and nobody else names it.
func TestNothingShippedCanLeaveLayersOut(t *testing.T) {
	program := filepath.Join(t.TempDir(), "launcher")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "../cmd/drawspan-sandbox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	symbols, err := exec.Command("go", "tool", "nm", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(symbols), "launcher.run") || strings.Contains(string(symbols), "launcher.RunWithout") {
		t.Error("the launcher holds RunWithout, or no symbols")
	}
	err = filepath.WalkDir("..", func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasPrefix(name, "../escape/") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, call := range []string{"sandbox.Weaken(", "launcher.RunWithout("} {
			if strings.Contains(string(text), call) {
				t.Errorf("%s calls %s", name, call)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
