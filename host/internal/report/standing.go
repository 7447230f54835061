package report

import (
	"fmt"
	"slices"
	"strings"
)

// word is a verdict, or nothing that could be anything else.
func word(s string) string {
	switch s {
	case pass, fail, hold:
		return s
	}
	return errored
}

// standing is how a gate stands, in one word: its verdict, and of a pass what it is worth.
func standing(g Gate) string {
	switch {
	case g.Verdict == pass && (g.Result == "" || g.Result == skipped):
		return skipped
	case g.Verdict == pass && g.Result == warned:
		return warned
	}
	return word(g.Verdict)
}

// saying is what a reason begins with that says no more than the word beside it.
var saying = map[string]string{pass: pass, warned: warned, fail: fail, skipped: "does not apply"}

// said is why a gate stands so, without the word that stands beside it; "" where there is no more to say.
func said(g Gate) string {
	rest, ok := strings.CutPrefix(g.Reason, saying[standing(g)])
	switch {
	case !ok || saying[standing(g)] == "":
		return g.Reason
	case rest == "":
		return ""
	}
	if rest, ok = strings.CutPrefix(rest, ": "); ok {
		return rest
	}
	return g.Reason
}

// sentence is how a gate stands and why.
func sentence(g Gate) string {
	s := "gate " + g.Name + ": " + word(g.Verdict)
	if why := said(g); why != "" {
		s += ": " + why
	}
	return s
}

// leveled is the level in brackets, "" where no program ran.
func leveled(g Gate) string {
	if level := levelOf(g); level != noLevel {
		return "[" + level + "]"
	}
	return ""
}

// repeated reports whether a text says no more than the findings that are listed with it.
func repeated(g Gate, why string) bool {
	i := slices.IndexFunc(g.Findings, func(f Finding) bool { return !f.Known })
	return i >= 0 && g.Findings[i].Message != "" && strings.Contains(why, g.Findings[i].Message)
}

// tally counts gates by how they stand.
func tally(d *Document) string {
	counts := map[string]int{}
	for _, g := range d.Gates {
		s := standing(g)
		if s == fail && !g.Required {
			s = "advisory"
		}
		counts[s]++
	}
	var parts []string
	for _, p := range []struct{ standing, one, many string }{
		{fail, "failed", "failed"}, {hold, "waits for a person", "wait for a person"}, {errored, "is not decided", "are not decided"},
		{"advisory", "advisory failed", "advisory failed"}, {warned, "passed with a warning", "passed with a warning"},
		{pass, "passed", "passed"}, {skipped, "does not apply", "do not apply"},
	} {
		switch n := counts[p.standing]; n {
		case 0:
		case 1:
			parts = append(parts, "1 "+p.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, p.many))
		}
	}
	return strings.Join(parts, ", ")
}

// noLevel stands for the level where no program ran.
const noLevel = "-"

// levelOf says what a gate's program ran in: "strict", "strict without limits.memory" or "guarded instead of
// strict", which says of the limits in its note.
func levelOf(g Gate) string {
	l := g.Sandbox
	if l == nil || l.Enforced == "" {
		return noLevel
	}
	s := l.Enforced
	switch {
	case l.Enforced != l.Required:
		s += " instead of " + l.Required
	case len(l.Missing) > 0:
		s += " without " + strings.Join(l.Missing, ", ")
	}
	return spoken(s, 200)
}
