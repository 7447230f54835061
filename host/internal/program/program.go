package program

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/drawspan/drawspan/host/fault"
)

// Options say what a Finder may know of the machine.
type Options struct {
	Path     string   // the operator's PATH
	Home     string   // never shown, nor anything that holds it; may be ""
	StateDir string   // the daemon's own; may be ""
	System   []string // directories that every sandbox shows
	UID      int      // the daemon's user
}

// Finder finds programs and remembers what it hashed. Its methods may be called from several goroutines.
type Finder struct {
	opt Options

	hashing sync.Mutex // one file or package at a time: others wait for the same answer
	mu      sync.Mutex
	files   map[identity]string // digest by what the file was
	trees   map[string]content  // by directory
}

// New makes a Finder.
func New(o Options) *Finder {
	for _, p := range []*string{&o.Home, &o.StateDir} {
		if real, err := filepath.EvalSymlinks(*p); err == nil {
			*p = real
		}
	}
	return &Finder{opt: o, files: map[identity]string{}, trees: map[string]content{}}
}

// Want is a program that somebody needs.
type Want struct {
	Name     string   // as it is looked for in PATH, or an absolute path
	Install  string   // a command line that installs it; may be ""
	Declared string   // file:line of what asks for it
	Roots    []string // workspace roots, without links: nothing below them is a program
}

// Found is a program that is there. All paths are absolute and without links.
type Found struct {
	Name   string
	Path   string
	Digest string // "sha256:..." of the file at Path
	// Files is the digest of all that Path needs beside it and that is not the system's: its npm package
	// with what was installed with it, and the interpreter of a script; "" where that is nothing.
	Files       string
	Interpreter string   // what runs a script; "" for a binary
	Shown       []Shown  // what a sandbox has to show, read-only
	Search      []string // directories that come first in PATH inside
}

// Shown is a file or directory, and the identity that it had when it was looked at.
type Shown struct {
	Path     string
	Dev, Ino uint64
}

// Find looks for a program. Every refusal is a fault that says where and what to do next.
func (f *Finder) Find(ctx context.Context, w Want) (Found, error) {
	if w.Name == "" || strings.ContainsRune(w.Name, 0) {
		return Found{}, fault.New(fault.ConfigInvalid, "%.80q is not the name of a program", w.Name).At(w.Declared)
	}
	file, err := f.search(w)
	if err != nil {
		return Found{}, err
	}
	defer file.close()
	return f.describe(ctx, w, file)
}

// describe hashes a program that was opened and decides what has to be shown of it.
func (f *Finder) describe(ctx context.Context, w Want, file place) (Found, error) {
	out := Found{Name: filepath.Base(w.Name), Path: file.path}
	src, err := file.open()
	if err != nil {
		return Found{}, missing(w, err)
	}
	defer closeFile(src)
	if out.Digest, err = f.digest(src); err != nil {
		return Found{}, refused(w, file.path, "%v", err)
	}
	runner, err := f.interpreter(w, file, src)
	if err != nil {
		return Found{}, err
	}
	sum := summary{}
	if runner != nil {
		out.Interpreter = runner.shown
		out.Search = []string{filepath.Dir(runner.shown)}
		if !f.system(runner.at.Path) {
			out.Shown = append(out.Shown, runner.at)
			sum.interpreter = runner.digest
		}
	}
	whole := file.shown()
	if dir := packageOf(file.path); dir != "" {
		if whole, sum.packages, err = f.contents(ctx, dir); err != nil {
			return Found{}, refused(w, dir, "%v", err)
		}
	}
	out.Files = sum.digest()
	if !f.system(whole.Path) {
		out.Shown = append(out.Shown, whole)
	}
	return out, f.mayShow(w, out.Shown)
}

// Again looks at a program that was found before. The fault says what of it is not the same any more.
func (f *Finder) Again(ctx context.Context, before Found, w Want) error {
	w.Name = before.Path
	now, err := f.Find(ctx, w)
	if err != nil {
		return fault.Wrap(err, fault.ProgramChanged, "program %s is not what it was: %s", before.Name, fault.From(err).Message).
			At(before.Path).Fix("run: drawspan plugin lock")
	}
	return before.Compare(now)
}

// Compare says what makes other another program than f, nil where the bytes are the same. Where the same
// bytes lie does not matter.
func (f Found) Compare(other Found) error {
	var what string
	switch {
	case other.Digest != f.Digest:
		what = fmt.Sprintf("it has the digest %s instead of %s", brief(other.Digest), brief(f.Digest))
	case other.Files != f.Files:
		what = "the file is the same, but what is installed with it, or its interpreter, is not"
	default:
		return nil
	}
	return fault.New(fault.ProgramChanged, "program %s changed: %s", other.Name, what).At(other.Path).
		Fix("if you changed or updated it, run: drawspan plugin lock")
}

func brief(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

// search finds the file: at an absolute path, or in the first directory of PATH that has it.
func (f *Finder) search(w Want) (place, error) {
	if filepath.IsAbs(w.Name) {
		return f.file(filepath.Clean(w.Name), w)
	}
	if strings.ContainsRune(w.Name, '/') {
		return place{}, fault.New(fault.ConfigInvalid, "program %.200q is neither a name nor an absolute path", w.Name).At(w.Declared)
	}
	for _, dir := range filepath.SplitList(f.opt.Path) {
		if path := filepath.Join(dir, w.Name); filepath.IsAbs(dir) && executable(path) {
			return f.file(path, w)
		}
	}
	return place{}, missing(w, nil)
}

// executable is what a shell takes; it goes on after everything else.
func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode().Perm()&0o111 != 0
}

// file reaches and judges a program. What cannot be reached is missing.
func (f *Finder) file(path string, w Want) (place, error) {
	at, err := f.reach(path, w)
	if err == nil {
		err = f.judgeFile(w, at)
	}
	if err == nil {
		return at, nil
	}
	at.close()
	var known *fault.Fault
	if errors.As(err, &known) {
		return place{}, err
	}
	return place{}, missing(w, err)
}

func missing(w Want, err error) error {
	where := w.Declared
	text := fmt.Sprintf("program %s is not installed: it is nowhere in PATH", filepath.Base(w.Name))
	if filepath.IsAbs(w.Name) {
		text = fmt.Sprintf("program %s is not installed at the place that is named", filepath.Base(w.Name))
		where = w.Name
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		text += ": " + reason(err)
	}
	f := fault.Wrap(err, fault.ProgramMissing, "%s", text).At(where)
	if w.Install != "" {
		return f.Fix("install it: %s, or name its place with program; then run: drawspan plugin lock", w.Install)
	}
	return f.Fix("install it, or name its place: program = \"/path/to/%s\"; then run: drawspan plugin lock", filepath.Base(w.Name))
}

// reason is an error without the path, which the fault names itself.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// refused is a program that is there and must not be used.
func refused(w Want, path, format string, args ...any) *fault.Fault {
	return fault.New(fault.ProgramRefused, "program %s is refused: %s", filepath.Base(w.Name), fmt.Sprintf(format, args...)).
		At(path).Fix("install it elsewhere, or name another: program = \"/path/to/%s\"", filepath.Base(w.Name))
}

func (f *Finder) system(path string) bool {
	return slices.ContainsFunc(f.opt.System, func(dir string) bool { return within(path, dir) })
}

// mayShow refuses what a sandbox must never show, whoever asks. What lies in the state directory or in a
// workspace was never reached.
func (f *Finder) mayShow(w Want, all []Shown) error {
	never := map[string]string{f.opt.Home: "the home directory", f.opt.StateDir: "the daemon's state directory"}
	for _, root := range w.Roots {
		never[root] = "a workspace"
	}
	for _, shown := range all {
		for dir, what := range never {
			if dir != "" && within(dir, shown.Path) {
				return refused(w, shown.Path, "to show it would show %s", what)
			}
		}
	}
	return nil
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
