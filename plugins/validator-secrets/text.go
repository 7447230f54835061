package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
	"unicode/utf16"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/patch"
	"github.com/drawspan/drawspan/sdk/tree"
)

// The git modes that matter here.
const (
	modeLink    = "120000"
	modeGitlink = "160000"
)

// gap stands between added lines that are no neighbours, so that no secret is read across.
const gap = "\x00"

// text is what is looked at of one path.
type text struct {
	path    string
	raw     string
	starts  []int // where each line of raw begins
	numbers []int // their numbers in the file; nil: as they come
	name    bool  // raw is the path itself
}

func newText(path, raw string, numbers []int) text {
	if !strings.HasSuffix(raw, "\n") {
		raw += "\n"
	}
	t := text{path: path, raw: raw, numbers: numbers, starts: make([]int, 0, 1+strings.Count(raw, "\n"))}
	for at := 0; at < len(raw); {
		t.starts = append(t.starts, at)
		at += strings.IndexByte(raw[at:], '\n') + 1
	}
	return t
}

// line is the number in the file of the line that holds an offset of raw.
func (t text) line(offset int) int {
	i := sort.SearchInts(t.starts, offset+1) - 1
	switch {
	case t.name || i < 0:
		return 0
	case t.numbers == nil:
		return i + 1
	}
	return t.numbers[min(i, len(t.numbers)-1)]
}

// gather collects what the change adds, in the order of the changes.
func gather(c *sdk.Check, s settings) ([]text, error) {
	shown, err := readPatch(c)
	if err != nil {
		return nil, err
	}
	tree := files{dir: c.Tree, most: int64(*s.MaxFileBytes)}
	defer tree.close()
	var all []text
	for _, change := range c.Changes {
		allowed := slices.ContainsFunc(s.AllowPaths, func(glob string) bool { return doublestar.MatchUnvalidated(glob, change.Path) })
		if allowed || change.Op == "delete" || change.Op == "mode" || change.NewMode == modeGitlink {
			continue
		}
		if change.Op == "add" {
			named := newText(change.Path, change.Path, nil)
			named.name = true
			all = append(all, named)
		}
		t, err := contents(change, shown[change.Path], &tree)
		if err != nil {
			return nil, err
		}
		if t.raw != "\n" {
			all = append(all, t)
		}
	}
	return all, nil
}

// readPatch is what the patch adds to each path. Of one that was cut, an unfinished line or hunk is left out: the
// caller compares with the host's counts.
func readPatch(c *sdk.Check) (map[string][]patch.Line, error) {
	data := c.Patch
	if c.PatchCut {
		data = data[:bytes.LastIndexByte(data, '\n')+1]
	}
	files, err := patch.Parse(data)
	if err != nil && c.PatchCut {
		files, err = patch.Parse(data[:bytes.LastIndex(data, []byte("\ndiff --git "))+1])
	}
	if err != nil {
		return nil, err
	}
	all := make(map[string][]patch.Line, len(files))
	for _, f := range files {
		all[f.New] = append(all[f.New], f.Added...)
	}
	return all, nil
}

// contents is what a change adds to its file. The patch is enough where it shows as many lines as the host counted.
func contents(c sdk.Change, shown []patch.Line, tree *files) (text, error) {
	switch {
	case !c.Binary && len(shown) == c.Added:
		return join(c.Path, shown), nil
	case c.NewMode == modeLink:
		return newText(c.Path, c.Link, nil), nil
	}
	raw, err := tree.read(c.Path)
	if err != nil {
		return text{}, err
	}
	return newText(c.Path, raw, nil), nil
}

func join(path string, lines []patch.Line) text {
	var b strings.Builder
	var numbers []int
	for i, line := range lines {
		if i > 0 && line.Number != lines[i-1].Number+1 {
			b.WriteString(gap + "\n")
			numbers = append(numbers, line.Number)
		}
		b.WriteString(line.Text)
		b.WriteByte('\n')
		numbers = append(numbers, line.Number)
	}
	return newText(path, b.String(), numbers)
}

// files reads the tree under judgement.
type files struct {
	dir  string
	most int64
	root *os.Root
}

func (f *files) close() {
	if f.root != nil {
		f.root.Close() // it was only read
	}
}

// read is a file of the tree as text. A file that cannot be looked at is an error: silence would be a pass.
func (f *files) read(name string) (string, error) {
	if f.dir == "" {
		return "", fmt.Errorf("the patch does not show all of %q, and there is no tree to read it from: it cannot be judged", name)
	}
	if f.root == nil {
		root, err := os.OpenRoot(f.dir)
		if err != nil {
			return "", fmt.Errorf("open the tree under judgement: %w", err)
		}
		f.root = root
	}
	raw, err := tree.Read(f.root, name, f.most)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%q is changed, but not in the tree under judgement", name)
	case errors.Is(err, tree.ErrNotFile):
		return "", fmt.Errorf("%q is no regular file, and the patch does not show what it is", name)
	case errors.Is(err, tree.ErrTooLarge):
		return "", fmt.Errorf("%q has %w; raise max_file_bytes, or exempt it by allow_paths", name, err)
	case err != nil:
		return "", fmt.Errorf("read %q: %w", name, err)
	}
	return decode(raw), nil
}

// decode turns UTF-16 into UTF-8: for git it is binary, for a program it is a text with a key in it. Everything
// else stays as it is.
func decode(raw []byte) string {
	order := utf16Order(raw)
	if order == nil {
		return string(raw)
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = order.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units))
}

// utf16Order guesses by the byte order mark, or by where the zero bytes of western letters are.
func utf16Order(raw []byte) binary.ByteOrder {
	const sample = 512
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}):
		return binary.LittleEndian
	case bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		return binary.BigEndian
	}
	zeros := [2]int{}
	seen := raw[:min(len(raw), sample)]
	for i, c := range seen {
		if c == 0 {
			zeros[i%2]++
		}
	}
	half := len(seen) / 4 // half of the bytes at such places
	switch {
	case zeros[1] > half && zeros[0] == 0:
		return binary.LittleEndian
	case zeros[0] > half && zeros[1] == 0:
		return binary.BigEndian
	}
	return nil
}
