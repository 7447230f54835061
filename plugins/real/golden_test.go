package real

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

var update = flag.Bool("update", false, "write the golden files anew from what is seen")

// normal is the stream in the form that golden files have: the project's own events, their types and the fields
// that do not change from run to run.
func normal(events []sdk.Event, dir string) []string {
	var list, files []string
	ids := map[string]int{}
	for _, e := range events {
		var d map[string]any
		if passing(e.Type) || len(e.Data) > 0 && json.Unmarshal(e.Data, &d) != nil {
			continue
		}
		line := string(e.Type)
		if e.ItemID != "" && strings.HasPrefix(line, "tool.") {
			if ids[e.ItemID] == 0 {
				ids[e.ItemID] = len(ids) + 1
			}
			line += fmt.Sprintf(" #%d", ids[e.ItemID])
		}
		for _, key := range fields(e.Type) {
			if v, ok := d[key]; ok {
				text, err := json.Marshal(v)
				if err != nil {
					panic(err) // it was JSON
				}
				line += " " + key + "=" + strings.ReplaceAll(string(text), dir, "DIR")
			}
		}
		if e.Type == sdk.EventUsage { // how often an agent counts is its own affair: the last is the sum
			list = slices.DeleteFunc(list, func(l string) bool { return strings.HasPrefix(l, "usage") })
		}
		if e.Type == sdk.EventFileChanged { // it may be told before or after the end of its tool
			files = append(files, line)
			continue
		}
		list = append(list, line)
	}
	return append(list, files...)
}

// passing are the types whose number depends on how an agent's output was cut.
func passing(kind sdk.EventType) bool {
	return strings.HasSuffix(string(kind), ".delta") || slices.Contains([]sdk.EventType{sdk.EventLog, sdk.EventToolProgress, sdk.EventRaw, sdk.EventModeChanged}, kind)
}

// fields are those that a script decides.
func fields(kind sdk.EventType) []string {
	switch kind {
	case sdk.EventSessionStarted:
		return []string{"version"}
	case sdk.EventSessionEnded:
		return []string{"stop_reason"}
	case sdk.EventTurnEnded:
		return []string{"status"}
	case sdk.EventMessage:
		return []string{"role", "channel", "text"}
	case sdk.EventToolStarted:
		return []string{"kind", "paths"}
	case sdk.EventToolEnded:
		return []string{"status", "exit_code"}
	case sdk.EventFileChanged:
		return []string{"path", "op", "basis"}
	case sdk.EventUsage:
		return []string{"input", "cached_read", "output", "scope", "basis"}
	case sdk.EventError:
		return []string{"scope", "class"}
	}
	return nil
}

// golden compares the stream with the committed one of the agent and its version.
func golden(t *testing.T, p program, what string, got report, dir string) {
	t.Helper()
	lines := strings.Join(normal(got.Events, dir), "\n") + "\n"
	name := filepath.Join("testdata", "golden", p.name+"-"+p.version(t)+"-"+what+".txt")
	if *update {
		write(t, name, lines)
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; go test -run %s -update writes it", err, t.Name())
	}
	if lines != string(want) {
		t.Errorf("the normal events are\n%s\nwant (%s)\n%s", lines, name, want)
	}
}

// of is the events of a type, decoded.
func of[T any](t *testing.T, events []sdk.Event, kind sdk.EventType) []T {
	t.Helper()
	var list []T
	for _, e := range events {
		if e.Type != kind {
			continue
		}
		var v T
		if err := json.Unmarshal(e.Data, &v); err != nil {
			t.Errorf("%s: %v", e.Type, err)
		}
		list = append(list, v)
	}
	return list
}

// output is what the agent wrote, for a failure's message.
func output(events []sdk.Event) string {
	var b strings.Builder
	for _, e := range events {
		b.Write(e.Log)
	}
	text := b.String()
	return text[max(0, len(text)-4000):]
}

// kinds lists the types that came, without output.
func kinds(events []sdk.Event) []string {
	var list []string
	for _, e := range events {
		if e.Type != sdk.EventLog && !slices.Contains(list, string(e.Type)) {
			list = append(list, string(e.Type))
		}
	}
	return list
}
