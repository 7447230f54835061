package cli

import (
	"fmt"
	"strings"

	"github.com/drawspan/drawspan/host/internal/term"
)

// edit is one line of a comparison: kept (' '), removed ('-') or added ('+').
type edit struct {
	op   byte
	text string
	a, b int // line numbers from 1 in the two texts, before this edit
}

// context3 is how many unchanged lines stand around a change.
const context3 = 3

// lineDiff shows two texts as a unified diff; nothing when they are equal.
func (l look) lineDiff(name, a, b string) []string {
	edits := compare(strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n"))
	var lines []string
	for i := 0; i < len(edits); {
		if edits[i].op == ' ' {
			i++
			continue
		}
		from, to := max(0, i-context3), i
		for quiet := 0; to < len(edits) && quiet <= 2*context3; to++ {
			quiet++
			if edits[to].op != ' ' {
				quiet = 0
			}
		}
		for to > i && edits[to-1].op == ' ' && trailing(edits[i:to]) > context3 {
			to--
		}
		lines = append(lines, l.hunk(edits[from:to])...)
		i = to
	}
	if len(lines) == 0 {
		return nil
	}
	return append([]string{l.patchLine("--- " + name), l.patchLine("+++ " + name)}, lines...)
}

func trailing(edits []edit) int {
	n := 0
	for i := len(edits) - 1; i >= 0 && edits[i].op == ' '; i-- {
		n++
	}
	return n
}

func (l look) hunk(edits []edit) []string {
	na, nb := 0, 0
	var body []string
	for _, e := range edits {
		if e.op != '+' {
			na++
		}
		if e.op != '-' {
			nb++
		}
		body = append(body, l.patchLine(string(e.op)+strings.TrimSuffix(e.text, "\n")))
	}
	head := fmt.Sprintf("@@ -%d,%d +%d,%d @@", edits[0].a, na, edits[0].b, nb)
	return append([]string{l.Paint(term.Busy, head)}, body...)
}

// maxCompare bounds the table of compare; larger middles are shown as replaced whole.
const maxCompare = 4 << 20

// compare finds the longest common lines of two texts between their common beginning and end.
func compare(a, b []string) []edit {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	w := diffWriter{}
	w.put(' ', a[:head])
	w.middle(a[head:len(a)-tail], b[head:len(b)-tail])
	w.put(' ', a[len(a)-tail:])
	return w.edits
}

type diffWriter struct {
	edits []edit
	a, b  int
}

func (w *diffWriter) put(op byte, lines []string) {
	for _, text := range lines {
		if text == "" {
			continue // SplitAfter's rest after the last line break
		}
		w.edits = append(w.edits, edit{op, text, w.a + 1, w.b + 1})
		if op != '+' {
			w.a++
		}
		if op != '-' {
			w.b++
		}
	}
}

func (w *diffWriter) middle(a, b []string) {
	if len(a)*len(b) > maxCompare {
		w.put('-', a)
		w.put('+', b)
		return
	}
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			w.put(' ', a[i:i+1])
			i, j = i+1, j+1
		case j == len(b) || (i < len(a) && common[i+1][j] >= common[i][j+1]):
			w.put('-', a[i:i+1])
			i++
		default:
			w.put('+', b[j:j+1])
			j++
		}
	}
}
