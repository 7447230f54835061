package main

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/tools/cover"

	"github.com/drawspan/drawspan/sdk/tree"
)

const (
	maxDepth   = 64 // elements inside of each other
	maxText    = 4 << 10
	maxSources = 100
)

func broken(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errBroken)
}

// kept tells an error of a bound from one of the format.
func kept(err error) error {
	if errors.Is(err, tree.ErrTooLarge) {
		return err
	}
	return broken("%v", err)
}

// readGo reads a cover profile of Go.
func readGo(from io.Reader) (profile, error) {
	files, err := cover.ParseProfilesFromReader(from)
	if err != nil {
		return profile{}, kept(err)
	}
	p := profile{blocks: map[string][]block{}}
	for _, f := range files {
		for _, b := range f.Blocks {
			one := block{place{b.StartLine, b.StartCol, b.EndLine, b.EndCol}, b.NumStmt, uint64(b.Count)}
			if !one.sound() || one.column < 1 || b.Count < 0 {
				return profile{}, broken("%s has a block from %d.%d to %d.%d", clip(f.FileName), b.StartLine, b.StartCol, b.EndLine, b.EndCol)
			}
			p.blocks[f.FileName] = append(p.blocks[f.FileName], one)
		}
	}
	return p, nil
}

// readLCOV reads a tracefile of LCOV. Only its lines count; records about functions and branches are passed
// over, and what is no record is refused.
func readLCOV(from io.Reader) (profile, error) {
	p := profile{blocks: map[string][]block{}}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	source := ""
	for n := 1; lines.Scan(); n++ {
		var err error
		if source, err = p.record(source, strings.TrimRight(lines.Text(), " \r")); err != nil {
			return profile{}, fmt.Errorf("line %d: %w", n, err)
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return profile{}, kept(err)
	case source != "":
		return profile{}, broken("it ends inside of %s", clip(source))
	}
	return p, nil
}

// record takes one record of LCOV, and returns the source that the next one is about.
func (p profile) record(source, line string) (string, error) {
	key, rest, record := strings.Cut(line, ":")
	switch {
	case line == "" || line[0] == '#':
		return source, nil
	case line == "end_of_record" && source != "":
		return "", nil
	case !record || strings.ToUpper(key) != key || key == "":
		return "", broken("no record of LCOV")
	case key == "DA":
		return source, p.lcovLine(source, rest)
	case key != "SF":
		return source, nil
	case source != "" || rest == "":
		return "", broken("a source inside of a source, or without a name")
	}
	p.blocks[rest] = append(p.blocks[rest], []block{}...)
	return rest, nil
}

// lcovLine reads "LINE,HITS" with a checksum that may follow.
func (p profile) lcovLine(source, text string) error {
	parts := strings.Split(text, ",")
	if source == "" || len(parts) < 2 || len(parts) > 3 {
		return broken("a count of no source, or without a line")
	}
	return p.line(source, parts[0], parts[1])
}

// line adds one line of a source.
func (p profile) line(source, number, hits string) error {
	n, errNumber := strconv.Atoi(number)
	count, errHits := strconv.ParseUint(hits, 10, 64)
	one := lineBlock(n, count)
	if errNumber != nil || errHits != nil || !one.sound() {
		return broken("line %q with %q hits", clip(number), clip(hits))
	}
	p.blocks[source] = append(p.blocks[source], one)
	return nil
}

// readCobertura reads Cobertura XML. Entities other than those of XML itself do not exist for it, and a
// document type may not bring any.
func readCobertura(from io.Reader) (profile, error) {
	c := cobertura{profile: profile{blocks: map[string][]block{}}}
	dec := xml.NewDecoder(from)
	for {
		tok, err := dec.Token()
		switch {
		case errors.Is(err, io.EOF) && c.done:
			return c.profile, nil
		case errors.Is(err, io.EOF):
			return profile{}, broken("it has no whole coverage element")
		case err != nil:
			return profile{}, kept(err)
		}
		if err := c.token(tok); err != nil {
			line, _ := dec.InputPos()
			return profile{}, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// cobertura walks the elements of a report.
type cobertura struct {
	profile
	path  []string // the open elements
	files []string // of the open classes
	text  []byte   // of the open source
	done  bool
}

func (c *cobertura) token(tok xml.Token) error {
	switch tok := tok.(type) {
	case xml.Directive:
		if bytes.ContainsAny(tok, "[") {
			return broken("its document type declares something")
		}
	case xml.StartElement:
		return c.start(tok)
	case xml.EndElement:
		c.end()
	case xml.CharData:
		if len(c.path) == 0 && len(bytes.TrimSpace(tok)) > 0 {
			return broken("text outside of the report")
		}
		if c.in("source") && len(c.text) <= maxText {
			c.text = append(c.text, tok...)
		}
	}
	return nil
}

func (c *cobertura) in(name string) bool { return len(c.path) > 0 && c.path[len(c.path)-1] == name }

func (c *cobertura) start(e xml.StartElement) error {
	name := e.Name.Local
	switch {
	case len(c.path) == 0 && (c.done || name != "coverage"):
		return broken("%s is not one coverage element", clip(name))
	case len(c.path) == maxDepth:
		return fmt.Errorf("nested deeper than %d: %w", maxDepth, errTooMuch)
	}
	c.path = append(c.path, name)
	switch name {
	case "class":
		file := attribute(e, "filename")
		if file == "" {
			return broken("a class without a file")
		}
		c.files = append(c.files, file)
		c.blocks[file] = append(c.blocks[file], []block{}...)
	case "line":
		if len(c.files) == 0 {
			return broken("a line outside of a class")
		}
		return c.line(c.files[len(c.files)-1], attribute(e, "number"), attribute(e, "hits"))
	}
	return nil
}

func (c *cobertura) end() {
	switch {
	case c.in("class"):
		c.files = c.files[:len(c.files)-1]
	case c.in("source"):
		if root := strings.TrimSpace(string(c.text)); root != "" && len(c.text) <= maxText && len(c.roots) < maxSources {
			c.roots = append(c.roots, root)
		}
		c.text = nil
	}
	c.path = c.path[:len(c.path)-1]
	c.done = len(c.path) == 0
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// clip keeps a message from holding a file.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}
