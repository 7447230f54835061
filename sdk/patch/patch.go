// Package patch reads the unified diff that a validator is fed: which lines were added and deleted, by file
// and number.
//
// It guarantees: a line counts as added or deleted by the numbers of its hunk alone, so that no content can
// pass for a header; what is not understood is an error, never left out; nothing is read beyond the patch.
//
// It must not know: the tree, what anybody thinks of a line.
package patch

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// File is what a patch does to the content of one file.
type File struct {
	Old, New       string // its paths, relative and with slashes; "" where it does not exist
	Added, Deleted []Line
	Binary         bool // it has no lines
}

// Line is one line of a file, without its newline.
type Line struct {
	Number int // from 1: in the new file for an added one, in the old file for a deleted one
	Text   string
}

// ErrMalformed is in the chain of every error of Parse.
var ErrMalformed = errors.New("the patch cannot be read")

const (
	gitHeader = "diff --git "
	nowhere   = "/dev/null"
)

// Parse reads a patch as git writes it. Files without content of their own, such as those whose mode alone
// changed, are told without lines where the patch names them.
func Parse(data []byte) ([]File, error) {
	r := &reader{rest: data}
	for len(r.rest) > 0 {
		line := r.next()
		if err := r.line(line); err != nil {
			return nil, err
		}
	}
	if r.old > 0 || r.new > 0 {
		return nil, r.wrong("ends in the middle of a hunk")
	}
	return r.files, nil
}

// reader walks the lines of a patch.
type reader struct {
	rest   []byte
	n      int
	files  []File
	header bool // between the first line of a file and its first hunk
	binary bool // in the data of a binary file
	// old and new are how many lines the hunk still has; at are their numbers.
	old, new     int
	atOld, atNew int
}

func (r *reader) wrong(what string) error {
	return fmt.Errorf("line %d %s: %w", r.n, what, ErrMalformed)
}

func (r *reader) next() string {
	line, rest, _ := bytes.Cut(r.rest, []byte("\n"))
	r.rest = rest
	r.n++
	return string(line)
}

func (r *reader) line(line string) error {
	switch {
	case strings.HasPrefix(line, `\`) && len(r.files) > 0 && !r.header:
		return nil // "\ No newline at end of file"
	case r.old > 0 || r.new > 0:
		return r.content(line)
	case strings.HasPrefix(line, gitHeader):
		r.files = append(r.files, File{})
		r.header, r.binary = true, false
		return r.name(strings.TrimPrefix(line, gitHeader))
	case len(r.files) == 0:
		return r.wrong("stands before the first file")
	case r.binary:
		return nil
	case strings.HasPrefix(line, "@@ "):
		r.header = false
		return r.hunk(line)
	case r.header:
		return r.headers(line)
	default:
		return r.wrong("belongs to no hunk")
	}
}

// content takes one line of a hunk.
func (r *reader) content(line string) error {
	sign, text := byte(' '), ""
	if line != "" {
		sign, text = line[0], line[1:]
	}
	f := &r.files[len(r.files)-1]
	switch sign {
	case ' ':
		r.old, r.new = r.old-1, r.new-1
		r.atOld, r.atNew = r.atOld+1, r.atNew+1
	case '-':
		f.Deleted = append(f.Deleted, Line{r.atOld, text})
		r.old, r.atOld = r.old-1, r.atOld+1
	case '+':
		f.Added = append(f.Added, Line{r.atNew, text})
		r.new, r.atNew = r.new-1, r.atNew+1
	default:
		return r.wrong("of a hunk has no sign")
	}
	if r.old < 0 || r.new < 0 {
		return r.wrong("is more than its hunk announced")
	}
	return nil
}

// hunk reads "@@ -1,2 +3,4 @@".
func (r *reader) hunk(line string) error {
	numbers, _, ended := strings.Cut(strings.TrimPrefix(line, "@@ "), " @@")
	before, after, _ := strings.Cut(numbers, " ")
	var okOld, okNew bool
	r.atOld, r.old, okOld = span(before, "-")
	r.atNew, r.new, okNew = span(after, "+")
	if !ended || !okOld || !okNew {
		return r.wrong("is no head of a hunk")
	}
	if f := r.files[len(r.files)-1]; f.Old == "" && r.old > 0 || f.New == "" && r.new > 0 {
		return r.wrong("is a hunk of a file that is not there")
	}
	return nil
}

// span reads "-1,2"; without a count it is one line.
func span(text, sign string) (at, count int, ok bool) {
	text, signed := strings.CutPrefix(text, sign)
	first, many, counted := strings.Cut(text, ",")
	if !counted {
		many = "1"
	}
	a, errAt := strconv.ParseUint(first, 10, 30)
	n, errCount := strconv.ParseUint(many, 10, 30)
	if !signed || errAt != nil || errCount != nil || a == 0 && n > 0 {
		return 0, 0, false
	}
	return int(a), int(n), true
}

// headers takes one line between the names of a file and its first hunk.
func (r *reader) headers(line string) error {
	f := &r.files[len(r.files)-1]
	var err error
	switch key, rest, _ := strings.Cut(line, " "); {
	case key == "---":
		f.Old, err = r.path(rest, "a/")
	case key == "+++":
		f.New, err = r.path(rest, "b/")
	case strings.HasPrefix(line, "new file mode "):
		f.Old = ""
	case strings.HasPrefix(line, "deleted file mode "):
		f.New = ""
	case strings.HasPrefix(line, "rename from "), strings.HasPrefix(line, "copy from "):
		f.Old, err = r.path("a/"+line[strings.Index(line, "from ")+5:], "a/")
	case strings.HasPrefix(line, "rename to "), strings.HasPrefix(line, "copy to "):
		f.New, err = r.path("b/"+line[strings.Index(line, "to ")+3:], "b/")
	case line == "GIT binary patch", strings.HasPrefix(line, "Binary files "):
		f.Binary, r.binary = true, true
	case key == "index", key == "old", key == "new", key == "similarity", key == "dissimilarity":
	default:
		err = r.wrong("is no header of a file")
	}
	return err
}

// name reads both paths of "diff --git", which are one unless later headers say otherwise.
func (r *reader) name(names string) error {
	f := &r.files[len(r.files)-1]
	half := len(names) / 2
	if len(names)%2 == 0 || names[half] != ' ' {
		return nil // two names: what follows tells them apart
	}
	before, errOld := r.path(names[:half], "a/")
	after, errNew := r.path(names[half+1:], "b/")
	if errOld == nil && errNew == nil && before == after {
		f.Old, f.New = before, after
	}
	return nil
}

// path is a path as git writes it: with a prefix, quoted where it must be, /dev/null for none.
func (r *reader) path(text, prefix string) (string, error) {
	text = strings.TrimSuffix(text, "\t") // which git puts behind a name with spaces
	if text == nowhere {
		return "", nil
	}
	if inner, ok := strings.CutPrefix(text, prefix+`"`); ok && strings.HasSuffix(text, `"`) {
		text = `"` + prefix + inner // of a rename, whose names have no prefix of their own
	}
	if strings.HasPrefix(text, `"`) {
		plain, err := strconv.Unquote(text)
		if err != nil {
			return "", r.wrong("has a name that cannot be read")
		}
		text = plain
	}
	path, ok := strings.CutPrefix(text, prefix)
	if !ok || path == "" || strings.ContainsRune(path, 0) {
		return "", r.wrong("has a name that cannot be read")
	}
	return path, nil
}
