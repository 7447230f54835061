package report

import (
	"cmp"
	"fmt"
	"strings"
)

// Sizes of Markdown.
const (
	SummarySize = 1 << 20   // of a GitHub step's summary
	CommentSize = 60 * 1000 // of a comment: GitHub takes 65,536 characters
)

var signs = map[string]string{
	pass: ":white_check_mark:", warned: ":warning:", skipped: ":heavy_minus_sign:", fail: ":x:", hold: ":raised_hand:", errored: ":x:",
}

// Markdown is for a step's summary or a comment: verdicts, findings, numbers and digests in at most size
// bytes. Text from outside stands in code spans only.
func Markdown(d *Document, size int) []byte {
	gates := worstFirst(d)
	var b strings.Builder
	b.WriteString(opening(d))
	b.WriteString("| | Gate | Verdict | Level | Findings |\n| --- | --- | --- | --- | --- |\n")
	for _, g := range gates {
		verdict := cmp.Or(saying[standing(g)], standing(g))
		if !g.Required {
			verdict += " (advisory)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d |\n", signs[standing(g)], cell(g.Name), verdict, cell(levelOf(g)), fresh(g))
	}
	b.WriteString("\n")
	end := "\n" + closing(d)
	room := size - len(end) - 200 // for the line that counts the rest
	if b.Len() > room {           // more gates than fit: what is left says how it stands
		return fmt.Appendf(nil, "### %s Gates: %s\n\n%s; %s\n", signs[word(d.Verdict)], word(d.Verdict), tally(d), total(d))
	}
	left := 0
	for _, block := range sections(gates) {
		if b.Len()+len(block) > room {
			left++
			continue
		}
		b.WriteString(block)
	}
	if left > 0 {
		fmt.Fprintf(&b, "\n%s more are left out here.\n", counted(left, "line"))
	}
	return []byte(b.String() + end)
}

// opening is what comes before the table.
func opening(d *Document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s Gates: %s\n\n", signs[word(d.Verdict)], word(d.Verdict))
	if how := tally(d); how != "" {
		fmt.Fprintf(&b, "%s.\n\n", how)
	}
	fmt.Fprintf(&b, "Workspace %s, %s. Rules: %s.\n\n", span(d.Workspace, 100), subject(d, span), rules(d, span))
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "> **%s** %s\n>\n", severity(n.Level), span(n.Text, maxMessage))
	}
	if len(d.Notes) > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

// sections are the lines below the table, the worst first.
func sections(gates []Gate) []string {
	var out []string
	for _, g := range gates {
		if weight(g) == 4 {
			continue
		}
		out = append(out, explained(g)...)
		for _, f := range g.Findings {
			if f.Known {
				continue
			}
			where := ""
			if at := place(f); at != "" {
				where = " " + span(at, maxPath)
			}
			rule := ""
			if f.Rule != "" {
				rule = " (" + span(f.Rule, 100) + ")"
			}
			out = append(out, fmt.Sprintf("  - %s%s: %s%s\n", severity(f.Severity), where, span(f.Message, maxMessage), rule))
		}
	}
	return out
}

// explained says how a gate stands and why, each further line of the reason below it.
func explained(g Gate) []string {
	head := fmt.Sprintf("- **%s** %s", standing(g), span(g.Name, 64))
	why := linesOf(said(g))
	if len(why) == 0 || repeated(g, said(g)) {
		return []string{head + "\n"}
	}
	out := []string{head + ": " + span(why[0], maxReason) + "\n"}
	for _, l := range why[1:] {
		out = append(out, "  - "+span(l, maxReason)+"\n")
	}
	return out
}

func closing(d *Document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n<details><summary>Evidence</summary>\n\n", total(d))
	fmt.Fprintf(&b, "- base %s, head %s, tree %s\n", span(d.Subject.Base, 64), span(d.Subject.Head, 64), span(d.Subject.Tree, 64))
	fmt.Fprintf(&b, "- policy %s\n", span(d.Rules.Policy, 80))
	if d.Timing.Record != "" {
		fmt.Fprintf(&b, "- record %s\n", span(d.Timing.Record, 80))
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// cell is a name in a table, where a bar would begin the next cell.
func cell(s string) string { return span(strings.ReplaceAll(s, "|", "/"), 64) }
