package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/patch"
	"github.com/drawspan/drawspan/sdk/tree"
)

// item is a result with its place in a tree and the text that stands there.
type item struct {
	result
	path    string // "" for none inside the tree
	content string // of its line, normalised; its message where there is no line
	changed bool   // it is on what the change added
	known   bool   // the base has it too
}

// The bounds of the text that is looked at.
const (
	maxSource = 16 << 20 // bytes of a file; beyond them lines have no text
	maxLine   = 4 << 10
)

// locate gives every result its path and the text of its line, file after file.
func locate(r report, p placer) []item {
	items := make([]item, 0, len(r.results))
	for _, one := range r.results {
		i := item{result: one, content: normal(one.message)}
		i.path, _ = p.place(one.uri)
		if i.path == "" {
			i.line, i.end = 0, 0
		}
		items = append(items, i)
	}
	slices.SortStableFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.line, b.line), cmp.Compare(a.rule, b.rule), cmp.Compare(a.message, b.message))
	})
	for from := 0; from < len(items); {
		to := from + 1
		for to < len(items) && items[to].path == items[from].path {
			to++
		}
		if items[from].path != "" {
			quote(items[from:to], p.root)
		}
		from = to
	}
	return items
}

// quote reads the lines of results that are all in one file, in the order of their lines.
func quote(items []item, root *os.Root) {
	f, err := tree.Open(root, items[0].path)
	if err != nil {
		return // a result of a file that is not there keeps its message
	}
	defer f.Close() //nolint:errcheck // it was only read
	in := bufio.NewReader(io.LimitReader(f, maxSource))
	number, text := 0, ""
	for i := range items {
		for number < items[i].line {
			line, err := readLine(in)
			if err != nil {
				return
			}
			number, text = number+1, line
		}
		if items[i].line > 0 {
			items[i].content = normal(text)
		}
	}
}

// readLine is the next line, of which a long one is cut.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		piece, err := in.ReadSlice('\n')
		line = append(line, piece[:min(len(piece), maxLine-len(line))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
			return string(line), nil
		default:
			return "", err
		}
	}
}

// normal is a text without what an edit of its indentation changes.
func normal(text string) string { return strings.Join(strings.Fields(text), " ") }

// changes are what the change under judgement added.
type changes struct {
	lines   map[string]map[int]bool
	files   map[string]bool
	unseen  map[string]bool   // those whose lines the patch does not show: any may be new
	renamed map[string]string // old paths to new ones
}

// changedOf reads the patch. Only where lines decide must it be whole.
func changedOf(c *sdk.Check, needed bool) (changes, error) {
	out := changes{lines: map[string]map[int]bool{}, files: map[string]bool{}, unseen: map[string]bool{}, renamed: map[string]string{}}
	for _, change := range c.Changes {
		out.files[change.Path] = true
		out.renamed[change.OldPath] = change.Path
	}
	delete(out.renamed, "") // what was not renamed
	switch {
	case c.PatchCut && needed:
		return changes{}, errors.New("only_changed needs the whole patch, and this change is too large for it")
	case c.PatchCut:
		return out, nil
	}
	files, err := patch.Parse(c.Patch)
	if err != nil && needed {
		return changes{}, err
	}
	for _, f := range files {
		out.lines[f.New] = map[int]bool{}
		for _, l := range f.Added {
			out.lines[f.New][l.Number] = true
		}
	}
	for _, change := range c.Changes {
		out.unseen[change.Path] = change.Binary || len(out.lines[change.Path]) != change.Added
	}
	return out, nil
}

// has tells whether a result is on what the change added. One without a line, or whose lines the patch does not
// show, is where its file was changed, and one without a file is everywhere.
func (c changes) has(i item) bool {
	switch {
	case i.path == "":
		return true
	case i.line == 0 || c.unseen[i.path]:
		return c.files[i.path]
	}
	added := c.lines[i.path]
	if i.end-i.line < len(added) {
		for n := i.line; n <= i.end; n++ {
			if added[n] {
				return true
			}
		}
		return false
	}
	for n := range added {
		if n >= i.line && n <= i.end {
			return true
		}
	}
	return false
}

// key is what makes results the same one, but for how often they occur.
type key struct{ rule, path, content string }

func (i item) key() key { return key{i.rule, i.path, i.content} }

// match marks the results that the base has too: first by the analyser's own fingerprints, then by what
// stands in their lines. A result of the base accounts for one result, and rather for one that the change
// did not touch.
func match(head, base []item, renamed map[string]string) {
	for i := range base {
		if to, ok := renamed[base[i].path]; ok {
			base[i].path = to
		}
	}
	order := make([]int, len(head))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareBool(head[a].changed, head[b].changed) })
	index := newIndex(base)
	for _, h := range order {
		for _, p := range head[h].prints {
			if !head[h].known {
				one := place{head[h].rule, head[h].path, p}
				index.printed[one] = index.pick(&head[h], index.printed[one], 1)
			}
		}
	}
	for _, h := range order {
		if k := head[h].key(); !head[h].known {
			index.alike[k] = index.pick(&head[h], index.alike[k], 0)
		}
	}
}

// index finds the results of the base.
type index struct {
	base    []item
	used    []bool
	printed map[place][]int // by one of their fingerprints
	alike   map[key][]int
}

// place is one fingerprint of the analyser. The path is part of it, since a fingerprint of another file that
// happens to be equal would hide a result.
type place struct{ rule, path, print string }

func newIndex(base []item) *index {
	x := &index{base: base, used: make([]bool, len(base)), printed: map[place][]int{}, alike: map[key][]int{}}
	for i, b := range base {
		x.alike[b.key()] = append(x.alike[b.key()], i)
		for _, p := range b.prints {
			at := place{b.rule, b.path, p}
			x.printed[at] = append(x.printed[at], i)
		}
	}
	return x
}

// maxAlike bounds how many results of the base are compared with one. Beyond it a result counts as new.
const maxAlike = 2000

// pick marks the first of the candidates that is the same result, and returns those that are left.
func (x *index) pick(head *item, candidates []int, least int) []int {
	looked := 0
	for n := 0; n < len(candidates) && looked < maxAlike; {
		b := candidates[n]
		switch {
		case x.used[b] && n == 0:
			candidates = candidates[1:]
		case x.used[b], agree(*head, x.base[b]) < least:
			n, looked = n+1, looked+1
		default:
			head.known, x.used[b] = true, true
			return candidates
		}
	}
	return candidates
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// agree compares the fingerprints that two results both have: 1 when all are equal, -1 when one is not, 0
// when they have none in common.
func agree(a, b item) int {
	if len(a.prints) == 0 || len(b.prints) == 0 {
		return 0
	}
	of := map[string]string{}
	for _, p := range a.prints {
		name, value, _ := strings.Cut(p, "\x00")
		of[name] = value
	}
	shared := 0
	for _, p := range b.prints {
		name, value, _ := strings.Cut(p, "\x00")
		switch known, ok := of[name]; {
		case ok && known != value:
			return -1
		case ok:
			shared = 1
		}
	}
	return shared
}

// fingerprints gives every result one that stays when its line moves.
func fingerprints(items []item) []string {
	count := map[key]int{}
	out := make([]string, len(items))
	for i, one := range items {
		k := one.key()
		sum := sha256.Sum256([]byte(strings.Join([]string{k.rule, k.path, k.content, strconv.Itoa(count[k])}, "\x00")))
		out[i] = hex.EncodeToString(sum[:16])
		count[k]++
	}
	return out
}

// believed tells whether one of the kinds of suppression is accepted.
func believed(kinds, accepted []string) bool {
	return slices.ContainsFunc(kinds, func(kind string) bool { return slices.Contains(accepted, kind) })
}
