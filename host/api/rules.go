package api

import (
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Format says what a string of a request may be made of.
type Format string

// The formats of request fields.
const (
	FormatText     Format = "text"      // anything but NUL, several lines
	FormatLine     Format = "line"      // one line without control characters
	FormatName     Format = "name"      // a name that the configuration declares
	FormatID       Format = "id"        // an id that the host made, or a beginning of it
	FormatRef      Format = "ref"       // a git ref or branch name
	FormatToken    Format = "token"     // printable ASCII without spaces
	FormatKind     Format = "kind"      // an event kind, or a prefix that ends in ".*"
	FormatPosition Format = "position"  // "<epoch>.<seq>"
	FormatTime     Format = "date-time" // RFC 3339
	FormatDuration Format = "duration"  // such as "90s" or "1h30m"
	FormatRelPath  Format = "relpath"   // a clean path without a root and without ".."
	FormatAbsPath  Format = "abspath"
)

// Rule bounds a field of a request. It is checked where a request is decoded, before anything else sees
// the value.
type Rule struct {
	Format   Format
	Prefix   string // of an id
	MaxLen   int    // bytes
	Enum     []string
	Min, Max int64 // of a number
	MaxItems int   // of a list
}

var (
	nameFormat     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	idFormat       = regexp.MustCompile(`^[0-9A-Za-z]{1,26}$`)
	refFormat      = regexp.MustCompile(`^[^-\x00-\x20\x7f~^:?*\[\\][^\x00-\x20\x7f~^:?*\[\\]*$`)
	tokenFormat    = regexp.MustCompile(`^[\x21-\x7e]+$`)
	kindFormat     = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.\*)?$`)
	durationFormat = regexp.MustCompile(`^([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h))+$`)
)

func id(prefix string) Rule        { return Rule{Format: FormatID, Prefix: prefix, MaxLen: 40} }
func str(f Format, max int) Rule   { return Rule{Format: f, MaxLen: max} }
func enum(values ...string) Rule   { return Rule{Enum: values} }
func number(max int64) Rule        { return Rule{Max: max} }
func (r Rule) items(most int) Rule { r.MaxItems = most; return r }
func typed(t, field string) string { return t + "." + field }

// rules are by the JSON name of the field, and by type and name where one name has two meanings.
var rules = map[string]Rule{
	"run_id":          id("run_"),
	"step_id":         id("step_"),
	"attempt_id":      id("att_"),
	"approval_id":     id("apr_"),
	"workspace":       str(FormatName, 64),
	"executor":        str(FormatName, 64),
	"gates":           str(FormatName, 64).items(64),
	"base":            str(FormatRef, 255),
	"branch":          str(FormatRef, 255),
	"title":           str(FormatLine, 256),
	"text":            str(FormatText, MaxText),
	"reason":          str(FormatText, MaxNote),
	"note":            str(FormatText, MaxNote),
	"answer":          str(FormatText, MaxNote),
	"write":           str(FormatLine, 1024).items(256),
	"forbid":          str(FormatLine, 1024).items(256),
	"wall":            str(FormatDuration, 32),
	"expect":          enum("none"),
	"decision":        enum("allow", "deny", "answer"),
	"idempotency_key": str(FormatToken, MaxKey),
	"cursor":          str(FormatToken, 512),
	"limit":           number(MaxPageSize),
	"wait":            number(MaxWait),
	"offset":          number(math.MaxInt64),
	"name":            str(FormatRelPath, 512),
	"dir":             str(FormatAbsPath, 4000),
	"after":           str(FormatPosition, 40),
	"kind":            str(FormatKind, 64),
	"actor":           str(FormatLine, 128),
	"since":           str(FormatTime, 40),
	"until":           str(FormatTime, 40),

	typed("RunListRequest", "state"):      enum("open", "closed", "cancelled"),
	typed("StepListRequest", "state"):     enum("queued", "active", "held", "passed", "rejected", "failed", "cancelled"),
	typed("ApprovalListRequest", "state"): enum("open", "decided", "all"),
	typed("ArtifactReadRequest", "limit"): number(math.MaxInt64),
}

// RuleOf is the rule of a field of a request type. Booleans and objects have none.
func RuleOf(t reflect.Type, field string) (Rule, bool) {
	if r, ok := rules[typed(t.Name(), field)]; ok {
		return r, true
	}
	r, ok := rules[field]
	return r, ok
}

// Check says what is wrong with a string, "" when nothing is.
func (r Rule) Check(v string) string {
	switch {
	case len(r.Enum) > 0 && !slices.Contains(r.Enum, v):
		return "must be one of: " + strings.Join(r.Enum, ", ")
	case len(r.Enum) > 0:
		return ""
	case r.MaxLen > 0 && len(v) > r.MaxLen:
		return fmt.Sprintf("is longer than %d bytes", r.MaxLen)
	case !r.formed(v):
		return "must be " + r.wanted()
	}
	return ""
}

// CheckNumber says what is wrong with a number, "" when nothing is.
func (r Rule) CheckNumber(v int64) string {
	if v < r.Min || v > r.Max {
		return fmt.Sprintf("must be from %d to %d", r.Min, r.Max)
	}
	return ""
}

// unseen are characters that change how a line is shown rather than what it says.
func unseen(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// formats holds the check of each format and what it asks for, in words.
var formats = map[Format]struct {
	words string
	ok    func(string) bool
}{
	FormatText:     {"text without NUL", func(v string) bool { return !strings.ContainsRune(v, 0) }},
	FormatLine:     {"one line without control characters", func(v string) bool { return !strings.ContainsFunc(v, unseen) }},
	FormatName:     {"a name: letters, digits, \".\", \"_\" and \"-\"", nameFormat.MatchString},
	FormatRef:      {"a git ref name", refFormat.MatchString},
	FormatToken:    {"printable ASCII without spaces", tokenFormat.MatchString},
	FormatKind:     {"an event kind, or a prefix that ends in \".*\"", kindFormat.MatchString},
	FormatPosition: {"a position \"<epoch>.<seq>\"", func(v string) bool { _, err := ParsePosition(v); return err == nil }},
	FormatTime:     {"a time as in RFC 3339", func(v string) bool { _, err := time.Parse(time.RFC3339Nano, v); return err == nil }},
	FormatDuration: {"a duration such as \"90s\" or \"1h30m\"", durationFormat.MatchString},
	FormatRelPath:  {"a relative path without \"..\"", func(v string) bool { return fs.ValidPath(v) && v != "." && !strings.ContainsFunc(v, unseen) }},
	FormatAbsPath:  {"an absolute path", func(v string) bool { return strings.HasPrefix(v, "/") && !strings.ContainsRune(v, 0) }},
}

func (r Rule) formed(v string) bool {
	if r.Format == FormatID {
		rest, ok := strings.CutPrefix(v, r.Prefix)
		return ok && idFormat.MatchString(rest)
	}
	return formats[r.Format].ok(v)
}

// pattern is the format as a regular expression, "" where it is none.
func (r Rule) pattern() string {
	switch r.Format {
	case FormatID:
		return "^" + r.Prefix + idFormat.String()[1:]
	case FormatName:
		return nameFormat.String()
	case FormatToken:
		return tokenFormat.String()
	case FormatDuration:
		return durationFormat.String()
	case FormatPosition:
		return `^[0-9]+\.[0-9]+$`
	}
	return ""
}

func (r Rule) wanted() string {
	if r.Format == FormatID {
		return fmt.Sprintf("an id that begins with %q", r.Prefix)
	}
	return formats[r.Format].words
}
