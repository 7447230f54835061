package main

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"

	"github.com/bmatcuk/doublestar/v4"
)

// profile is what one file of a profile says: blocks by the name that it gives to a source.
type profile struct {
	blocks map[string][]block
	roots  []string // directories that names may be relative to
}

// place is a range of a source. Without columns it is of whole lines.
type place struct{ line, column, endLine, endColumn int }

// block is a place with statements that are run together.
type block struct {
	place
	statements int
	count      uint64
}

const (
	maxLine       = 1 << 28
	maxStatements = 1 << 20 // of a block
)

// sound holds a block to what a source can have.
func (b block) sound() bool {
	ordered := b.line < b.endLine || b.line == b.endLine && b.column <= b.endColumn
	return b.line >= 1 && b.column >= 0 && ordered && b.endLine <= maxLine && b.endColumn <= maxLine &&
		b.statements >= 0 && b.statements <= maxStatements
}

// line is a block of one line, for formats that know lines only.
func lineBlock(number int, hits uint64) block {
	return block{place: place{line: number, endLine: number}, statements: 1, count: hits}
}

// figures are what a run measured, by path in the tree.
type figures struct {
	files map[string][]block
}

// share is how much was run.
type share struct{ run, all int }

func (s share) percent() float64 {
	if s.all == 0 {
		return 100
	}
	return 100 * float64(s.run) / float64(s.all)
}

// below compares exactly enough: a floor of 66.6 is not missed by the last bit of a number.
func (s share) below(floor float64) bool {
	return s.all > 0 && 100*float64(s.run)+1e-6 < floor*float64(s.all)
}

func shareOf(blocks []block) share {
	var s share
	for _, b := range blocks {
		s.all += b.statements
		if b.count > 0 {
			s.run += b.statements
		}
	}
	return s
}

func (f figures) total() share {
	var t share
	for _, blocks := range f.files {
		s := shareOf(blocks)
		t.run, t.all = t.run+s.run, t.all+s.all
	}
	return t
}

// sum adds profiles up: what several of them say of one place is added.
type sum struct {
	files  map[string]map[place]block
	blocks int
	names  int // of sources, also those outside of the tree
}

func newSum() *sum { return &sum{files: map[string]map[place]block{}} }

func (s *sum) add(p profile, finder *finder) error {
	for name, blocks := range p.blocks {
		s.names++
		at, ok := finder.find(name, p.roots)
		if !ok || finder.excluded(at) {
			continue
		}
		if s.files[at] == nil {
			s.files[at] = map[place]block{}
		}
		for _, b := range blocks {
			known, twice := s.files[at][b.place]
			switch {
			case twice && known.statements != b.statements:
				return fmt.Errorf("%s line %d has %d statements, and %d elsewhere: %w", name, b.line, b.statements, known.statements, errBroken)
			case !twice:
				s.blocks++
			}
			b.count += min(known.count, math.MaxUint64-b.count)
			s.files[at][b.place] = b
		}
		if s.blocks > maxBlocks {
			return fmt.Errorf("more than %d blocks: %w", maxBlocks, errTooMuch)
		}
	}
	return nil
}

// figures are the sum, in the order of places. A sum of nothing measured nothing.
func (s *sum) figures() (figures, error) {
	f := figures{files: map[string][]block{}}
	for name, blocks := range s.files {
		for _, b := range blocks {
			f.files[name] = append(f.files[name], b)
		}
		slices.SortFunc(f.files[name], func(a, b block) int {
			return slices.Compare([]int{a.line, a.column, a.endLine, a.endColumn}, []int{b.line, b.column, b.endLine, b.endColumn})
		})
	}
	switch {
	case s.names == 0:
		return figures{}, errors.New("the profiles are empty: nothing was measured")
	case f.total().all == 0:
		return figures{}, fmt.Errorf("none of the %d files in the profiles counts: they are not in the tree, excluded, or empty", s.names)
	}
	return f, nil
}

// matches tells whether a path matches one of the globs.
func matches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool { return doublestar.MatchUnvalidated(glob, path.Clean(name)) })
}
