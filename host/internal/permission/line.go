package permission

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCommand is how long a command line may be to be read at all, in bytes.
const maxCommand = 32 << 10

// line is a command line as a shell would take it apart, as far as that can be told from its text.
type line struct {
	text     string
	commands [][]string
	// plain: words and quotes, joined by nothing but && || ; and |.
	plain bool
	// opaque: what runs depends on more than the text, or the text cannot be read.
	opaque bool
}

// read takes a command line apart. It never fails: what it does not understand is neither plain nor clear.
func read(text string) line {
	l := line{text: text, plain: true}
	if len(text) > maxCommand || !utf8.ValidString(text) {
		l.plain, l.opaque = false, true
		return l
	}
	s := scanner{l: &l, rest: text}
	s.run()
	if len(l.commands) == 0 {
		l.plain = false
	}
	return l
}

// scanner collects words into commands.
type scanner struct {
	l      *line
	rest   string
	word   []byte
	begun  bool // a word has begun, even an empty quoted one
	varied bool // the shell may make something else of the word
	target bool // the word is where something is redirected to
	words  []string
}

func (s *scanner) run() {
	for s.rest != "" {
		c := s.rest[0]
		s.rest = s.rest[1:]
		switch {
		case c == ' ' || c == '\t':
			s.endWord()
		case c == '\'':
			s.single()
		case c == '"':
			s.double()
		case c == '\\':
			s.escape()
		case strings.IndexByte(";&|\n\r()<>", c) >= 0:
			s.operator(c)
		default:
			s.letter(c)
		}
	}
	s.endCommand(false)
}

// letter is a character outside quotes.
func (s *scanner) letter(c byte) {
	switch {
	case c == '$' || c == '`':
		s.l.opaque = true
		s.vary()
	case strings.IndexByte("*?[]{}!#", c) >= 0, c == '~' && !s.begun, c < ' ' || c == 0x7f:
		s.varied = true
		s.vary()
	}
	s.add(c)
}

func (s *scanner) vary() { s.l.plain = false }

func (s *scanner) add(c byte) { s.word, s.begun = append(s.word, c), true }

func (s *scanner) single() {
	s.begun = true
	inner, rest, closed := strings.Cut(s.rest, "'")
	if !closed {
		s.l.plain, s.l.opaque = false, true
	}
	if strings.ContainsFunc(inner, unicode.IsControl) {
		s.vary()
	}
	s.word, s.rest = append(s.word, inner...), rest
}

func (s *scanner) double() {
	s.begun = true
	for s.rest != "" {
		c := s.rest[0]
		s.rest = s.rest[1:]
		if c == '"' {
			return
		}
		s.word = append(s.word, s.within(c))
	}
	s.l.plain, s.l.opaque = false, true // the quote is never closed
}

// within is a character of a double quote, behind its backslash where it has one.
func (s *scanner) within(c byte) byte {
	switch {
	case c == '$' || c == '`':
		s.l.opaque = true
		s.vary()
	case c == '\\' && s.rest != "" && strings.IndexByte("\"\\$`", s.rest[0]) >= 0:
		c, s.rest = s.rest[0], s.rest[1:]
	case c == '!' || c == '\\' || c < ' ' || c == 0x7f:
		s.vary()
	}
	return c
}

// escape is a backslash outside quotes.
func (s *scanner) escape() {
	if s.rest == "" || s.rest[0] < ' ' {
		s.l.plain, s.l.opaque = false, true
		return
	}
	c := s.rest[0]
	s.rest = s.rest[1:]
	s.add(c)
}

func (s *scanner) operator(c byte) {
	joined := s.rest != "" && s.rest[0] == c
	if c == '<' || c == '>' || c == '&' && strings.HasPrefix(s.rest, ">") {
		s.redirect(joined && c == '<')
		return
	}
	two := string(c)
	if joined {
		two += string(c)
	}
	if !slices.Contains([]string{";", "|", "&&", "||"}, two) {
		s.vary()
	} else if joined {
		s.rest = s.rest[1:]
	}
	s.endCommand(c != '\n' && c != '\r')
}

// redirect passes over a redirection: neither the number before it nor the name after it is a word of the
// command. A document or a process in the place of a name cannot be read here.
func (s *scanner) redirect(document bool) {
	s.vary()
	if strings.Trim(string(s.word), "0123456789") == "" {
		s.word, s.begun = nil, false
	}
	s.endWord()
	s.rest = strings.TrimLeft(s.rest, "<>&|")
	s.target = true
	if document || strings.HasPrefix(s.rest, "(") {
		s.l.opaque = true
	}
}

func (s *scanner) endWord() {
	switch {
	case !s.begun:
		return
	case s.target:
		s.target = false
	default:
		if s.varied && len(s.words) == 0 && len(s.word) > 1 {
			s.l.opaque = true // the shell chooses the program
		}
		s.words = append(s.words, string(s.word))
	}
	s.word, s.begun, s.varied = nil, false, false
}

// endCommand ends a simple command. One without words before an operator is nothing that a plain line has.
func (s *scanner) endCommand(operator bool) {
	s.endWord()
	s.target = false
	if len(s.words) == 0 {
		if operator {
			s.vary()
		}
		return
	}
	s.l.commands = append(s.l.commands, s.words)
	s.words = nil
}

// covered reports whether every simple command of a plain line matches a pattern.
func (l line) covered(all []pattern) bool {
	if !l.plain || l.opaque {
		return false
	}
	return !slices.ContainsFunc(l.commands, func(words []string) bool {
		return !slices.ContainsFunc(all, func(p pattern) bool { return p.allows(words) })
	})
}

// touched says whether any part of the line matches a pattern.
func (l line) touched(all []pattern) verdict {
	found := func(words []string, depth int) bool { return touches(words, all, depth) }
	switch {
	case slices.ContainsFunc(l.commands, func(words []string) bool { return found(words, 2) }):
		return yes
	case l.opaque:
		for _, piece := range strings.FieldsFunc(l.text[:min(len(l.text), maxCommand)], breaks) {
			if found(strings.Fields(piece), 0) {
				return yes
			}
		}
		return unsure
	case slices.ContainsFunc(l.commands, runsOthers):
		return unsure
	}
	return no
}

// breaks are the characters at which a line that cannot be read is cut: a command may begin after each.
func breaks(c rune) bool { return strings.ContainsRune("\"'`$(){};&|<>\n\r", c) }

// touches looks at a simple command without its assignments and its directory, and behind what runs
// others at everything that could be the command it runs, depth times.
func touches(words []string, all []pattern, depth int) bool {
	for len(words) > 0 && assigns(words[0]) {
		words = words[1:]
	}
	if len(words) == 0 {
		return false
	}
	named := append([]string{path.Base(words[0])}, words[1:]...)
	if slices.ContainsFunc(all, func(p pattern) bool { return p.matches(words) || p.matches(named) }) {
		return true
	}
	return depth > 0 && runsOthers(words) && behind(words, all, depth-1)
}

// behind looks at what a command runs: the rest of its words from any on, or any one as a line.
func behind(words []string, all []pattern, depth int) bool {
	const most = 64
	for i := 1; i < min(len(words), most); i++ {
		inner := read(words[i]).commands
		if touches(words[i:], all, depth) || slices.ContainsFunc(inner, func(w []string) bool { return touches(w, all, depth) }) {
			return true
		}
	}
	return false
}

// assigns reports a word that sets a variable for the command after it.
func assigns(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	name = strings.TrimSuffix(name, "+")
	return ok && name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c != '_' && c != '[' && c != ']' && (c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c))
	})
}

// runsOthers reports what runs what its words name: shells, prefixes, and the shell's own words. The list
// cannot be complete; what is not on it is judged by its own name.
func runsOthers(words []string) bool {
	name := path.Base(words[0])
	if bare := strings.TrimRight(name, "0123456789."); bare != "" {
		name = bare
	}
	return assigns(words[0]) || slices.Contains(runners(), name)
}

func runners() []string {
	return []string{
		"sh", "bash", "dash", "zsh", "ksh", "mksh", "fish", "ash", "csh", "tcsh", "busybox", "toybox", "pwsh", "su", "sudo", "doas", "env", "xargs",
		"nohup", "timeout", "nice", "ionice", "setsid", "stdbuf", "unbuffer", "script", "strace", "ltrace", "watch", "parallel", "time",
		"chroot", "unshare", "nsenter", "systemd-run", "flock", "taskset", "chrt", "setpriv", "ssh", "exec", "eval", "command", "builtin",
		"source", ".", "trap", "alias", "find", "fd", "if", "then", "else", "elif", "do", "while", "until", "for", "select", "case", "in",
		"function", "coproc", "!", "{", "[[",
	}
}
