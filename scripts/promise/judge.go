package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// The states of a promise.
const (
	held       = "held"            // every test that carries its number ran here and passed
	failed     = "failed"          // one of them did not
	open       = "open"            // there is none
	unprovable = "unprovable-here" // none failed, and one was skipped
	listed     = "listed"          // only found, not run
)

// line is one row of the table. Its JSON keys are read by others.
type line struct {
	ID        string `json:"id"`
	Statement string `json:"statement"`
	Test      string `json:"test"`
	State     string `json:"state"`
	note      string // of an open one the issue that owes it, otherwise what went wrong or is missing
}

// judge decides every promise from what its tests did.
func judge(all []promise, found []proof, outcomes map[string]outcome, onlyListed bool) []line {
	var lines []line
	for _, p := range all {
		l := line{ID: p.ID, Statement: p.Statement, State: open, note: p.Owner}
		var tests []string
		for _, f := range found {
			if slices.Contains(f.ids, p.ID) && !playedElsewhere(f, found, outcomes) {
				tests = append(tests, f.name())
			}
		}
		if len(tests) > 0 {
			l.Test = strings.Join(tests, " ")
			l.State, l.note = listed, ""
			if !onlyListed {
				l.State, l.note = weigh(tests, outcomes)
			}
		}
		lines = append(lines, l)
	}
	return lines
}

// weigh is the state of a promise that has tests: the worst of what they did.
func weigh(tests []string, outcomes map[string]outcome) (state, note string) {
	state = held
	for _, t := range tests {
		o, ran := outcomes[t]
		switch {
		case !ran:
			return failed, t + " did not run"
		case o.action == "skip":
			state, note = unprovable, o.reason
		case o.action != "pass":
			return failed, t
		}
	}
	return state, note
}

// playedElsewhere reports a script that this test does not play, but another test of its package did.
func playedElsewhere(f proof, found []proof, outcomes map[string]outcome) bool {
	if f.script == "" {
		return false
	}
	if _, ran := outcomes[f.name()]; ran {
		return false
	}
	return slices.ContainsFunc(found, func(o proof) bool {
		_, ran := outcomes[o.name()]
		return ran && o.script == f.script && o.module == f.module && o.dir == f.dir
	})
}

// report prints the table, and the JSON lines where they are wanted.
func report(o options, lines []line, stdout io.Writer) error {
	if o.json != "-" {
		table(lines, stdout)
	}
	if o.json == "" {
		return nil
	}
	to := stdout
	if o.json != "-" {
		f, err := os.Create(o.json)
		if err != nil {
			return err
		}
		defer f.Close()
		to = f
	}
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

func table(lines []line, w io.Writer) {
	count := map[string]int{}
	for _, l := range lines {
		count[l.State]++
		if l.State == open {
			fmt.Fprintf(w, "%-4s %-16s %s [%s]\n", l.ID, l.State, l.Statement, l.note)
			continue
		}
		fmt.Fprintf(w, "%-4s %-16s %s\n", l.ID, l.State, l.Statement)
		for _, t := range strings.Fields(l.Test) {
			fmt.Fprintf(w, "     %-16s %s\n", "", t)
		}
		if l.note != "" {
			fmt.Fprintf(w, "     %-16s (%s)\n", "", l.note)
		}
	}
	fmt.Fprintf(w, "%d promises:", len(lines))
	for i, s := range []string{held, failed, unprovable, listed, open} {
		if count[s] > 0 || i == 0 && count[listed] == 0 {
			fmt.Fprintf(w, " %d %s", count[s], s)
		}
	}
	fmt.Fprintln(w)
}
