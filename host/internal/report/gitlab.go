package report

import (
	"path"
	"strconv"
	"strings"
)

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

// GitLab is a code quality report: new findings, the worst first. Gates that did not pass are issues of the line
// that declares them.
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
		file, number := declaredAt(g)
		issues = append(issues, issue{line(strings.TrimSpace(sentence(g)+" "+leveled(g)), maxMessage),
			"drawspan/" + line(g.Name, 100), fingerprint(g.Name, Finding{Rule: "verdict"}), level, at(pathOr(d, file), number)})
	}
	return issues
}

// pathOr is a path, or else the rules' file.
func pathOr(d *Document, name string) string {
	if name == "" {
		return rulesFile(d)
	}
	return line(name, maxPath)
}

// rulesFile is where an issue without a place is shown: the first file of the rules that lies in the repository. A
// file of the runner's own is none of its paths, and goes by its name alone.
func rulesFile(d *Document) string {
	name := "drawspan.hcl"
	for i, f := range d.Rules.Files {
		if !path.IsAbs(f.Path) {
			return line(f.Path, maxPath)
		}
		if i == 0 {
			name = path.Base(f.Path)
		}
	}
	return line(name, maxPath)
}

// declaredAt is the file and line that declare a gate, as a path of the repository; "" where they are the runner's own.
func declaredAt(g Gate) (file string, at int) {
	file, number, _ := strings.Cut(g.Declared, ":")
	at, err := strconv.Atoi(number)
	if err != nil || at < 1 || path.IsAbs(file) {
		return "", 0
	}
	return file, at
}
