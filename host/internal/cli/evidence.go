package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/term"
)

// evidence is what the host saw of an attempt, as far as views show it.
type evidence struct {
	TreeBefore  string      `json:"tree_before"`
	TreeAfter   string      `json:"tree_after"`
	Commit      string      `json:"commit"`
	Ref         string      `json:"ref"`
	Diff        diffFacts   `json:"diff"`
	Refused     []refused   `json:"refused"`
	Violations  int64       `json:"violations"`
	Leftovers   int         `json:"leftovers"`
	Output      int64       `json:"output_bytes"`
	Truncated   bool        `json:"output_truncated"`
	Commits     *commits    `json:"commits"`
	Unpublished string      `json:"unpublished"`
	Permissions permissions `json:"permissions"`
	Usage       *tokens     `json:"usage"`
	Resumed     *resumed    `json:"resumed"`
	Session     bool        `json:"session"`
}

// commits are the executor's own.
type commits struct {
	Head    string `json:"head"`
	Ref     string `json:"ref"`
	Count   int    `json:"count"`
	Refused string `json:"refused"`
}

type diffFacts struct {
	Files      []fileChange `json:"files"`
	Insertions int          `json:"insertions"`
	Deletions  int          `json:"deletions"`
	Binary     int          `json:"binary"`
}

type fileChange struct {
	Path    string `json:"path"`
	OldPath string `json:"old_path"`
	Op      string `json:"op"`
	OldMode string `json:"old_mode"`
	NewMode string `json:"new_mode"`
	Binary  bool   `json:"binary"`
	Added   int    `json:"added"`
	Deleted int    `json:"deleted"`
}

type refused struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// claim is what an executor said of itself.
type claim struct {
	StopReason string  `json:"stop_reason"`
	ExitCode   *int    `json:"exit_code"`
	Signal     string  `json:"signal"`
	Summary    string  `json:"summary"`
	Error      string  `json:"error"`
	ErrorClass string  `json:"error_class"`
	Session    string  `json:"session"`
	Version    string  `json:"version"`
	RetryAfter int64   `json:"retry_after_ms"`
	Usage      *tokens `json:"usage"`
}

// tokens are the use of models; input includes what was cached.
type tokens struct {
	Input      int64  `json:"input"`
	CachedRead int64  `json:"cached_read"`
	Output     int64  `json:"output"`
	Calls      int64  `json:"calls"`
	CostMicros int64  `json:"cost_micros"`
	Currency   string `json:"currency"`
	Basis      string `json:"basis"`
}

// permissions counts the host's decisions on what an executor asked leave for.
type permissions struct {
	Requested int64 `json:"requested"`
	Allowed   int64 `json:"allowed"`
	Denied    int64 `json:"denied"`
	Expired   int64 `json:"expired"`
	ByRule    int64 `json:"by_rule"`
}

// resumed is what a follow-up went on with.
type resumed struct {
	From string `json:"from"`
	Mode string `json:"mode"`
	Why  string `json:"why"`
}

// identity is which program really ran.
type identity struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Version   string `json:"version"`
	Digest    string `json:"digest"`
	Protocol  string `json:"protocol"`
	Simulated bool   `json:"simulated"`
}

// finding is one thing that a validator found.
type finding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Path     string `json:"path"`
	Line     int    `json:"line"`
	Message  string `json:"message"`
	Help     string `json:"help"`
}

// opened decodes a part of the record that views only show; what is missing or of a later version
// shows as nothing.
func opened[T any](raw json.RawMessage) (T, bool) {
	var v T
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		var none T
		return none, false
	}
	return v, true
}

// maxFiles is how many changed files a summary names.
const maxFiles = 12

// diffSummary shows which files changed and by how much.
func (l look) diffSummary(d diffFacts) []string {
	if len(d.Files) == 0 {
		return []string{"no file changed"}
	}
	t := term.Table{Flex: 1}
	for _, f := range d.Files[:min(len(d.Files), maxFiles)] {
		t.Rows = append(t.Rows, []string{"  " + opLetter(f.Op), l.path(f), l.churn(f)})
	}
	lines := t.Lines(l.profile)
	if more := len(d.Files) - maxFiles; more > 0 {
		lines = append(lines, fmt.Sprintf("  ... and %d more", more))
	}
	total := fmt.Sprintf("%s changed, %s %s", counted(len(d.Files), "file"),
		l.Paint(term.Good, fmt.Sprintf("+%d", d.Insertions)), l.Paint(term.Bad, fmt.Sprintf("-%d", d.Deletions)))
	return append(lines, total)
}

func opLetter(op string) string {
	switch op {
	case "add":
		return "A"
	case "delete":
		return "D"
	case "mode":
		return "m"
	case "type":
		return "T"
	}
	return "M"
}

func (l look) path(f fileChange) string {
	name := term.Line(f.Path)
	if f.OldPath != "" {
		name = term.Line(f.OldPath) + " => " + name
	}
	var marks []string
	if f.NewMode == "120000" {
		marks = append(marks, "symlink")
	}
	if f.NewMode == "160000" {
		marks = append(marks, "submodule")
	}
	if f.NewMode == "100755" && f.OldMode != "100755" {
		marks = append(marks, "executable now")
	}
	if len(marks) > 0 {
		name += " " + l.Paint(term.Ask, "("+strings.Join(marks, ", ")+")")
	}
	return name
}

func (l look) churn(f fileChange) string {
	if f.Binary {
		return "binary"
	}
	return fmt.Sprintf("+%d -%d", f.Added, f.Deleted)
}

// attemptDiff is the diff of an attempt as the host saw it.
func attemptDiff(a *api.Attempt) (evidence, bool) {
	if a == nil {
		return evidence{}, false
	}
	return opened[evidence](a.Evidence)
}
