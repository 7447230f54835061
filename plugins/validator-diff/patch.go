package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// section is what a patch says of one path. Git writes two for a path that changes its type.
type section struct {
	path string
}

// line is one line of a hunk.
type line struct {
	at     *section
	hunk   int  // which hunk of the patch: what is understood of one does not hold in the next
	sign   byte // ' ', '+' or '-'
	text   string
	number int // in the file after the change; of a deleted line, where it would be, or the last one
}

// errPatch is in the chain of every error of a patch that is not one of git's.
var errPatch = errors.New("the patch cannot be read")

// scan reads a patch as git writes it without renames, and shows each section and then each of its lines. It is
// strict: what is not understood is an error.
func scan(patch string, begin func(*section), see func(line)) error {
	s := &scanner{rest: patch}
	for s.rest != "" {
		if err := s.section(begin, see); err != nil {
			return fmt.Errorf("%w: line %d: %w", errPatch, s.n, err)
		}
	}
	return nil
}

// scanner walks the lines of a patch.
type scanner struct {
	rest  string
	n     int
	hunks int
}

func (s *scanner) peek() string {
	text, _, _ := strings.Cut(s.rest, "\n")
	return text
}

func (s *scanner) next() string {
	text, rest, _ := strings.Cut(s.rest, "\n")
	s.rest = rest
	s.n++
	return text
}

// section reads one file's part.
func (s *scanner) section(begin func(*section), see func(line)) error {
	names, ok := strings.CutPrefix(s.next(), "diff --git ")
	if !ok {
		return errors.New("a file begins with diff --git")
	}
	at := &section{}
	if err := s.headers(at, names); err != nil {
		return err
	}
	begin(at)
	for strings.HasPrefix(s.peek(), "@@ ") {
		if err := s.hunk(at, see); err != nil {
			return err
		}
	}
	if s.rest != "" && !strings.HasPrefix(s.rest, "diff --git ") {
		s.n++
		return fmt.Errorf("%.60q is not part of a patch", s.peek())
	}
	return nil
}

// headers reads what stands between a file's first line and its first hunk.
func (s *scanner) headers(at *section, names string) error {
	for s.rest != "" && !strings.HasPrefix(s.peek(), "diff --git ") {
		text := s.peek()
		if strings.HasPrefix(text, "--- ") {
			return s.named(at)
		}
		s.next()
		switch {
		case text == "GIT binary patch":
			s.binary()
			return at.fromNames(names)
		case strings.HasPrefix(text, "Binary files "):
			return at.fromNames(names)
		case !slices.ContainsFunc(passed, func(header string) bool { return strings.HasPrefix(text, header) }):
			return fmt.Errorf("%.60q is not a header", text)
		}
	}
	return at.fromNames(names)
}

// passed are headers that the list of changes tells as well.
var passed = []string{"index ", "old mode ", "new mode ", "new file mode ", "deleted file mode "}

// binary passes over the two parts of a binary patch, each ended by an empty line.
func (s *scanner) binary() {
	for strings.HasPrefix(s.peek(), "literal ") || strings.HasPrefix(s.peek(), "delta ") {
		for s.rest != "" && s.next() != "" {
		}
	}
}

// named takes the path from the lines --- and +++.
func (s *scanner) named(at *section) error {
	before := strings.TrimPrefix(s.next(), "--- ")
	after, ok := strings.CutPrefix(s.next(), "+++ ")
	if !ok {
		return errors.New("a line with --- is not followed by one with +++")
	}
	if after == "/dev/null" {
		return at.from(before, "a/")
	}
	return at.from(after, "b/")
}

func (at *section) from(name, prefix string) error {
	plain := strings.TrimSuffix(name, "\t") // git ends a name with spaces so
	if strings.HasPrefix(name, `"`) {
		var rest string
		var err error
		if plain, rest, err = unquote(name); err != nil || rest != "" && rest != "\t" {
			return fmt.Errorf("the name %.80q cannot be read", name)
		}
	}
	path, ok := strings.CutPrefix(plain, prefix)
	if !ok || path == "" {
		return fmt.Errorf("the name %.80q does not begin with %s", name, prefix)
	}
	at.path = path
	return nil
}

// fromNames takes the path from a first line whose two names are one.
func (at *section) fromNames(names string) error {
	if strings.HasPrefix(names, `"`) {
		_, rest, err := unquote(names)
		if err != nil || !strings.HasPrefix(rest, " ") {
			return fmt.Errorf("the names %.80q cannot be read", names)
		}
		return at.from(rest[1:], "b/")
	}
	half := len(names) / 2
	if len(names)%2 == 0 || names[half] != ' ' || strings.TrimPrefix(names[:half], "a/") != strings.TrimPrefix(names[half+1:], "b/") {
		return fmt.Errorf("the names %.80q are not those of one file", names)
	}
	return at.from(names[half+1:], "b/")
}

// escapes are those of git's quoted names, beside octal numbers.
var escapes = map[byte]byte{'a': '\a', 'b': '\b', 't': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', '"': '"', '\\': '\\'}

// unquote reads a name in git's quotes, byte by byte, and what follows it.
func unquote(quoted string) (name, rest string, err error) {
	var plain []byte
	for i := 1; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"':
			return string(plain), quoted[i+1:], nil
		case c != '\\':
			plain = append(plain, c)
		case i+1 < len(quoted) && escapes[quoted[i+1]] != 0:
			i++
			plain = append(plain, escapes[quoted[i]])
		case i+3 < len(quoted):
			n, err := strconv.ParseUint(quoted[i+1:i+4], 8, 8)
			if err != nil {
				return "", "", fmt.Errorf("read escape: %w", err)
			}
			plain = append(plain, byte(n))
			i += 3
		default:
			return "", "", errors.New("a quoted name ends in the middle")
		}
	}
	return "", "", errors.New("a quoted name has no end")
}

// counts are lines that a hunk still has to have, before and after the change.
type counts struct{ old, fresh int }

// take counts a line by its sign; false for a line that there should not be.
func (c *counts) take(sign byte) bool {
	switch sign {
	case ' ':
		c.old, c.fresh = c.old-1, c.fresh-1
	case '-':
		c.old--
	case '+':
		c.fresh--
	default:
		return false
	}
	return c.old >= 0 && c.fresh >= 0
}

// hunk reads exactly as many lines as its head says.
func (s *scanner) hunk(at *section, see func(line)) error {
	number, left, err := s.head()
	if err != nil {
		return err
	}
	s.hunks++
	last := max(number+left.fresh-1, 1)
	for left != (counts{}) {
		if s.rest == "" {
			return errors.New("it ends in the middle of a hunk")
		}
		text := s.next()
		if strings.HasPrefix(text, `\`) {
			continue
		}
		l := line{at: at, hunk: s.hunks, sign: ' ', number: min(number, last)}
		if text != "" {
			l.sign, l.text = text[0], text[1:]
		}
		if !left.take(l.sign) {
			return fmt.Errorf("%.60q in a hunk whose head promises other lines", text)
		}
		if l.sign != '-' {
			number++
		}
		see(l)
	}
	if strings.HasPrefix(s.peek(), `\`) {
		s.next()
	}
	return nil
}

// head reads the head of a hunk: where it begins in the file after the change, and its numbers of lines.
func (s *scanner) head() (number int, c counts, err error) {
	head := s.next()
	lines, _, ok := strings.Cut(strings.TrimPrefix(head, "@@ -"), " @@")
	before, after, both := strings.Cut(lines, " +")
	if !ok || !both {
		return 0, c, fmt.Errorf("%.60q is not the head of a hunk", head)
	}
	if _, c.old, err = span(before); err != nil {
		return 0, c, err
	}
	number, c.fresh, err = span(after)
	return number, c, err
}

// span reads "12,3" or "12", which is "12,1".
func span(text string) (at, n int, err error) {
	first, second, ok := strings.Cut(text, ",")
	if !ok {
		second = "1"
	}
	a, errFirst := strconv.ParseUint(first, 10, 31)
	b, errSecond := strconv.ParseUint(second, 10, 31)
	if err := errors.Join(errFirst, errSecond); err != nil {
		return 0, 0, fmt.Errorf("read numbers of a hunk: %w", err)
	}
	return int(a), int(b), nil
}
