// Package patch reads the unified diff that a validator is fed: which lines were added and deleted, by file
// and number.
//
// It guarantees: a line counts as added or deleted by the numbers of its hunk alone, so that no content can
// pass for a header; names are read byte by byte; what is not understood is an error, never left out; nothing
// is read beyond the patch.
//
// It must not know: the tree, what anybody thinks of a line.
package patch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// File is what a patch does to the content of one file. Git writes two for a path that changes its type.
type File struct {
	Old, New       string // its paths, relative and with slashes; "" where it does not exist
	Added, Deleted []Line
	Binary         bool // it has no lines
}

// Path is where the file is after the change, or was where it is gone.
func (f *File) Path() string {
	if f.New == "" {
		return f.Old
	}
	return f.New
}

// Line is one line of a file, without its newline.
type Line struct {
	Number int // from 1: in the new file for an added one, in the old file for a deleted one
	Text   string
}

// Shown is one line of a hunk, as Scan comes by it.
type Shown struct {
	Hunk int    // which one of the patch, from 1: what is understood of one need not hold in the next
	Sign byte   // ' ', '+' or '-'
	Text string // without the sign and the newline; it is part of a copy of the whole patch
	// Old and New are its numbers in both files. In the one that does not have it: where it would be, or the
	// last line that the hunk shows.
	Old, New int
}

// ErrMalformed is in the chain of every error of Parse and Scan.
var ErrMalformed = errors.New("the patch cannot be read")

const (
	gitHeader  = "diff --git "
	hunkHeader = "@@ "
	nowhere    = "/dev/null"
)

// Parse reads a patch as git writes it. Files without content of their own, such as those whose mode alone
// changed, are told without lines where the patch names them.
func Parse(data []byte) ([]File, error) {
	var files []File
	err := Scan(data, func(f File) { files = append(files, f) }, func(l Shown) {
		f := &files[len(files)-1]
		switch l.Sign {
		case '+':
			f.Added = append(f.Added, Line{l.New, l.Text})
		case '-':
			f.Deleted = append(f.Deleted, Line{l.Old, l.Text})
		}
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}

// Scan reads a patch as git writes it, and shows each file, without its lines, and then each line of its
// hunks. What was shown before an error is not to be relied on.
func Scan(data []byte, begin func(File), see func(Shown)) error {
	r := &reader{rest: string(data)}
	for r.rest != "" {
		if err := r.file(begin, see); err != nil {
			return err
		}
	}
	return nil
}

// reader walks the lines of a patch.
type reader struct {
	rest  string
	n     int // of the line that was read last
	hunks int
}

func (r *reader) wrong(what string) error {
	return fmt.Errorf("line %d %s: %w", r.n, what, ErrMalformed)
}

func (r *reader) peek() string {
	line, _, _ := strings.Cut(r.rest, "\n")
	return line
}

func (r *reader) next() string {
	line, rest, _ := strings.Cut(r.rest, "\n")
	r.rest = rest
	r.n++
	return line
}

// file reads one file's part.
func (r *reader) file(begin func(File), see func(Shown)) error {
	names, ok := strings.CutPrefix(r.next(), gitHeader)
	if !ok {
		return r.wrong("stands before the first file or belongs to no hunk")
	}
	f := File{}
	r.names(&f, names)
	for r.rest != "" && !strings.HasPrefix(r.peek(), gitHeader) && !strings.HasPrefix(r.peek(), hunkHeader) {
		if err := r.header(&f); err != nil {
			return err
		}
	}
	if f.Path() == "" {
		return r.wrong("ends the head of a file without a name")
	}
	begin(f)
	for strings.HasPrefix(r.peek(), hunkHeader) {
		if err := r.hunk(&f, see); err != nil {
			return err
		}
	}
	return nil
}

// names reads both paths of "diff --git", which are one unless later headers say otherwise.
func (r *reader) names(f *File, names string) {
	half := len(names) / 2
	if len(names)%2 == 0 || names[half] != ' ' {
		return // two names: what follows tells them apart
	}
	before, errOld := r.path(names[:half], "a/")
	after, errNew := r.path(names[half+1:], "b/")
	if errOld == nil && errNew == nil && before == after {
		f.Old, f.New = before, after
	}
}

// told are headers that the list of changes tells as well.
var told = []string{"index", "old", "new", "similarity", "dissimilarity"}

// header takes a line between the names of a file and its first hunk.
func (r *reader) header(f *File) error {
	line := r.next()
	key, rest, _ := strings.Cut(line, " ")
	var err error
	switch {
	case key == "---":
		return r.sides(f, rest)
	case strings.HasPrefix(line, "new file mode "):
		f.Old = ""
	case strings.HasPrefix(line, "deleted file mode "):
		f.New = ""
	case strings.HasPrefix(line, "rename from "), strings.HasPrefix(line, "copy from "):
		f.Old, err = r.bare(rest, "from ")
	case strings.HasPrefix(line, "rename to "), strings.HasPrefix(line, "copy to "):
		f.New, err = r.bare(rest, "to ")
	case line == "GIT binary patch":
		f.Binary = true
		r.binary()
	case strings.HasPrefix(line, "Binary files "):
		f.Binary = true
	case !slices.Contains(told, key):
		err = r.wrong("is no header of a file")
	}
	return err
}

// binary passes over the two parts of a binary patch, each ended by an empty line.
func (r *reader) binary() {
	for strings.HasPrefix(r.peek(), "literal ") || strings.HasPrefix(r.peek(), "delta ") {
		for r.rest != "" && r.next() != "" {
		}
	}
}

// sides reads the paths of --- and of +++, which follows it.
func (r *reader) sides(f *File, before string) error {
	var err error
	if f.Old, err = r.path(before, "a/"); err != nil {
		return err
	}
	after, ok := strings.CutPrefix(r.next(), "+++ ")
	if !ok {
		return r.wrong("follows --- and is not +++")
	}
	f.New, err = r.path(after, "b/")
	return err
}

// hunk reads "@@ -1,2 +3,4 @@" and exactly as many lines as it announces.
func (r *reader) hunk(f *File, see func(Shown)) error {
	numbers, _, ended := strings.Cut(strings.TrimPrefix(r.next(), hunkHeader), " @@")
	before, after, _ := strings.Cut(numbers, " ")
	old, okOld := span(before, "-")
	fresh, okNew := span(after, "+")
	if !ended || !okOld || !okNew {
		return r.wrong("is no head of a hunk")
	}
	if f.Binary || f.Old == "" && old.left > 0 || f.New == "" && fresh.left > 0 {
		return r.wrong("is a hunk of a file that is not there")
	}
	r.hunks++
	for old.left > 0 || fresh.left > 0 {
		if r.rest == "" {
			return r.wrong("ends in the middle of a hunk")
		}
		line := r.next()
		if strings.HasPrefix(line, noNewline) {
			continue
		}
		l, err := r.content(line, &old, &fresh)
		if err != nil {
			return err
		}
		see(l)
	}
	if strings.HasPrefix(r.peek(), noNewline) {
		r.next()
	}
	return nil
}

// noNewline begins "\ No newline at end of file".
const noNewline = `\`

// content reads one line of a hunk.
func (r *reader) content(line string, old, fresh *side) (Shown, error) {
	l := Shown{Hunk: r.hunks, Sign: ' ', Old: old.number(), New: fresh.number()}
	if line != "" {
		l.Sign, l.Text = line[0], line[1:]
	}
	switch {
	case !strings.ContainsRune(" +-", rune(l.Sign)):
		return Shown{}, r.wrong("of a hunk has no sign")
	case l.Sign != '+' && !old.take(), l.Sign != '-' && !fresh.take():
		return Shown{}, r.wrong("is more than its hunk announced")
	}
	return l, nil
}

// side is where a hunk has come to in one of the files, and how many lines of it are left.
type side struct{ at, last, left int }

func (s *side) number() int { return max(min(s.at, s.last), 1) }

// take passes a line that the side has; false where it has no more.
func (s *side) take() bool {
	s.at, s.left = s.at+1, s.left-1
	return s.left >= 0
}

// span reads "-1,2"; without a count it is one line.
func span(text, sign string) (s side, ok bool) {
	text, signed := strings.CutPrefix(text, sign)
	first, many, counted := strings.Cut(text, ",")
	if !counted {
		many = "1"
	}
	at, errAt := strconv.ParseUint(first, 10, 30)
	n, errCount := strconv.ParseUint(many, 10, 30)
	if !signed || errAt != nil || errCount != nil || at == 0 && n > 0 {
		return side{}, false
	}
	return side{at: int(at), last: int(at + n - min(n, 1)), left: int(n)}, true
}

// path is a path as git writes it: with a prefix, quoted where it must be, /dev/null for none.
func (r *reader) path(text, prefix string) (string, error) {
	text = strings.TrimSuffix(text, "\t") // which git puts behind a name with spaces
	if text == nowhere {
		return "", nil
	}
	plain, err := r.plain(text)
	path, ok := strings.CutPrefix(plain, prefix)
	if err != nil || !ok || path == "" || strings.Contains(path, "\x00") {
		return "", r.wrong("has a name that cannot be read")
	}
	return path, nil
}

// bare is the path of a rename, which has no prefix.
func (r *reader) bare(rest, word string) (string, error) {
	path, err := r.plain(strings.TrimPrefix(rest, word))
	if err != nil || path == "" || strings.Contains(path, "\x00") {
		return "", r.wrong("has a name that cannot be read")
	}
	return path, nil
}

// escapes are those of git's quoted names, beside octal numbers.
var escapes = map[byte]byte{'a': '\a', 'b': '\b', 't': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', '"': '"', '\\': '\\'}

// plain is a name without git's quotes.
func (r *reader) plain(text string) (string, error) {
	quoted, ok := strings.CutPrefix(text, `"`)
	if !ok {
		return text, nil
	}
	var plain []byte
	for i := 0; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"' && i == len(quoted)-1:
			return string(plain), nil
		case c == '"':
			return "", r.wrong("goes on behind its name")
		case c != '\\':
			plain = append(plain, c)
		case i+1 < len(quoted) && escapes[quoted[i+1]] != 0:
			i++
			plain = append(plain, escapes[quoted[i]])
		case i+3 < len(quoted):
			n, err := strconv.ParseUint(quoted[i+1:i+4], 8, 8)
			if err != nil {
				return "", r.wrong("has an escape that git does not write")
			}
			plain = append(plain, byte(n))
			i += 3
		default:
			return "", r.wrong("ends in the middle of a name")
		}
	}
	return "", r.wrong("has a name without an end")
}
