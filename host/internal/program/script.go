package program

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

// runner is what runs a script.
type runner struct {
	at     Shown
	shown  string // as it is called inside: a link of the system keeps its name, by which some programs know what to be
	digest string
}

// maxLine is how much of a script's first line counts; the kernel takes 256 bytes.
const maxLine = 256

// interpreter finds what runs a script; nil for a binary.
func (f *Finder) interpreter(w Want, file place, src *os.File) (*runner, error) {
	head := make([]byte, maxLine)
	n, err := src.ReadAt(head, 0) // a short file ends in io.EOF
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, refused(w, file.path, "%v", err)
	}
	if n == 0 {
		return nil, refused(w, file.path, "it is empty")
	}
	name, script := shebang(head[:n])
	switch {
	case !script:
		return nil, nil //nolint:nilnil // a binary has none
	case name == "":
		return nil, refused(w, file.path, "its first line names no interpreter")
	}
	return f.runner(w, file, name)
}

func (f *Finder) runner(w Want, file place, name string) (*runner, error) {
	need := Want{Name: name, Declared: w.Declared, Roots: w.Roots}
	at, err := f.search(need)
	if err != nil {
		known := fault.From(err)
		if known.Code == fault.ProgramMissing {
			return nil, fault.Wrap(err, fault.ProgramMissing, "program %s needs %s, which is not installed", filepath.Base(w.Name), name).
				At(file.path).Fix("install %s, or put it into the daemon's PATH; then run: drawspan plugin lock", filepath.Base(name))
		}
		return nil, err
	}
	defer at.close()
	src, err := at.open()
	if err != nil {
		return nil, missing(need, err)
	}
	defer closeFile(src)
	out := &runner{at: at.shown(), shown: at.path}
	if filepath.IsAbs(name) && f.system(at.path) && f.inSystem(name) {
		out.shown = filepath.Clean(name)
	}
	if out.digest, err = f.digest(src); err != nil {
		return nil, refused(need, at.path, "%v", err)
	}
	return out, nil
}

// inSystem reports a path that leads to the same place inside, by the links that a system's view has.
func (f *Finder) inSystem(name string) bool {
	real, err := filepath.EvalSymlinks(filepath.Dir(name))
	return err == nil && f.system(filepath.Join(real, filepath.Base(name)))
}

// shebang reads a script's first line: the interpreter, or what env would look for. Options of the
// interpreter are not taken over.
func shebang(head []byte) (name string, script bool) {
	line, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		return "", false
	}
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	words := strings.Fields(string(line))
	if len(words) == 0 || strings.ContainsRune(words[0], 0) {
		return "", true
	}
	if filepath.Base(words[0]) != "env" {
		if !filepath.IsAbs(words[0]) {
			return "", true
		}
		return words[0], true
	}
	at := slices.IndexFunc(words[1:], func(word string) bool { return !strings.HasPrefix(word, "-") && !strings.ContainsAny(word, "=\x00") })
	if at < 0 {
		return "", true
	}
	return words[1+at], true
}
