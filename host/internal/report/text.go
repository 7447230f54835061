package report

import (
	"fmt"
	"strings"
)

// maxListed is how many findings of one gate a text lists.
const maxListed = 20

// Text is for people and logs. No line begins with text from outside. paint colours the word that a gate stands
// with; nil leaves it as it is.
func Text(d *Document, paint func(word, shown string) string) []byte {
	if paint == nil {
		paint = func(_, shown string) string { return shown }
	}
	var b strings.Builder
	fmt.Fprintf(&b, "gate run: %s", paint(word(d.Verdict), word(d.Verdict)))
	if how := tally(d); how != "" {
		fmt.Fprintf(&b, ": %s", how)
	}
	fmt.Fprintf(&b, "\n  workspace %s, %s\n", spoken(d.Workspace, maxPath), subject(d, spoken))
	fmt.Fprintf(&b, "  rules     %s\n", rules(d, spoken))
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "! %s\n", spoken(n.Text, maxMessage))
	}
	width := 4
	for _, g := range d.Gates {
		width = max(width, min(len(g.Name), 32))
	}
	for _, g := range worstFirst(d) {
		label := standing(g)
		b.WriteString(paint(label, fmt.Sprintf("%-4s", strings.ToUpper(label))) + gateText(g, width))
	}
	fmt.Fprintf(&b, "%s\n", total(d))
	if command := next(d); command != "" {
		fmt.Fprintf(&b, "next: %s\n", command)
	}
	if d.Timing.Record != "" {
		fmt.Fprintf(&b, "record: %s\n", spoken(d.Timing.Record, maxPath))
	}
	return []byte(b.String())
}

// next is what whoever reads this does about it; "" where there is nothing to do.
func next(d *Document) string {
	worst := worstFirst(d)
	if d.Verdict == pass || len(worst) == 0 {
		return ""
	}
	if d.Verdict == hold {
		return "have somebody who may decide look at the change; in CI nobody is asked"
	}
	return fmt.Sprintf("one gate alone, with the flags of this run: drawspan gate run --base %s --head %s --only %s",
		short(d.Subject.Asked), short(d.Subject.Head), spoken(worst[0].Name, 64))
}

// gateText is a gate behind its word: why it stands so, and what it found.
func gateText(g Gate, width int) string {
	why := linesOf(said(g))
	if repeated(g, said(g)) {
		why = []string{counted(fresh(g), "finding")}
	}
	parts := []string{fmt.Sprintf(" %-*s", width, spoken(g.Name, 64))}
	if len(why) > 0 {
		parts = append(parts, spoken(why[0], maxReason))
	}
	if level := leveled(g); level != "" {
		parts = append(parts, level)
	}
	if !g.Required {
		parts = append(parts, "(advisory)")
	}
	var b strings.Builder
	b.WriteString(strings.TrimRight(strings.Join(parts, "  "), " ") + "\n")
	for _, more := range why[min(1, len(why)):] {
		fmt.Fprintf(&b, "     | %s\n", spoken(more, maxReason))
	}
	listed := 0
	for _, f := range g.Findings {
		if f.Known {
			continue
		}
		if listed++; listed <= maxListed {
			fmt.Fprintf(&b, "     %s\n", found(f))
		}
	}
	if listed > maxListed {
		fmt.Fprintf(&b, "     ... and %s more\n", counted(listed-maxListed, "finding"))
	}
	return b.String()
}

func found(f Finding) string {
	s := severity(f.Severity)
	if at := place(f); at != "" {
		s += " " + spoken(at, maxPath)
	}
	s += ": " + spoken(f.Message, maxMessage)
	if f.Rule != "" {
		s += " [" + spoken(f.Rule, 100) + "]"
	}
	return s
}

func subject(d *Document, show func(string, int) string) string {
	s := d.Subject
	return fmt.Sprintf("%s (%s) .. %s (%s): %s changed, +%d -%d", show(s.BaseRef, maxPath), short(s.Base), show(s.HeadRef, maxPath), short(s.Head),
		counted(s.Files, "file"), s.Insertions, s.Deletions)
}

func rules(d *Document, show func(string, int) string) string {
	names := make([]string, 0, len(d.Rules.Files))
	for _, f := range d.Rules.Files {
		names = append(names, show(f.Path, maxPath))
	}
	from := "the runner's own"
	if d.Rules.From == FromBase {
		from = "those of " + short(d.Rules.Commit)
	}
	if len(names) > 8 {
		names = append(names[:8], fmt.Sprintf("%d more", len(names)-8))
	}
	s := from + ": " + strings.Join(names, ", ")
	if d.Rules.Floor != "" {
		s += "; floor " + d.Rules.Floor
	}
	return s
}

// total counts what was found.
func total(d *Document) string {
	errors, warnings, notes, known := Count(d)
	s := fmt.Sprintf("findings: %s, %s, %s", counted(errors, "error"), counted(warnings, "warning"), counted(notes, "note"))
	if d.Baseline != nil {
		s += fmt.Sprintf(", %d of the baseline", known)
	}
	return s
}
