package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths, in runes, of what is shown of one text from outside.
const (
	maxPath    = 400
	maxMessage = 1000
	maxReason  = 400
)

// line makes one line of a text from outside: no control or format characters, nothing that ends a line,
// at most so many runes.
func line(s string, most int) string {
	if plain(s) {
		if len(s) > most {
			return s[:most] + "..."
		}
		return s
	}
	var b strings.Builder
	n := 0
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if n++; n > most {
			b.WriteString("...")
			break
		}
		b.WriteString(shown(r, s[:size]))
		s = s[size:]
	}
	return b.String()
}

// shown is one rune of a line.
func shown(r rune, raw string) string {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case r == '\n' || r == '\t':
		return " "
	case r == '\r':
		return ""
	case !unicode.IsPrint(r):
		return fmt.Sprintf(`\u%04x`, r)
	}
	return raw
}

// plain reports whether a text is printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// spoken is a line for a log that a CI system reads along.
func spoken(s string, most int) string { return Spoken(line(s, most)) }

// Spoken takes out of a text what a CI system that reads the log along could take for a command of its own
// wherever it stands in a line: "##[" or "##vso[".
func Spoken(s string) string {
	for strings.Contains(s, "##") {
		s = strings.ReplaceAll(s, "##", "# #")
	}
	return s
}

// maxLines is how many lines of one text from outside are shown.
const maxLines = 20

// linesOf are the lines of a text from outside that say something; what is beyond the last is counted.
func linesOf(s string) []string {
	var out []string
	rest := 0
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimRight(l, " \t\r"); l == "" {
			continue
		}
		if len(out) == maxLines {
			rest++
			continue
		}
		out = append(out, l)
	}
	if rest > 0 {
		out = append(out, fmt.Sprintf("... and %s more", counted(rest, "line")))
	}
	return out
}

// span is text from outside as a Markdown code span, in which nothing means anything: no link, no mention,
// no HTML.
func span(s string, most int) string {
	s = spoken(s, most)
	if strings.TrimSpace(s) == "" {
		return "` `"
	}
	longest, run := 0, 0
	for _, r := range s {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	if s[0] == '`' || s[len(s)-1] == '`' {
		s = " " + s + " "
	}
	return fence + s + fence
}

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// short is the beginning of a commit id.
func short(id string) string { return id[:min(len(id), 12)] }
