package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/program"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// drives completes the program of an executor by what its plugin said when it was locked: which one it
// needs under this profile, and what it was tested with.
func drives(ex *work.ExecutorDecl, entry pluginlock.Entry) {
	var c struct {
		Profile string `json:"profile"`
	}
	if json.Unmarshal(ex.Config, &c) != nil {
		c.Profile = "" // a profile that is no text is none that a plugin declared
	}
	d, ok := entry.Drive(c.Profile)
	if !ok {
		return
	}
	if ex.Program == nil {
		ex.Program = &work.ProgramDecl{Name: d.Name, Declared: ex.Declared}
	}
	ex.Program.Tested, ex.Program.Install = d.Tested, d.Install
}

// programs finds and pins what executors drive.
type programs struct {
	finder *program.Finder
	home   string
	config func() *loaded

	mu     sync.Mutex
	probed map[probedProgram]sdk.Probe
}

// probedProgram is what the answer of a probe holds for.
type probedProgram struct{ executor, config, digest, files string }

func newPrograms(o Options, stateDir string, config func() *loaded) *programs {
	return &programs{
		finder: program.New(program.Options{
			Path: o.Host.Path, Home: o.Host.Home, StateDir: stateDir, System: sandbox.SystemDirs(), UID: os.Geteuid(),
		}),
		home: o.Host.Home, config: config, probed: map[probedProgram]sdk.Probe{},
	}
}

func (p *programs) want(decl *work.ProgramDecl) program.Want {
	w := program.Want{Name: decl.Name, Install: decl.Install, Declared: decl.Declared}
	for _, ws := range p.config().policy.Workspaces {
		w.Roots = append(w.Roots, ws.Root)
	}
	return w
}

// driven is a program that is ready for a launch; nil where the plugin drives none.
type driven struct {
	p     *programs
	want  program.Want
	found program.Found
}

// ready finds an executor's program and holds it against the lock file.
func (p *programs) ready(ctx context.Context, executor string, decl *work.ProgramDecl) (*driven, error) {
	if decl == nil {
		return nil, nil //nolint:nilnil // there is none to be ready
	}
	d := &driven{p: p, want: p.want(decl)}
	var err error
	if d.found, err = p.finder.Find(ctx, d.want); err != nil {
		return nil, next(err, executor)
	}
	return d, next(p.pinned(executor, d.found), executor)
}

// pinned compares what was found with what is locked.
func (p *programs) pinned(executor string, found program.Found) error {
	pin, ok := p.config().lock.Pinned(executor)
	if !ok {
		return fault.New(fault.ProgramNotLocked, "program %s of executor %q is not in the lock file", found.Name, executor).
			At(found.Path).Fix("if you trust this program, run: drawspan plugin lock")
	}
	return program.Found{Name: found.Name, Path: pin.Path, Digest: pin.Digest, Files: pin.Files}.Compare(found)
}

// next adds to what is recorded, and has no paths, the command that tells all of it.
func next(err error, executor string) error {
	if err == nil {
		return nil
	}
	f := *fault.From(err)
	f.Message += "; run: drawspan executor probe " + executor
	return &f
}

// States of a program, as the API names them.
const (
	programOK        = "ok"
	programMissing   = "missing"
	programRefused   = "refused"
	programNotLocked = "not_locked"
	programChanged   = "changed"
)

// look says how the program of an executor stands; nil where it drives none.
func (p *programs) look(ctx context.Context, ex *work.ExecutorDecl) *api.Program {
	if ex.Program == nil {
		return nil
	}
	out := &api.Program{Name: filepath.Base(ex.Program.Name), State: programOK, Tested: ex.Program.Tested}
	pin, _ := p.config().lock.Pinned(ex.Name)
	out.Locked = pin.Digest
	found, err := p.finder.Find(ctx, p.want(ex.Program))
	if err == nil {
		out.Path, out.Digest, out.Interpreter = p.tilde(found.Path), found.Digest, p.tilde(found.Interpreter)
		err = p.pinned(ex.Name, found)
	}
	if err == nil {
		p.told(out, p.recall(ex.Name, found))
		return out
	}
	f := fault.From(err)
	out.State = map[fault.Code]string{
		fault.ProgramMissing: programMissing, fault.ProgramNotLocked: programNotLocked, fault.ProgramChanged: programChanged,
	}[f.Code]
	out.State = cmp.Or(out.State, programRefused)
	if out.State != programMissing { // what is missing has no place but where it is declared
		out.Path = cmp.Or(out.Path, p.tilde(f.Where))
	}
	out.Detail, out.Fix = f.Message, f.Hint
	return out
}

// Pins finds what the declared executors drive, for the lock file that is beside the configuration. What
// cannot be pinned is said, by executor, and left out. The workspaces' roots need not be on this machine.
func Pins(ctx context.Context, o Options) (pins []pluginlock.Pin, left map[string]error, err error) {
	o.Source.Elsewhere = true
	l, err := load(o)
	if err != nil {
		return nil, nil, err
	}
	p, left := newPrograms(o, l.cfg.Daemon.StateDir, func() *loaded { return l }), map[string]error{}
	for _, name := range sortedKeys(l.policy.Executors) {
		decl := l.policy.Executors[name].Program
		if decl == nil {
			continue
		}
		found, err := p.finder.Find(ctx, p.want(decl))
		if err != nil {
			left[name] = err
			continue
		}
		pins = append(pins, pluginlock.Pin{Executor: name, Path: found.Path, Digest: found.Digest, Files: found.Files})
	}
	return pins, left, ctx.Err()
}

// launch is what the loader has to know; nil for no program.
func (d *driven) launch() *loader.Program {
	if d == nil {
		return nil
	}
	f := d.found
	out := &loader.Program{
		Installed: sdk.Installed{Name: f.Name, Path: f.Path, Digest: f.Digest, Interpreter: f.Interpreter},
		Identity:  work.ProgramIdentity{Name: f.Name, Path: d.p.tilde(f.Path), Digest: f.Digest, Files: f.Files, Interpreter: d.p.tilde(f.Interpreter)},
		Search:    f.Search,
	}
	for _, s := range f.Shown {
		out.Shown = append(out.Shown, sandbox.Bind{Host: s.Path, Mode: "ro", Label: "program " + f.Name, Dev: s.Dev, Ino: s.Ino})
	}
	return out
}

// unchanged looks again at the program.
func (d *driven) unchanged(ctx context.Context) error {
	if d == nil {
		return nil
	}
	return d.p.finder.Again(ctx, d.found, d.want)
}

// tilde shows the operator's home as ~.
func (p *programs) tilde(path string) string {
	home := filepath.Clean(p.home)
	if rest, ok := strings.CutPrefix(path, home+"/"); ok && filepath.IsAbs(home) {
		return "~/" + rest
	}
	return path
}
