package real

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// tableVar names the file that the compatibility table is written to.
const tableVar = "DRAWSPAN_TABLE"

// observations are what the tests saw, by agent and by what was tried. A test that failed has none.
var observations = struct {
	sync.Mutex
	seen map[string]map[string]string
}{seen: map[string]map[string]string{}}

// observe notes what was seen of an agent, unless the test failed.
func observe(t *testing.T, p program, what, seen string, took time.Duration) {
	t.Helper()
	observations.Lock()
	defer observations.Unlock()
	row := observations.seen[p.name]
	if row == nil {
		row = map[string]string{"version": p.version(t)}
		observations.seen[p.name] = row
	}
	if t.Failed() {
		row[what] = "failed"
		return
	}
	if took > 0 {
		seen += fmt.Sprintf(", %.1f s", took.Seconds())
	}
	row[what] = seen
}

func observeUsage(t *testing.T, p program, got report) {
	t.Helper()
	u := got.Result.Usage
	if u == nil {
		observe(t, p, "usage", "none", 0)
		return
	}
	calls := 0
	for _, q := range got.Requests {
		if q.Step >= 0 {
			calls++
		}
	}
	// The script says 100 input and 10 output tokens for each call.
	seen := "other"
	switch {
	case u.Input == int64(100*calls) && u.Output == int64(10*calls):
		seen = "all calls"
	case u.Input == 100 && u.Output == 10:
		seen = "last call"
	}
	observe(t, p, "usage", fmt.Sprintf("%s (%s)", seen, u.Basis), 0)
}

func count(n int) string { return strconv.Itoa(n) }

// columns are the table's, with what the observation is called.
func columns() [][2]string {
	return [][2]string{
		{"Edit", "edit"}, {"Sandboxed edit, gateway", "daemon"}, {"Cancelled and dead", "killed"}, {"Cancel told by the agent", "cancel"},
		{"Denied write", "denied"}, {"Usage told", "usage"}, {"Left after an edit", "left"}, {"Left after a cancel", "left after cancel"},
		{"Look-ups", "lookups"}, {"Follow-up", "follow-up"}, {"Files of the repository", "hostile files"}, {"Endless loop", "loop"},
		{"401", "401"}, {"429", "429"}, {"500", "500"}, {"Cut stream", "cut"},
	}
}

const tableHead = `# Agents that are tried

This page is generated: ` + "`scripts/agents table`" + ` installs the agents in the versions of scripts/agents.d, drives
every one with its plugin against a scripted model server on loopback, and writes down what it saw. Nothing is
copied from a vendor's documentation.

Most is tried in namespaces of the test's own: no network but loopback, a name server that writes down what is
asked, and nothing to write to but the worktree, a private home and a private temporary directory. There "edit"
is a written file, a command, a read and a changed file, with exactly that difference in the tree, and the time
of it; "left" counts processes that the agent itself leaves alive at its end. The columns with the sandbox, the
dead and the endless loop are tried over the daemon: configuration, sandbox at level strict, model gateway.

"Cancelled and dead" counts attempts that were cancelled while a tool ran with attached and detached children
and that ended as cancelled, with the death of all of them proved, and gives the longest time from the cancel to the proof, and what of it came after the kill.
"Cancel told by the agent" is the longest time from the cancel to the agent's own word on it. "Usage told"
compares what the agent claims with what the server had scripted. "Files of the repository" are hooks, MCP
servers, plugins and extensions that a repository brings: not run, or refused before the start. The columns of
errors give the class that a failed attempt was told with, or how it ended. A cell that says failed is a defect;
an empty one was not tried. Times hold for the machine and its load at that moment. Where a run tries a part,
the other cells keep what the last run of that version saw.

`

// writeTable writes the page, where somebody asks for it.
func writeTable() error {
	name := os.Getenv(tableVar)
	if name == "" || os.Getenv(roomVar) != "" {
		return nil
	}
	before := earlier()
	var b strings.Builder
	b.WriteString(tableHead + "| Agent | Version | Plugin |")
	rule := "|---|---|---|"
	for _, c := range columns() {
		b.WriteString(" " + c[0] + " |")
		rule += "---|"
	}
	b.WriteString("\n" + rule + "\n")
	for _, p := range matrix() {
		row, old := observations.seen[p.name], before[p.name]
		if row == nil && old == nil {
			continue
		}
		if row == nil || old["version"] == row["version"] {
			maps.Copy(old, row)
			row = old
		}
		plugin := "`" + p.plugin + "`"
		if p.profile != "" {
			plugin += ", profile `" + p.profile + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", p.name, row["version"], plugin)
		for _, c := range columns() {
			b.WriteString(" " + row[c[1]] + " |")
		}
		b.WriteString("\n")
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}

// earlier reads the page that the repository has, so that a run of a part keeps the rest.
func earlier() map[string]map[string]string {
	rows := map[string]map[string]string{}
	text, err := os.ReadFile(filepath.Join("..", "..", "host", "docs", "agents.md"))
	_, table, found := strings.Cut(string(text), "\n|---|")
	if err != nil || !found {
		return rows
	}
	for _, line := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(line, "|")
		if len(cells) != len(columns())+5 {
			continue
		}
		row := map[string]string{"version": strings.TrimSpace(cells[2])}
		for i, c := range columns() {
			row[c[1]] = strings.TrimSpace(cells[i+4])
		}
		rows[strings.TrimSpace(cells[1])] = row
	}
	return rows
}
