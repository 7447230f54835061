package provision

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Modes of a Bind, as a sandbox names them.
const (
	readOnly = "ro"
	writable = "rw"
	layered  = "overlay" // writes go to a layer that dies with the launch
)

// cacheDir is where launches see caches.
const cacheDir = "/cache"

// maxOutput bounds what is kept of each stream of a command.
const maxOutput = 4 << 20

// Bind is a directory of the host that a launch sees.
type Bind struct {
	Host, Inside string
	Mode         string
	Label        string // for the record
	Dev, Ino     uint64 // of the directory that was looked at; zero takes what is there
}

// Place is what launches over a prepared tree see besides it.
type Place struct {
	Binds []Bind
	Env   []string
}

// Git is a tree's shadow git directory: where it is, what in it stays read-only, and which object
// directories it borrows from.
type Git struct {
	Dir              string
	Protect, Objects []string
}

// Tree is the tree that is prepared.
type Tree interface {
	Path() string
	Identity() (dev, ino uint64)
	// Shadow makes the git directory that a launch over the tree sees, anew.
	Shadow(ctx context.Context) (Git, error)
	// Links are the linked directories as they are now.
	Links() ([]Bind, error)
	// Settle looks at what the commands left. It fails where they touched a file of the commit.
	Settle(ctx context.Context) error
}

// Host starts commands and keeps caches.
type Host interface {
	// Run runs a command to its proved end. What it wrote goes to the streams, which are not written to
	// any more when Run returns.
	Run(ctx context.Context, c Command) (Exit, error)
	// Cache is the directory of a workspace's cache; it is there.
	Cache(workspace, name string) (string, error)
	// Empty takes away the directory of a cache with all that is in it, at once or not at all.
	Empty(dir string) error
}

// Command is one command in its sandbox, in a tree that it may write to.
type Command struct {
	Name           string
	Argv           []string
	Policy         *work.SandboxPolicy
	Tree           string
	Dev, Ino       uint64
	Git            Git
	Binds          []Bind
	Env            []string
	AttemptID      string
	Stdout, Stderr *Stream
}

// Exit is how a command ended.
type Exit struct {
	Code  int
	Cause string // why it did not end by itself; "" where it did
	// Refused is the first place in the network that its sandbox refused it, and why; "" where nothing was.
	Refused string
}

// Request asks for a tree to be prepared.
type Request struct {
	Workspace string
	Provision work.Provision
	Tree      Tree
	Host      Host
	Ports     []int
	AttemptID string
	// Kept says that the attempt's artifacts have the outputs.
	Kept bool
	// Fill lets the commands write to the caches. It is for trees that hold nothing but what was judged.
	Fill  bool
	Lease *Lease // the attempt's use of the caches; nil where nobody else is there, and nothing is filled
	// Found is told of each cache that holds more than its size.
	Found func(Finding)
	// At is told what happens from now on; nil where nobody wants to know.
	At func(Stage)
}

// Stage is what a preparation is at.
type Stage struct {
	Run   string // the command that runs
	Waits bool   // instead: another attempt fills the workspace's caches
}

func (r Request) at(s Stage) {
	if r.At != nil {
		r.At(s)
	}
}

// Output is what a command wrote.
type Output struct {
	Run            string
	Stdout, Stderr *Stream
}

// Prepare runs the commands and answers with what launches over the tree see. The outputs are those of the
// commands that ran, also beside an error.
func Prepare(ctx context.Context, r Request) (Place, []Output, error) {
	links, err := r.Tree.Links()
	if err != nil {
		return Place{}, nil, err
	}
	if len(r.Provision.Runs) == 0 {
		place, err := r.place(links, nil)
		return place, nil, err
	}
	outputs, err := r.runs(ctx, links)
	if err != nil {
		return Place{}, outputs, err
	}
	if err := r.Tree.Settle(ctx); err != nil {
		return Place{}, outputs, err
	}
	place, err := r.place(links, nil)
	return place, outputs, err
}

// runs runs the commands, up to the first that fails.
func (r Request) runs(ctx context.Context, links []Bind) ([]Output, error) {
	var f *filling
	if r.Fill && len(r.Provision.Caches) > 0 {
		var done func()
		var err error
		if f, done, err = r.fill(ctx); err != nil {
			return nil, err
		}
		defer done()
		defer f.settle(context.WithoutCancel(ctx))
	}
	inside, err := r.place(links, f)
	if err != nil {
		return nil, err
	}
	var outputs []Output
	for _, run := range r.Provision.Runs {
		out, err := r.run(ctx, run, inside, f)
		outputs = append(outputs, out)
		if err != nil {
			return outputs, err
		}
	}
	return outputs, nil
}

// place is what is seen, by a filling's commands or, with nil, by all others.
func (r Request) place(links []Bind, f *filling) (Place, error) {
	var p Place
	for _, l := range links {
		l.Mode = readOnly
		p.Binds = append(p.Binds, l)
	}
	if len(r.Provision.Caches) > 0 {
		r.Lease.look()
	}
	for _, c := range r.Provision.Caches {
		dir, err := r.Host.Cache(r.Workspace, c.Name)
		if err != nil {
			return Place{}, fmt.Errorf("make cache %s: %w", c.Name, err)
		}
		inside := path.Join(cacheDir, c.Name)
		p.Binds = append(p.Binds, Bind{Host: dir, Inside: inside, Mode: f.mode(c.Name), Label: "cache " + c.Name})
		p.Env = append(p.Env, c.Variable+"="+inside)
	}
	for i, port := range r.Ports {
		p.Env = append(p.Env, "DRAWSPAN_PORT_"+strconv.Itoa(i+1)+"="+strconv.Itoa(port))
	}
	return p, nil
}

func (r Request) run(ctx context.Context, run work.ProvisionRun, inside Place, f *filling) (Output, error) {
	out := Output{Run: run.Name, Stdout: &Stream{}, Stderr: &Stream{}}
	r.at(Stage{Run: run.Name})
	limit := run.Timeout
	if run.Sandbox.Wall > 0 && run.Sandbox.Wall < limit {
		limit = run.Sandbox.Wall
	}
	guarded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limited, end := context.WithTimeout(guarded, limit)
	defer end()
	git, err := r.Tree.Shadow(ctx)
	if err != nil {
		return out, err
	}
	dev, ino := r.Tree.Identity()
	unguard := f.guard(ctx, cancel)
	exit, err := r.Host.Run(limited, Command{
		Name: run.Name, Argv: run.Argv, Policy: run.Sandbox, Tree: r.Tree.Path(), Dev: dev, Ino: ino, Git: git, Binds: inside.Binds, Env: inside.Env,
		AttemptID: r.AttemptID, Stdout: out.Stdout, Stderr: out.Stderr,
	})
	unguard()
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	if over := f.overfull(ctx); over != nil {
		return out, fault.Wrap(over, fault.ProvisionFailed, "provision run %q %v", run.Name, over).At(run.Declared).
			Fix("raise size of that cache")
	}
	switch {
	case limited.Err() != nil:
		return out, r.failed(run, out, exit, "was stopped after "+limit.String())
	case err != nil:
		return out, fault.Wrap(err, fault.ProvisionFailed, "provision run %q could not be started: %s", run.Name, fault.From(err).Message).At(run.Declared)
	case exit.Cause != "":
		return out, r.failed(run, out, exit, exit.Cause)
	case exit.Code != 0:
		return out, r.failed(run, out, exit, fmt.Sprintf("ended with exit status %d", exit.Code))
	}
	return out, nil
}

// failed tells what a command said last, and where the rest is, where it is kept.
func (r Request) failed(run work.ProvisionRun, out Output, exit Exit, how string) error {
	stream := out.Stderr
	if stream.Empty() {
		stream = out.Stdout
	}
	said := stream.tail()
	if said == "" {
		said = "it wrote nothing"
	}
	if exit.Refused != "" {
		said += "; its sandbox refused it " + shown([]byte(exit.Refused))
	}
	f := fault.New(fault.ProvisionFailed, "provision run %q %s: %s", run.Name, how, said).At(run.Declared)
	if r.Kept {
		next := "drawspan artifact ls " + r.AttemptID
		f.Message += " (all of it: " + next + ")"
		return f.Fix("%s", next)
	}
	return f
}

// Stream keeps the first and the last bytes that a command writes. One goroutine writes to it.
type Stream struct {
	head bytes.Buffer
	last []byte // of what does not fit
	cut  bool
}

const maxTail = 600 // bytes

func (s *Stream) Write(p []byte) (int, error) {
	n := len(p)
	room := min(maxOutput-s.head.Len(), n)
	s.head.Write(p[:room])
	if rest := p[room:]; len(rest) > 0 {
		s.cut = true
		s.last = append(s.last, rest...)
		s.last = s.last[max(len(s.last)-maxTail, 0):]
	}
	return n, nil
}

// Bytes are what is kept.
func (s *Stream) Bytes() []byte { return s.head.Bytes() }

// Cut reports that more was written than is kept.
func (s *Stream) Cut() bool { return s.cut }

// Empty reports that nothing was written.
func (s *Stream) Empty() bool { return s.head.Len() == 0 }

// tail is the end of the output, as it is shown.
func (s *Stream) tail() string {
	all := s.last
	if !s.cut {
		all = s.head.Bytes()
	}
	return shown(all)
}

// shown is the end of a text as one line that is safe to show.
func shown(all []byte) string {
	all = all[max(len(all)-maxTail, 0):]
	for len(all) > 0 && !utf8.RuneStart(all[0]) {
		all = all[1:]
	}
	text := strings.Map(harmless, strings.ToValidUTF8(string(all), "?"))
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	return strings.TrimSpace(strings.Join(lines[max(len(lines)-4, 0):], " | "))
}

// harmless leaves out what a terminal would obey, or what hides other text.
func harmless(r rune) rune {
	if r == '\n' || r == '\t' || unicode.IsPrint(r) {
		return r
	}
	return -1
}
