package main

import (
	"slices"
	"strings"
)

// maxDiff bounds the diff of a step.
const maxDiff = 4 << 20

// find is the diff in a step's text: the whole text, what begins at its first line of a diff, or the one
// fenced block that holds one.
func find(text string) (string, error) {
	switch {
	case len(text) > maxDiff:
		return "", refuse("the text has %d bytes; a diff has at most %d", len(text), maxDiff)
	case strings.ContainsRune(text, 0):
		return "", refuse("the text holds zero bytes: a diff of binary files is not applied")
	}
	if at := begins(text); at == 0 {
		return text, nil
	}
	fenced, open := blocks(text)
	switch {
	case len(fenced) == 1 && !open:
		return fenced[0], nil
	case len(fenced) > 1:
		return "", refuse("the text holds %d fenced diffs; exactly one is applied", len(fenced))
	case open:
		return "", refuse("the fenced diff of the text has no end")
	}
	if at := begins(text); at > 0 {
		return text[at:], nil
	}
	return "", refuse("the text holds no diff: it must be one, or hold one between lines of ```diff and ```")
}

// begins is where the first header of a diff begins, -1 for nowhere. What stands before it in its first
// lines, as the message of a mail, is not looked at.
func begins(text string) int {
	at := 0
	for line := range strings.Lines(text) {
		next := text[at+len(line):]
		if strings.HasPrefix(line, "diff --git ") || strings.HasPrefix(line, "--- ") && strings.HasPrefix(next, "+++ ") {
			if strings.TrimSpace(text[:at]) == "" {
				return 0
			}
			return at
		}
		at += len(line)
	}
	return -1
}

// blocks are the fenced blocks that are called a diff or begin like one; open tells of one without an end.
// Lines of a diff never begin with a fence: they begin with a sign or a space.
func blocks(text string) (all []string, open bool) {
	fence, from, at := "", 0, 0
	named := false
	diff := func(body string) bool { return named || begins(body) == 0 }
	for line := range strings.Lines(text) {
		bare := strings.TrimRight(line, " \t\r\n")
		switch marks := marksOf(bare); {
		case fence == "" && marks != "":
			word := strings.ToLower(strings.TrimSpace(bare[len(marks):]))
			fence, from, named = marks, at+len(line), slices.Contains([]string{"diff", "patch"}, word)
		case closes(bare, fence):
			if body := text[from:at]; diff(body) {
				all = append(all, body)
			}
			fence = ""
		}
		at += len(line)
	}
	return all, fence != "" && diff(text[from:])
}

// closes tells of a line that ends an open fence.
func closes(line, fence string) bool {
	return fence != "" && marksOf(line) == line && strings.HasPrefix(line, fence)
}

// marksOf is the fence that a line begins with.
func marksOf(line string) string {
	for _, mark := range []string{"`", "~"} {
		if marks := line[:len(line)-len(strings.TrimLeft(line, mark))]; len(marks) >= 3 {
			return marks
		}
	}
	return ""
}
