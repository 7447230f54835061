package report

import "fmt"

// maxIssues is how many issues a code quality report holds: what a merge request still shows.
const maxIssues = 5000

// issue is one entry of GitLab's code quality report.
type issue struct {
	Description string   `json:"description"`
	Check       string   `json:"check_name"`
	Fingerprint string   `json:"fingerprint"`
	Severity    string   `json:"severity"`
	Location    location `json:"location"`
}

type location struct {
	Path  string `json:"path"`
	Lines struct {
		Begin int `json:"begin"`
	} `json:"lines"`
}

func at(path string, line int) location {
	l := location{Path: path}
	l.Lines.Begin = max(1, line)
	return l
}

// GitLab is a code quality report: new findings, the worst first. Gates that did not pass and found nothing
// in a file are issues of the file that declares them.
func GitLab(d *Document) ([]byte, error) {
	issues := append(noteIssues(d), verdictIssues(d)...)
	all := allNew(d)
	taken := min(len(all), max(0, maxIssues-1-len(issues)))
	for _, p := range all[:taken] {
		issues = append(issues, issue{line(p.Message, maxMessage), line(p.gate.Name+"/"+p.Rule, 200), line(p.gate.Name+":"+p.Fingerprint, 200),
			map[string]string{errored: "major", warning: "minor", noted: "info"}[effective(p)], at(pathOr(d, p.Path), p.Line)})
	}
	if rest := len(all) - taken; rest > 0 {
		issues = append(issues, issue{counted(rest, "finding") + " more are left out", "drawspan/rest", "drawspan-rest", "info", at(rulesFile(d), 0)})
	}
	return encode(issues)
}

func noteIssues(d *Document) []issue {
	issues := []issue{}
	for _, n := range d.Notes {
		issues = append(issues, issue{line(n.Text, maxMessage), "drawspan/" + n.Code, fingerprint("drawspan", Finding{Rule: n.Code, Path: n.Path, Message: n.Text}),
			map[string]string{errored: "critical", warning: "major", noted: "info"}[severity(n.Level)], at(pathOr(d, n.Path), 0)})
	}
	return issues
}

// verdictIssues are the gates that did not pass.
func verdictIssues(d *Document) []issue {
	var issues []issue
	for _, g := range worstFirst(d) {
		level := "critical"
		switch w := weight(g); {
		case w > 2:
			continue
		case w == 2:
			level = "minor"
		}
		issues = append(issues, issue{line(fmt.Sprintf("gate %s: %s: %s [%s]", g.Name, g.Verdict, gateLine(g), levelOf(g)), maxMessage),
			"drawspan/" + line(g.Name, 100), fingerprint(g.Name, Finding{Rule: "verdict"}), level, at(rulesFile(d), 0)})
	}
	return issues
}

// pathOr is a path, or else the rules' file.
func pathOr(d *Document, path string) string {
	if path == "" {
		return rulesFile(d)
	}
	return line(path, maxPath)
}

// rulesFile is the first file of the rules: where an issue without a place is shown.
func rulesFile(d *Document) string {
	if len(d.Rules.Files) > 0 {
		return line(d.Rules.Files[0].Path, maxPath)
	}
	return "drawspan.hcl"
}
