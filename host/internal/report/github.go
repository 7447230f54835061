package report

import (
	"cmp"
	"fmt"
	"strings"
)

// maxAnnotations is how many annotations of one kind GitHub shows of a step.
const maxAnnotations = 10

// GitHub is workflow commands that annotate a change, the worst first, ten of a kind, and a line that
// counts the rest.
func GitHub(d *Document) []byte {
	var lists [3][]string // errors, warnings, notices
	rest := 0
	add := func(level int, p properties, message string) {
		if len(lists[level]) == maxAnnotations {
			rest++
			return
		}
		lists[level] = append(lists[level], p.command(level, message))
	}
	for _, n := range d.Notes {
		add(rank[severity(n.Level)], properties{file: n.Path, title: "gate run"}, n.Text)
	}
	for _, g := range worstFirst(d) {
		if w := weight(g); w <= 2 {
			level := 1
			if w < 2 {
				level = 0
			}
			add(level, properties{title: fmt.Sprintf("gate %s: %s", g.Name, g.Verdict)}, strings.TrimSpace(cmp.Or(said(g), word(g.Verdict))+" "+leveled(g)))
		}
	}
	for _, p := range allNew(d) {
		add(rank[effective(p)], properties{file: p.Path, line: p.Line, end: p.EndLine, title: title(p)}, p.Message)
	}
	var b strings.Builder
	for _, list := range lists {
		for _, c := range list {
			b.WriteString(c + "\n")
		}
	}
	if rest > 0 {
		fmt.Fprintf(&b, "... and %s more: see the step's summary, or the report as SARIF or JSON\n", counted(rest, "annotation"))
	}
	return []byte(b.String())
}

func title(p placed) string {
	if p.Rule == "" {
		return "gate " + p.gate.Name
	}
	return "gate " + p.gate.Name + ": " + p.Rule
}

// properties of one annotation.
type properties struct {
	file, title string
	line, end   int
}

var commands = [3]string{"error", "warning", "notice"}

var (
	messageEscapes  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	propertyEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func (p properties) command(level int, message string) string {
	var list []string
	put := func(name, value string, most int) {
		if value != "" {
			list = append(list, name+"="+propertyEscapes.Replace(spoken(value, most)))
		}
	}
	put("file", p.file, maxPath)
	if p.file != "" && p.line > 0 {
		list = append(list, fmt.Sprintf("line=%d", p.line))
		if p.end > p.line {
			list = append(list, fmt.Sprintf("endLine=%d", p.end))
		}
	}
	put("title", p.title, 200)
	return fmt.Sprintf("::%s %s::%s", commands[level], strings.Join(list, ","), messageEscapes.Replace(spoken(message, maxMessage)))
}

// Outputs are lines for GITHUB_OUTPUT: words and numbers of this program only.
func Outputs(d *Document) []byte {
	errors, warnings, notes, known := Count(d)
	return fmt.Appendf(nil, "verdict=%s\nerrors=%d\nwarnings=%d\nnotes=%d\nknown=%d\nedits_its_judge=%t\n",
		word(d.Verdict), errors, warnings, notes, known, len(d.Rules.Edited) > 0)
}
