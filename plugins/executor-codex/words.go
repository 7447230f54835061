package main

import (
	"path"
	"slices"
	"strings"
)

// script is what a command line has a shell run: Codex quotes the three words of bash -lc SCRIPT as one
// line. What is not exactly that, or is not understood, stays as it is.
func script(line string) string {
	words, ok := split(line)
	if !ok || len(words) != 3 || words[2] == "" {
		return line
	}
	if !slices.Contains([]string{"sh", "bash", "zsh", "dash"}, path.Base(words[0])) || !slices.Contains([]string{"-c", "-lc"}, words[1]) {
		return line
	}
	return words[2]
}

// split takes a line of quoted words apart, as a shell would that expands nothing. False for a line whose
// words a shell would make something else of.
func split(line string) (words []string, ok bool) {
	var word strings.Builder
	begun := false
	for line != "" {
		c := line[0]
		line = line[1:]
		switch {
		case c == ' ' || c == '\t':
			if begun {
				words, begun = append(words, word.String()), false
				word.Reset()
			}
			continue
		case c == '\'':
			inner, rest, closed := strings.Cut(line, "'")
			if !closed {
				return nil, false
			}
			word.WriteString(inner)
			line = rest
		case c == '"':
			rest, closed := doubleQuoted(&word, line)
			if !closed {
				return nil, false
			}
			line = rest
		case c == '\\' && line != "" && line[0] != '\n':
			word.WriteByte(line[0])
			line = line[1:]
		case strings.IndexByte("\\\n\r;&|<>()$`*?[]{}#~!", c) >= 0:
			return nil, false
		default:
			word.WriteByte(c)
		}
		begun = true
	}
	if begun {
		words = append(words, word.String())
	}
	return words, true
}

// doubleQuoted reads up to the closing quote and returns what is behind it.
func doubleQuoted(word *strings.Builder, line string) (rest string, closed bool) {
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case '"':
			return line[i+1:], true
		case '$', '`':
			return "", false // a shell would put something in its place
		case '\\':
			if i+1 < len(line) && strings.IndexByte("\\\"$`", line[i+1]) >= 0 {
				i++
				word.WriteByte(line[i])
				continue
			}
			word.WriteByte(c)
		default:
			word.WriteByte(c)
		}
	}
	return "", false
}
