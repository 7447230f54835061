package permission

import (
	"errors"
	"fmt"
	"strings"
)

// pattern is a command pattern, word by word: `*` within a word is any text of one word, `*` as the last
// word is any number of words, none included.
type pattern struct {
	words []string
	open  bool // ends in the word *
}

// CheckPattern says what is wrong with a command pattern.
func CheckPattern(text string) error {
	_, err := parse(text)
	return err
}

func parse(text string) (pattern, error) {
	const most = 1024
	if len(text) > most {
		return pattern{}, fmt.Errorf("a command pattern is longer than %d bytes", most)
	}
	l := read(text)
	switch {
	case len(l.commands) == 0:
		return pattern{}, errors.New("a command pattern has no word")
	case l.opaque || strings.ContainsAny(text, "\n\r"):
		return pattern{}, errors.New("a command pattern has an open quote, an expansion or a newline")
	case len(l.commands) > 1 || strings.ContainsAny(unquoted(text), "&|;<>()"):
		return pattern{}, errors.New("a command pattern is one simple command, without operators")
	case assigns(l.commands[0][0]):
		return pattern{}, errors.New("a command pattern begins with its program, not with a variable")
	}
	p := pattern{words: l.commands[0]}
	if last := len(p.words) - 1; p.words[last] == "*" {
		p.words, p.open = p.words[:last], true
	}
	return p, nil
}

// unquoted is the text without what is in quotes.
func unquoted(text string) string {
	var b strings.Builder
	quote := rune(0)
	for _, c := range text {
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		case quote == 0:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// patterns are those that can be read; the policy has checked them.
func patterns(texts []string) []pattern {
	out := make([]pattern, 0, len(texts))
	for _, t := range texts {
		if p, err := parse(t); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func (p pattern) matches(words []string) bool {
	if len(words) < len(p.words) || !p.open && len(words) > len(p.words) {
		return false
	}
	for i, w := range p.words {
		if !covers(w, words[i]) {
			return false
		}
	}
	return true
}

// allows is matches for leave: the program is named in full, nothing is set for it, and what runs other
// commands is allowed only word for word.
func (p pattern) allows(words []string) bool {
	if assigns(words[0]) || !p.matches(words) {
		return false
	}
	return !runsOthers(words) || !p.open && !strings.Contains(strings.Join(p.words, ""), "*")
}

// covers matches one word.
func covers(glob, word string) bool {
	star, back, g, w := -1, 0, 0, 0
	for w < len(word) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, back = g, w
			g++
		case g < len(glob) && glob[g] == word[w]:
			g, w = g+1, w+1
		case star >= 0:
			back++
			g, w = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}
