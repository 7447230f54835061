package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/patch"
	"github.com/drawspan/drawspan/sdk/tree"
)

const (
	maxSource = 16 << 20  // bytes of a source; a larger one is taken by its lines alone
	maxWork   = 5_000_000 // lines of blocks that are looked at
)

// addedLines are the numbers of the lines that a change added, by path and in order.
func addedLines(c *sdk.Check, needed bool) (map[string][]int, error) {
	if c.PatchCut && needed {
		return nil, errors.New("changed_floor needs the whole patch, and this change is too large for it")
	}
	lines := map[string][]int{}
	if c.PatchCut {
		return lines, nil
	}
	files, err := patch.Parse(c.Patch)
	if err != nil && needed {
		return nil, err
	}
	for _, f := range files {
		for _, l := range f.Added {
			lines[f.New] = append(lines[f.New], l.Number)
		}
	}
	for _, numbers := range lines {
		slices.Sort(numbers)
	}
	return lines, nil
}

// source is the text of a file, line by line; none where it cannot be had.
func source(root *os.Root, name string) [][]byte {
	text, err := tree.Read(root, name, maxSource)
	if err != nil {
		return nil
	}
	return bytes.Split(text, []byte("\n"))
}

// run tells of the lines that hold code whether it was run: a line with anything that was not run was not.
func run(blocks []block, lines [][]byte, numbers []int, work *int) (map[int]bool, error) {
	states := map[int]bool{}
	for _, b := range blocks {
		if b.statements == 0 {
			continue
		}
		for i := sort.SearchInts(numbers, b.line); i < len(numbers) && numbers[i] <= b.endLine; i++ {
			if *work++; *work > maxWork {
				return nil, fmt.Errorf("its blocks overlap too much: %w", errTooMuch)
			}
			number := numbers[i]
			if number <= len(lines) && !code(b.part(number, lines[number-1])) {
				continue
			}
			earlier, known := states[number]
			states[number] = b.count > 0 && (earlier || !known)
		}
	}
	return states, nil
}

// part is what of a line is in the block. Columns count bytes from 1, and the last one is not in it.
func (b block) part(number int, line []byte) []byte {
	from, to := 0, len(line)
	if b.column == 0 {
		return line
	}
	if number == b.endLine {
		to = min(to, max(0, b.endColumn-1))
	}
	if number == b.line {
		from = min(to, max(0, b.column-1))
	}
	return line[from:to]
}

// code tells whether there is more than the edge of a block, a comment or nothing.
func code(part []byte) bool {
	part = bytes.TrimLeft(part, " \t\r{}();,")
	return len(part) > 0 && !bytes.HasPrefix(part, []byte("//"))
}

// shown holds that the patch shows all that was added to what is measured: of a binary file it shows no line.
func (j *judgement) shown(changes []sdk.Change, added map[string][]int) error {
	for _, c := range changes {
		_, measured := j.head.files[c.Path]
		if j.ChangedFloor != nil && measured && c.Op != "delete" && (c.Binary || len(added[c.Path]) != c.Added) {
			return fmt.Errorf("the patch does not show what the change adds to %q", c.Path)
		}
	}
	return nil
}

// change judges the lines that the change added.
func (j *judgement) change(dir string, added map[string][]int) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the tree: %w", err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	work := 0
	for _, name := range slices.Sorted(maps.Keys(added)) {
		blocks, measured := j.head.files[name]
		lines := source(root, name)
		if !measured {
			j.unmeasured(name, lines, added[name])
			continue
		}
		states, err := run(blocks, lines, added[name], &work)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for number, was := range states {
			j.changed.all++
			if was {
				j.changed.run++
			} else {
				j.uncovered = append(j.uncovered, spot{name, number, number})
			}
		}
		j.text[name] = lines
	}
	return nil
}

// unmeasured is about a changed file that no profile speaks of. Where it should, none of its lines was run.
func (j *judgement) unmeasured(name string, lines [][]byte, numbers []int) {
	if !matches(j.Sources, name) || matches(j.Exclude, name) || j.Format == formatGo && !runs(name, lines) {
		return
	}
	j.missing = append(j.missing, name)
	for _, n := range numbers {
		if n > len(lines) || code(lines[n-1]) {
			j.changed.all++
		}
	}
}

// runs tells whether a Go file has anything to run: most that no profile speaks of declare types only.
func runs(name string, lines [][]byte) bool {
	if strings.HasSuffix(name, "_test.go") {
		return false
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", bytes.Join(lines, []byte("\n")), parser.SkipObjectResolution)
	if err != nil {
		return true
	}
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		body, ok := n.(*ast.BlockStmt)
		found = found || ok && len(body.List) > 0
		return !found
	})
	return found
}
