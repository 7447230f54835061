package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/tree"
)

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const goProfile = "mode: count\nexample.org/m/a.go:3.12,5.2 2 1\nexample.org/m/a.go:5.2,6.3 1 0\n"

func TestRealProfilesAreRead(t *testing.T) {
	for name, read := range map[string]func(io.Reader) (profile, error){"node.info": readLCOV, "c8.xml": readCobertura} {
		p, err := read(bytes.NewReader(recorded(t, name)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		dir := sdktest.Tree(t, files{"src/sign.js": string(recorded(t, "sign.js"))})
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		find, err := newFinder(root, settings{})
		if err != nil {
			t.Fatal(err)
		}
		s := newSum()
		if err := s.add(p, find); err != nil {
			t.Fatal(err)
		}
		f, err := s.figures()
		if err != nil || f.total() != (share{11, 13}) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		work := 0
		states, err := run(f.files["src/sign.js"], source(root, "src/sign.js"), []int{1, 2, 6, 7, 8, 9, 10}, &work)
		if want := map[int]bool{1: true, 7: true, 8: false, 10: true}; err != nil || !maps.Equal(states, want) {
			t.Errorf("%s: lines are %v, %v, want %v", name, states, err, want)
		}
	}
}

func TestALineIsRunWhereAllOfItsCodeIs(t *testing.T) {
	lines := bytes.Split([]byte("func f() {\n\tif a() { b() }\n\t// why\n\n\tc(\n\t\td)\n} // end\n"), []byte("\n"))
	at := func(line, column, endLine, endColumn int, count uint64) block {
		return block{place{line, column, endLine, endColumn}, 1, count}
	}
	work := 0
	states, err := run([]block{at(1, 10, 2, 10, 1), at(2, 10, 2, 15, 0), at(5, 2, 7, 2, 3)}, lines, []int{1, 2, 3, 4, 5, 6, 7, 90}, &work)
	want := map[int]bool{2: false, 5: true, 6: true}
	if err != nil || !maps.Equal(states, want) {
		t.Errorf("lines are %v, %v, want %v", states, err, want)
	}
}

// F9: what is no whole profile is refused, and none can make the reader use more than its bounds.
func TestF9_BrokenAndHostileProfilesAreRefused(t *testing.T) {
	const top, end = `<coverage><packages><package><classes><class filename="a"><lines>`, `</lines></class></classes></package></packages></coverage>`
	lolz := `<!DOCTYPE c [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>`
	for name, c := range map[string]struct {
		read func(io.Reader) (profile, error)
		text string
	}{
		"go: no mode":            {readGo, "example.org/a.go:1.1,2.2 1 1\n"},
		"go: a cut line":         {readGo, goProfile[:len(goProfile)-5]},
		"go: another mode":       {readGo, "mode: set\nmode: set\n"},
		"go: backwards":          {readGo, "mode: set\na.go:5.1,2.2 1 1\n"},
		"go: line zero":          {readGo, "mode: set\na.go:0.1,2.2 1 1\n"},
		"go: huge lines":         {readGo, "mode: set\na.go:1.1,999999999999.2 1 1\n"},
		"go: huge statements":    {readGo, "mode: set\na.go:1.1,2.2 999999999999 1\n"},
		"go: numbers overflow":   {readGo, "mode: set\na.go:1.1,2.2 1 99999999999999999999999\n"},
		"go: disagrees":          {readGo, "mode: set\na.go:1.1,2.2 1 1\na.go:1.1,2.2 2 1\n"},
		"go: a line too long":    {readGo, "mode: set\n" + strings.Repeat("a", 1<<20)},
		"lcov: HTML":             {readLCOV, "<html>\n"},
		"lcov: a line of none":   {readLCOV, "DA:1,1\n"},
		"lcov: nested":           {readLCOV, "SF:a\nSF:b\nend_of_record\n"},
		"lcov: without a name":   {readLCOV, "SF:\nend_of_record\n"},
		"lcov: no end":           {readLCOV, "SF:a\nDA:1,1\n"},
		"lcov: an end of none":   {readLCOV, "end_of_record\n"},
		"lcov: negative":         {readLCOV, "SF:a\nDA:1,-1\nend_of_record\n"},
		"lcov: line zero":        {readLCOV, "SF:a\nDA:0,1\nend_of_record\n"},
		"lcov: no hits":          {readLCOV, "SF:a\nDA:1\nend_of_record\n"},
		"lcov: huge line":        {readLCOV, "SF:a\nDA:99999999999,1\nend_of_record\n"},
		"lcov: a line too long":  {readLCOV, "SF:" + strings.Repeat("a", 2<<20)},
		"xml: nothing":           {readCobertura, ""},
		"xml: another root":      {readCobertura, "<report/>"},
		"xml: two":               {readCobertura, "<coverage/><coverage/>"},
		"xml: text behind":       {readCobertura, "<coverage/>x"},
		"xml: cut":               {readCobertura, top + `<line number="1" hits="1"/>`},
		"xml: an entity":         {readCobertura, strings.Replace(top, "filename=\"a\"", "filename=\"&c;\"", 1) + end},
		"xml: billion laughs":    {readCobertura, lolz + top + "&c;" + end},
		"xml: an external one":   {readCobertura, `<!DOCTYPE c [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + top + end},
		"xml: another encoding":  {readCobertura, `<?xml version="1.0" encoding="UTF-16"?>` + top + end},
		"xml: a class of none":   {readCobertura, `<coverage><class/></coverage>`},
		"xml: a line of none":    {readCobertura, `<coverage><line number="1" hits="1"/></coverage>`},
		"xml: no hits":           {readCobertura, top + `<line number="1"/>` + end},
		"xml: negative":          {readCobertura, top + `<line number="1" hits="-1"/>` + end},
		"xml: nested":            {readCobertura, strings.Repeat("<coverage>", 100_000)},
		"xml: a foreign element": {readCobertura, top + `<line number="1" hits="1"></lines>`},
	} {
		if p, err := c.read(strings.NewReader(c.text)); !errors.Is(err, errBroken) && !errors.Is(err, tree.ErrTooLarge) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	for format, read := range readers() {
		flood := io.MultiReader(strings.NewReader(map[string]string{formatGo: "mode: set\n", formatCobertura: "<coverage>"}[format]), endless{})
		if _, err := read(tree.AtMost(flood, 1<<20)); !errors.Is(err, tree.ErrTooLarge) && !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

func TestSumsAreBounded(t *testing.T) {
	root, err := os.OpenRoot(sdktest.Tree(t, files{"a": ""}))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	find, err := newFinder(root, settings{})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]block, maxBlocks+1)
	for i := range many {
		many[i] = lineBlock(i+1, 1)
	}
	if err := newSum().add(profile{blocks: map[string][]block{"a": many}}, find); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("add = %v", err)
	}
	wide := block{place: place{line: 1, endLine: maxLine}, statements: 1}
	numbers, work := make([]int, 3_000), 0
	for i := range numbers {
		numbers[i] = i + 1
	}
	if _, err := run(slices.Repeat([]block{wide}, 3_000), nil, numbers, &work); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("run = %v", err)
	}
}

// F9: a profile names no file outside of the tree.
func TestF9_SourcesAreFoundInTheTreeOnly(t *testing.T) {
	dir := sdktest.Tree(t, files{
		"go.mod": "module example.org/m\n", "a.go": "", "sub/go.mod": "module example.org/m/sub // nested\n", "sub/b.go": "", "sub/pkg/a.py": "",
		"twice/go.mod": "module example.org/m\n", "twice/c.go": "", "odd/go.mod": "module ../..\n",
	})
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link.go")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := newFinder(root, settings{Format: formatGo, Dir: "sub"})
	if err != nil {
		t.Fatal(err)
	}
	roots := []string{dir + "/sub/pkg", "/etc", "../.."}
	for name, want := range map[string]string{
		"example.org/m/a.go": "a.go", "example.org/m/sub/b.go": "sub/b.go", "b.go": "sub/b.go", "./b.go": "sub/b.go", "a.py": "sub/pkg/a.py",
		"a.go": "a.go", dir + "/a.go": "a.go", "sub/b.go": "sub/b.go", "../a.go": "a.go",
		"example.org/m/link.go": "", "example.org/m/../../../etc/passwd": "", "/etc/passwd": "", "passwd": "", "etc/passwd": "", "example.org/m/etc/passwd": "",
		"example.org/other/a.go": "", "example.org/m": "", "": "", ".": "", "a\x00b": "", strings.Repeat("x", 9000): "", "sub": "",
	} {
		if got, ok := f.find(name, roots); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %t, want %q", name, got, ok, want)
		}
	}
}

func FuzzProfiles(f *testing.F) {
	f.Add(0, []byte(goProfile))
	f.Add(1, recorded(f, "c8.xml"))
	f.Add(2, recorded(f, "node.info"))
	f.Fuzz(func(t *testing.T, which int, text []byte) {
		format := []string{formatGo, formatCobertura, formatLCOV}[uint(which)%3]
		p, err := readers()[format](bytes.NewReader(text))
		if err != nil {
			return
		}
		work := 0
		for name, blocks := range p.blocks {
			for _, b := range blocks {
				if !b.sound() {
					t.Errorf("%s: %+v", name, b)
				}
			}
			if s := shareOf(blocks); s.run > s.all || s.percent() < 0 || s.percent() > 100 {
				t.Errorf("%s: %+v", name, s)
			}
			if _, err := run(blocks, bytes.Split(text, []byte("\n")), []int{1, 2, 3}, &work); err != nil {
				t.Error(err)
			}
		}
	})
}
