// Command driver plays two parts for the end-to-end scripts, by the name under which it is installed:
// drawspan-executor-driver is an executor's plugin that drives a program of the machine, and under any
// other name it is that program, which does what its standard input says: as lines, or, called with "acp", as
// messages of the Agent Client Protocol. It is never shipped.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/plugin"
	"github.com/drawspan/drawspan/sdk/tool"
)

var manifest = sdk.Manifest{
	Name: "driver", Version: "0.1.0", Summary: "drives a program of the machine, for tests",
	Config: []sdk.Attribute{{Name: "profile", Type: sdk.TypeString, Doc: "which program"}},
	Programs: []sdk.Program{
		{Name: "otheragent", Profile: "other"},
		{Name: "fakeagent", Tested: ">=1.0.0 <2.0.0", Install: "npm install -g fakeagent"},
	},
}

func main() {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "drawspan-") {
		plugin.Serve(manifest, driver{})
		return
	}
	os.Exit(perform())
}

type driver struct{}

// Run asks first where the step's text begins with "ask", and then runs the program over the text.
func (driver) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	if a.Program == nil {
		return sdk.Result{}, agent.ErrNoProgram(manifest.Programs[1])
	}
	if strings.HasPrefix(a.Instruction, "ask") {
		if _, err := a.Host.Ask(ctx, sdk.Question{ID: "q1", Text: "May it begin?"}); err != nil {
			return sdk.Result{}, err
		}
	}
	ran, err := tool.Run(ctx, tool.Command{
		Argv: agent.Argv(*a.Program), Dir: a.Tree, Env: os.Environ(), Stdin: strings.NewReader(a.Instruction),
		Output: func(stream string, p []byte) error { return a.Host.Emit(ctx, sdk.Log(stream, bytes.Clone(p))) },
	})
	if err != nil {
		return sdk.Result{}, err
	}
	version, err := agent.ProgramVersion(ctx, *a.Program, os.Environ(), "--version")
	return sdk.Result{StopReason: "end_turn", ExitCode: &ran.ExitCode, Version: version, Failed: ran.ExitCode != 0}, err
}

// Probe says what the program says of itself, and whether it has a key.
func (driver) Probe(ctx context.Context, r sdk.ProbeRequest) (sdk.Probe, error) {
	if r.Program == nil {
		return sdk.Probe{Login: "unknown", Notes: []string{"there is no program to look at"}}, nil
	}
	version, err := agent.ProgramVersion(ctx, *r.Program, os.Environ(), "--version")
	if err != nil {
		return sdk.Probe{}, err
	}
	out := sdk.Probe{Version: version, Tested: agent.InRange(version, manifest.Programs[1].Tested), Login: "ready"}
	if os.Getenv("FAKE_KEY") == "" && r.Gateway == nil {
		out.Login, out.Notes = "missing", []string{`it has no key: add credential "fake" { from_env = "FAKE_KEY" } to the sandbox`}
	}
	return out, nil
}

// perform is the program. As the interpreter of a script it has the script's place for its first argument.
func perform() int {
	self, args := "/proc/self/exe", os.Args[1:]
	if len(args) > 0 && filepath.IsAbs(args[0]) {
		self, args = args[0], args[1:]
	}
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println("fake agent", versionOf(self))
		return 0
	}
	if len(args) == 1 && args[0] == "acp" {
		return converse()
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		name, text, _ := strings.Cut(rest, " ")
		switch word {
		case "write":
			if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
				fmt.Println(err)
				return 1
			}
		case "look":
			_, err := os.Stat(name)
			fmt.Println("look", name, err)
		case "path":
			fmt.Println("PATH", os.Getenv("PATH"))
		}
	}
	return 0
}

// versionOf is the last line of a program or script: "# version 1.2.3".
func versionOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // it was only read
	tail := make([]byte, 64)
	if _, err := f.Seek(-int64(len(tail)), io.SeekEnd); err != nil {
		_, err = f.Seek(0, io.SeekStart)
		if err != nil {
			return err.Error()
		}
	}
	n, _ := io.ReadFull(f, tail) // shorter than asked for at a short file
	_, version, _ := strings.Cut(string(tail[:n]), "# version ")
	return strings.TrimSpace(version)
}
