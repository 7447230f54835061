package term

import "strings"

// gap is what stands between two columns of a table.
const gap = "  "

// Table lays rows out in columns. Cells must be clean already; they may be painted.
type Table struct {
	Head []string
	Rows [][]string
	// Flex is the column that gives way when the table is wider than the screen; -1 for none.
	Flex int
}

// Lines lays the table out for a profile: cut to its width on a terminal, whole elsewhere.
func (t Table) Lines(p Profile) []string {
	widths := t.widths()
	if p.Width > 0 && t.Flex >= 0 && t.Flex < len(widths) {
		total := len(gap) * (len(widths) - 1)
		for _, w := range widths {
			total += w
		}
		if over := total - p.Width; over > 0 {
			widths[t.Flex] = max(widths[t.Flex]-over, 8)
		}
	}
	palette := p.Palette()
	lines := make([]string, 0, len(t.Rows)+1)
	if len(t.Head) > 0 {
		head := make([]string, len(t.Head))
		for i, h := range t.Head {
			head[i] = palette.Paint(Faint, h)
		}
		lines = append(lines, row(head, widths, p.Width))
	}
	for _, r := range t.Rows {
		lines = append(lines, row(r, widths, p.Width))
	}
	return lines
}

func (t Table) widths() []int {
	widths := make([]int, len(t.Head))
	for _, r := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(cell))
		}
	}
	return widths
}

func row(cells []string, widths []int, limit int) string {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteString(gap)
		}
		cell = Cut(cell, widths[i])
		if i < len(cells)-1 {
			cell = Pad(cell, widths[i])
		}
		b.WriteString(cell)
	}
	line := strings.TrimRight(b.String(), " ")
	if limit > 0 {
		return Cut(line, limit)
	}
	return line
}

// Node is a line of a tree with what hangs below it. Notes are lines that belong to the node itself.
type Node struct {
	Text  string
	Notes []string
	Kids  []Node
}

// Lines draws the tree. Lines are cut to the profile's width on a terminal.
func (n Node) Lines(p Profile) []string {
	w := treeWriter{limit: p.Width, palette: p.Palette(), tee: "├─ ", last: "└─ ", bar: "│  "}
	if !p.Glyphs {
		w.tee, w.last, w.bar = "|- ", "`- ", "|  "
	}
	w.node(n, "", "")
	return w.lines
}

type treeWriter struct {
	limit          int
	palette        Palette
	tee, last, bar string
	lines          []string
}

func (w *treeWriter) put(prefix, text string) {
	line := w.palette.Paint(Faint, prefix) + text
	if w.limit > 0 {
		line = Cut(line, w.limit)
	}
	w.lines = append(w.lines, line)
}

// node draws n; first leads its own line, rest what is below it.
func (w *treeWriter) node(n Node, first, rest string) {
	w.put(first, n.Text)
	below := rest + "   "
	if len(n.Kids) > 0 {
		below = rest + w.bar
	}
	for _, note := range n.Notes {
		w.put(below, note)
	}
	for i, kid := range n.Kids {
		if i == len(n.Kids)-1 {
			w.node(kid, rest+w.last, rest+"   ")
		} else {
			w.node(kid, rest+w.tee, rest+w.bar)
		}
	}
}
