package report

import (
	"fmt"
	"strings"
)

// maxListed is how many findings of one gate a text lists.
const maxListed = 20

// Text is for people and logs. No line begins with text from outside.
func Text(d *Document) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "gate run: %s", word(d.Verdict))
	if d.Reason != "" {
		fmt.Fprintf(&b, ": %s", spoken(d.Reason, maxReason))
	}
	b.WriteString("\n")
	fmt.Fprintf(&b, "  workspace %s, %s\n", spoken(d.Workspace, maxPath), subject(d, spoken))
	fmt.Fprintf(&b, "  rules     %s\n", rules(d, spoken))
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "! %s\n", spoken(n.Text, maxMessage))
	}
	width := 4
	for _, g := range d.Gates {
		width = max(width, min(len(g.Name), 32))
	}
	for _, g := range worstFirst(d) {
		b.WriteString(gateText(g, width))
	}
	fmt.Fprintf(&b, "%s\n", total(d))
	if d.Timing.Record != "" {
		fmt.Fprintf(&b, "record: %s\n", spoken(d.Timing.Record, maxPath))
	}
	return []byte(b.String())
}

func gateText(g Gate, width int) string {
	var b strings.Builder
	advisory := ""
	if !g.Required {
		advisory = " (advisory)"
	}
	fmt.Fprintf(&b, "%-4s %-*s  %s  [%s]%s\n", strings.ToUpper(word(g.Verdict)), width, spoken(g.Name, 64), spoken(gateLine(g), maxReason), levelOf(g), advisory)
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

func total(d *Document) string {
	errors, warnings, notes, known := Count(d)
	s := fmt.Sprintf("%s, %s, %s, %s", counted(len(d.Gates), "gate"), counted(errors, "error"), counted(warnings, "warning"), counted(notes, "note"))
	if d.Baseline != nil {
		s += fmt.Sprintf(", %d of the baseline", known)
	}
	return s
}
