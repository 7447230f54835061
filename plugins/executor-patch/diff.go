package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a diff.
const (
	maxFiles = 2000
	maxPath  = 4096
)

// file is what a diff does to one path.
type file struct {
	path  string
	op    string // add, modify or delete
	mode  string // of a file that is added: 100644 or 100755
	hunks []hunk
}

// hunk is one place of a file.
type hunk struct {
	head string // "@@ -1,2 +1,3 @@", with the numbers only
	at   int    // its first line before the change
	body string // its lines, each with its sign
	counts
}

// counts are numbers of lines, before and after the change.
type counts struct{ old, new int }

// read is the diff of a step's text, understood. It is strict where git is lenient: what is not understood
// is not applied, and a path is named once.
func read(text string) ([]file, error) {
	diff, err := find(text)
	if err != nil {
		return nil, err
	}
	r := &reader{rest: diff}
	var files []file
	seen := map[string]bool{}
	for {
		f, more, err := r.file()
		switch {
		case err != nil:
			return nil, err
		case !more && len(files) == 0:
			return nil, refuse("the diff changes nothing")
		case !more:
			return files, nil
		case seen[f.path]:
			return nil, refuse("the diff changes %q twice", f.path)
		case len(files) == maxFiles:
			return nil, refuse("the diff changes more than %d files", maxFiles)
		}
		seen[f.path] = true
		files = append(files, f)
	}
}

// reader walks the lines of a diff.
type reader struct {
	rest string
	n    int // lines that were read
}

func (r *reader) peek() (string, bool) {
	if r.rest == "" {
		return "", false
	}
	line, _, _ := strings.Cut(r.rest, "\n")
	return line, true
}

func (r *reader) next() string {
	line, rest, _ := strings.Cut(r.rest, "\n")
	r.rest = rest
	r.n++
	return line
}

func (r *reader) wrong(format string, args ...any) error {
	return refuse("line %d of the diff: %s", r.n, fmt.Sprintf(format, args...))
}

// headers are what stands before the hunks of a file.
type headers struct {
	git      string // the line "diff --git", without that
	old, new string // as --- and +++ name them
	names    bool   // they were there
	added    string // the mode of a new file
	deleted  bool
}

// file reads one file of the diff; false at its end.
func (r *reader) file() (file, bool, error) {
	var h headers
	for {
		line, more := r.peek()
		line = strings.TrimRight(line, "\r")
		switch {
		case !more && h == (headers{}):
			return file{}, false, nil
		case !more, h != (headers{}) && strings.HasPrefix(line, "diff --git "), strings.HasPrefix(line, "@@ "):
			return r.body(h)
		case line == "-- " && h == (headers{}): // what a mail ends with
			r.rest = ""
			continue
		}
		r.next()
		if err := r.header(&h, line); err != nil {
			return file{}, false, err
		}
	}
}

// refused are the beginnings of headers that are not followed, with the reason.
var refused = []struct{ prefix, why string }{
	{"old mode ", "a change of mode: only the content of files is changed"},
	{"new mode ", "a change of mode: only the content of files is changed"},
	{"rename ", noRename}, {"copy ", noRename}, {"similarity index ", noRename}, {"dissimilarity index ", noRename},
	{"GIT binary patch", "a binary file: only text is changed"},
	{"Binary files ", "a binary file: only text is changed"},
}

const noRename = "a rename or a copy: delete the file under its old name and add it under its new one"

// header reads one line before the hunks.
func (r *reader) header(h *headers, line string) error {
	for _, no := range refused {
		if strings.HasPrefix(line, no.prefix) {
			return r.wrong("%s", no.why)
		}
	}
	for prefix, take := range map[string]func(rest string) error{
		"new file mode ": func(mode string) error {
			h.added = mode
			return r.fileMode("new", mode)
		},
		"deleted file mode ": func(mode string) error {
			h.deleted = true
			return r.fileMode("deleted", mode)
		},
		"diff --git ": func(names string) error {
			h.git = names
			return nil
		},
		"--- ": func(name string) error {
			h.old = name
			return r.newName(h)
		},
		"index ": func(string) error { return nil },
	} {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return take(rest)
		}
	}
	if strings.TrimSpace(line) == "" && *h == (headers{}) {
		return nil
	}
	return r.wrong("%.60q is not part of a diff", line)
}

func (r *reader) fileMode(what, mode string) error {
	if mode != "100644" && mode != "100755" {
		return r.wrong("a %s file of mode %.20q: only files of mode 100644 and 100755 are changed", what, mode)
	}
	return nil
}

// newName reads the line that follows the one with ---.
func (r *reader) newName(h *headers) error {
	name, ok := strings.CutPrefix(strings.TrimRight(r.next(), "\r"), "+++ ")
	if !ok {
		return r.wrong("a line with --- that is not followed by one with +++")
	}
	h.new, h.names = name, true
	if line, _ := r.peek(); !strings.HasPrefix(line, "@@ ") {
		r.n++
		return r.wrong("no hunk follows the file's name")
	}
	return nil
}

const nowhere = "/dev/null"

// body names the file and reads its hunks.
func (r *reader) body(h headers) (file, bool, error) {
	f := file{op: "modify"}
	var err error
	if f.path, err = r.name(h); err != nil {
		return file{}, false, err
	}
	if err := r.operation(&f, h); err != nil {
		return file{}, false, err
	}
	for h.names { // without names there are no hunks
		line, _ := r.peek()
		if !strings.HasPrefix(line, "@@ ") {
			break
		}
		one, err := r.hunk()
		if err != nil {
			return file{}, false, err
		}
		f.hunks = append(f.hunks, one)
	}
	return f, true, nil
}

// name is the one path of a file.
func (r *reader) name(h headers) (string, error) {
	switch {
	case !h.names:
		return r.emptyPath(h)
	case h.old == nowhere:
		return r.path(h.new, "b/")
	case h.new == nowhere:
		return r.path(h.old, "a/")
	}
	path, err := r.path(h.new, "b/")
	if err != nil {
		return "", err
	}
	if old, err := r.path(h.old, "a/"); err != nil || old != path {
		return "", r.wrong("%.80s and %.80s are not one path: a file keeps its name", h.old, h.new)
	}
	return path, nil
}

// operation is what the headers say of the file as a whole.
func (r *reader) operation(f *file, h headers) error {
	added, deleted := h.old == nowhere || h.added != "", h.new == nowhere || h.deleted
	contradicted := h.names && [2]bool{added, deleted} != [2]bool{h.old == nowhere, h.new == nowhere}
	switch {
	case added && deleted:
		return r.wrong("%q is added and deleted at once", f.path)
	case contradicted:
		return r.wrong("the headers of %q contradict each other", f.path)
	case added:
		f.op, f.mode = "add", cmp.Or(h.added, "100644")
	case deleted:
		f.op = "delete"
	}
	return nil
}

// emptyPath is the path of a file that has no lines: its two names are one.
func (r *reader) emptyPath(h headers) (string, error) {
	if line, _ := r.peek(); strings.HasPrefix(line, "@@ ") {
		return "", r.wrong("a hunk without the lines --- and +++ of its file")
	}
	if h.added == "" && !h.deleted {
		return "", r.wrong("a file of which nothing is changed")
	}
	names := h.git
	half := (len(names) - 1) / 2
	if len(names)%2 == 0 || names[half] != ' ' {
		return "", r.wrong("the names of %.80q cannot be told apart", names)
	}
	old, err := r.path(names[:half], "a/")
	if err != nil {
		return "", err
	}
	if path, err := r.path(names[half+1:], "b/"); err != nil || path != old {
		return "", r.wrong("%.80q does not name one path", names)
	}
	return old, nil
}

// path reads a name: behind a/ or b/, in git's quotes where it has any, before a time after a tab.
func (r *reader) path(name, prefix string) (string, error) {
	if strings.HasPrefix(name, `"`) {
		plain, err := strconv.Unquote(name)
		if err != nil {
			return "", r.wrong("the quoted name %.80s cannot be read", name)
		}
		name = plain
	} else {
		name, _, _ = strings.Cut(name, "\t")
	}
	path, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return "", r.wrong("the name %.80q does not begin with %s", name, prefix)
	}
	return path, r.inside(path)
}

// inside refuses a path that is not one of the tree's files.
func (r *reader) inside(path string) error {
	if len(path) > maxPath || !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) {
		return r.wrong("the name %.80q is too long, not UTF-8, or holds control characters", path)
	}
	if !filepath.IsLocal(path) || filepath.Clean(path) != path || path == "." {
		return r.wrong("%.80q is not a path inside of the tree", path)
	}
	for part := range strings.SplitSeq(path, "/") {
		if strings.EqualFold(part, ".git") {
			return r.wrong("%.80q is git's own", path)
		}
	}
	return nil
}

// hunk reads one hunk: exactly as many lines as its head says.
func (r *reader) hunk() (hunk, error) {
	var h hunk
	if err := h.parse(r.next()); err != nil {
		return hunk{}, r.wrong("%v", err)
	}
	var body strings.Builder
	var c counts
	for c.old < h.old || c.new < h.new {
		if r.rest == "" {
			return hunk{}, r.wrong("the diff ends in the middle of the hunk %s", h.head)
		}
		line := r.next()
		if strings.TrimRight(line, "\r") == "" {
			line = " " + line // an empty line of context often loses its space
		}
		if !c.take(line[0]) {
			return hunk{}, r.wrong("%.60q in the middle of the hunk %s: its head promises %d old and %d new lines", line, h.head, h.old, h.new)
		}
		body.WriteString(line + "\n")
	}
	if c != h.counts {
		return hunk{}, r.wrong("the hunk %s has other numbers of lines than its head says", h.head)
	}
	if line, _ := r.peek(); strings.HasPrefix(line, `\`) {
		body.WriteString(r.next() + "\n")
	}
	h.body = body.String()
	return h, r.overlong(h)
}

// take counts a line by its sign; false for a sign that there is not.
func (c *counts) take(sign byte) bool {
	switch sign {
	case ' ':
		c.old, c.new = c.old+1, c.new+1
	case '-':
		c.old++
	case '+':
		c.new++
	case '\\':
	default:
		return false
	}
	return true
}

// overlong refuses a line of a hunk where there should be none any more: git would pass over it.
func (r *reader) overlong(h hunk) error {
	line, _ := r.peek()
	if line == "" || line == "-- " || strings.HasPrefix(line, "--- ") || !strings.ContainsAny(line[:1], " +-") {
		return nil
	}
	r.next()
	return r.wrong("the hunk %s has more lines than its head says", h.head)
}

// parse reads "@@ -1,2 +1,3 @@ anything".
func (h *hunk) parse(head string) error {
	bad := fmt.Errorf("%.60q is not the head of a hunk", head)
	ranges, _, ok := strings.Cut(strings.TrimPrefix(head, "@@ -"), " @@")
	old, added, both := strings.Cut(ranges, " +")
	if !ok || !both || !strings.HasPrefix(head, "@@ -") {
		return bad
	}
	var err error
	if h.at, h.old, err = span(old); err != nil {
		return bad
	}
	at, n, err := span(added)
	if err != nil || h.old+n == 0 {
		return bad
	}
	h.new = n
	h.head = fmt.Sprintf("@@ -%d,%d +%d,%d @@", h.at, h.old, at, n)
	return nil
}

// maxLines bounds a number of a hunk's head.
const maxLines = 1 << 30

// span reads "12,3" or "12", which is "12,1".
func span(text string) (at, n int, err error) {
	first, second, ok := strings.Cut(text, ",")
	if !ok {
		second = "1"
	}
	if at, err = number(first); err != nil {
		return 0, 0, err
	}
	n, err = number(second)
	return at, n, err
}

func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err == nil && n > maxLines {
		err = strconv.ErrRange
	}
	return int(n), err
}
