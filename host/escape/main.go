package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/escape/catalogue"
	"github.com/drawspan/drawspan/host/internal/sandbox"
)

func main() {
	if err := ownSession(); err != nil {
		fmt.Fprintln(os.Stderr, "escape:", err)
		os.Exit(1)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// sessionVariable says that this process has a session keyring of its own already.
const sessionVariable = "DRAWSPAN_ESCAPE_SESSION"

// ownSession starts the program anew with a keyring that the sandboxes would inherit. The kernel gives one to
// a thread, and only the thread that executes keeps it for all.
func ownSession() error {
	if os.Getenv(sessionVariable) != "" {
		return nil
	}
	runtime.LockOSThread()
	if _, err := unix.KeyctlJoinSessionKeyring(""); err != nil {
		return nil // without keyrings there is no key to find
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), sessionVariable+"=1"))
}

func run(args []string, out, said io.Writer) int {
	flags := flag.NewFlagSet("escape", flag.ContinueOnError)
	flags.SetOutput(said)
	level := flags.String("level", "strict", "the `level` to require: guarded, isolated or strict")
	backend := flags.String("backend", "auto", "the back-end: auto, native, bwrap or landlock")
	jsonFile := flags.String("json", "", "write the results to `file`, one line of JSON each")
	others := flags.Bool("peers", false, "run the list under other sandboxes instead, and compare")
	one := flags.String("peer", "", "run the list under the one of that `name` and print JSON lines")
	normal := flags.Bool("normal", false, "run ordinary work instead, which must not be refused")
	only := flags.String("only", "", "the `numbers` of some probes, with commas between them")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	g, err := newRig(*level, *backend)
	if err != nil {
		fmt.Fprintln(said, "escape:", err)
		return 1
	}
	code := 0
	switch {
	case *others:
		code, err = g.comparePeers(out, *jsonFile)
	case *one != "":
		code, err = g.onePeer(out, *one)
	case *normal:
		code, err = g.ordinaryWork(out, *jsonFile)
	default:
		code, err = g.escapes(out, *jsonFile, *only)
	}
	if err := errors.Join(err, g.close()); err != nil {
		fmt.Fprintln(said, "escape:", err)
		return 1
	}
	return code
}

func newRig(level, backend string) (*rig, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(self)
	g := &rig{level: level, backend: backend, boxes: make(map[string]*sandbox.Sandbox),
		programs: programs{launcher: dir + "/drawspan-sandbox", weakened: dir + "/weakened", probe: dir + "/probe"}}
	for _, p := range []string{g.programs.launcher, g.programs.weakened, g.programs.probe} {
		if _, err := os.Stat(p); err != nil {
			return nil, fmt.Errorf("run scripts/escape, which builds what is needed: %w", err)
		}
	}
	if g.world, err = newWorld(g.programs.probe); err != nil {
		return nil, err
	}
	return g, nil
}

// escapes runs the catalogue and its controls.
func (g *rig) escapes(out io.Writer, jsonFile, only string) (int, error) {
	var lines []line
	for _, p := range catalogue.All() {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.ID) {
			continue
		}
		l, err := g.try(&p, true)
		if err != nil {
			return 1, err
		}
		lines = append(lines, l)
	}
	if err := writeJSON(jsonFile, lines); err != nil {
		return 1, err
	}
	return printTable(out, g, lines)
}
