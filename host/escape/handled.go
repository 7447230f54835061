package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/escape/catalogue"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

// handling is a repository with a tree that the host made and takes over after the probe.
type handling struct {
	g      *rig
	dir    string
	repo   string
	trees  *worktree.Trees
	space  *worktree.Workspace
	tree   *worktree.Tree
	shadow worktree.Shadow
	before map[string]string
}

// handlingDir is left out of the picture: the host itself works there.
func (w *world) handlingDir() string { return w.target.State + "/handled" }

func (g *rig) handle(ctx context.Context) (*handling, error) {
	h := &handling{g: g, dir: g.world.handlingDir()}
	h.repo = h.dir + "/repo"
	if err := os.MkdirAll(h.repo, 0o700); err != nil {
		return nil, err
	}
	err := os.WriteFile(h.repo+"/file", []byte("one\n"), 0o600)
	if err == nil {
		err = worktree.Init(ctx, os.Getenv("PATH"), h.repo)
	}
	if err == nil {
		h.trees, err = worktree.Open(ctx, worktree.Options{Dir: h.dir + "/host", Path: os.Getenv("PATH")})
	}
	if err == nil {
		h.space, err = h.trees.Workspace(ctx, "escape", h.repo)
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, errors.Join(h.makeTree(ctx))
}

func (h *handling) makeTree(ctx context.Context) error {
	start, err := h.space.Resolve(ctx, worktree.SampleBranch)
	if err != nil {
		return err
	}
	if h.tree, err = h.space.Create(ctx, worktree.CreateRequest{AttemptID: "att_1", Start: start}); err != nil {
		return err
	}
	if h.shadow, err = h.tree.Shadow(ctx); err != nil {
		return err
	}
	h.before, err = h.own()
	return err
}

func (h *handling) close() error {
	var err error
	if h.space != nil {
		err = h.space.Close()
	}
	return errors.Join(err, removeAll(h.dir))
}

// own is everything of the operator's repository but objects and what is kept under refs/drawspan.
func (h *handling) own() (map[string]string, error) {
	all := make(map[string]string)
	err := filepath.WalkDir(h.repo, func(name string, d fs.DirEntry, err error) error {
		rest := strings.TrimPrefix(name, h.repo)
		if err != nil || d.IsDir() {
			if rest == "/.git/objects" || rest == "/.git/refs/drawspan" || rest == "/.git/logs/refs/drawspan" {
				return fs.SkipDir
			}
			return err
		}
		text, err := os.ReadFile(name)
		all[rest] = string(text)
		return err
	})
	return all, err
}

// size is that of the host's side: the repository's objects, and the mirror's.
func (h *handling) size() (n int64, err error) {
	for _, dir := range []string{h.repo, h.dir + "/host/mirrors"} {
		err = errors.Join(err, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				n += info.Size()
			}
			return err
		}))
	}
	return n, err
}

// handled runs one probe in a tree of the host's, and then lets the host take it over: with the room that does
// so, or as somebody careless would.
func (g *rig) handled(p *catalogue.Probe, careless bool) (r *result, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	h, err := g.handle(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	request, closeProgram, err := g.request(p, false, nil)
	if err != nil {
		return nil, err
	}
	defer closeProgram()
	if request.Argv, err = g.argvAt(p, h); err != nil {
		return nil, err
	}
	request.Tree.Path = h.tree.Path()
	request.Git = &sandbox.Git{Dir: h.shadow.Dir, Protect: h.shadow.Protect, Objects: h.shadow.Objects}
	r = &result{reported: make(map[string]int64)}
	box, err := g.box(nil)
	if err != nil {
		return nil, err
	}
	text, end, err := g.launch(box, request, g.collect)
	if err != nil {
		return nil, fmt.Errorf("probe %s: %w", p.ID, err)
	}
	r.signal = end.Signal
	if r.read(text, end.Lost); r.outcome.Claim != catalogue.Attempted {
		return r, g.inspect(r)
	}
	if err := h.takeOver(ctx, p, r, careless); err != nil {
		return nil, fmt.Errorf("probe %s: %w", p.ID, err)
	}
	return r, g.inspect(r)
}

// takeOver is what happens outside afterwards, and what is looked at then.
func (h *handling) takeOver(ctx context.Context, p *catalogue.Probe, r *result, careless bool) error {
	begun := time.Now()
	if p.Under == catalogue.Spoilt {
		if err := os.WriteFile(h.shadow.Dir+"/config", []byte(catalogue.HostileConfig(h.tree.Path()+"/trap.sh")), 0o600); err != nil {
			return err
		}
	}
	if careless {
		h.carelessly(ctx, catalogue.Number(p.ID) == 33)
	} else if err := h.carefully(ctx, p, r, h.g); err != nil {
		return err
	}
	now, err := h.own()
	if err != nil {
		return err
	}
	for name, text := range now {
		if was, ok := h.before[name]; !ok || was != text {
			r.changes = append(r.changes, "the repository's "+name+" is new or has other contents")
		}
	}
	for name := range h.before {
		if _, ok := now[name]; !ok {
			r.changes = append(r.changes, "the repository's "+name+" is gone")
		}
	}
	slices.Sort(r.changes)
	size, err := h.size()
	if err == nil && size > catalogue.ImportBytes {
		r.changes = append(r.changes, fmt.Sprintf("the repository grew to %d MiB", size>>20))
	}
	if took := time.Since(begun); !careless && took > patience/2 {
		r.changes = append(r.changes, fmt.Sprintf("the host worked for %v", took))
	}
	return err
}

// carefully is what the daemon does: commits by a pack made inside, then the tree, then the gate.
func (h *handling) carefully(ctx context.Context, p *catalogue.Probe, r *result, g *rig) error {
	moved, err := h.tree.HeadMoved()
	if err == nil && moved {
		err = h.bring(ctx, g)
		switch {
		case err == nil && (p.ID == "33" || p.ID == "33b" || p.ID == "33c"):
			r.changes = append(r.changes, "the host took the commits over")
		case err == nil:
			r.outcome.Detail += "; commits taken over"
		default:
			r.outcome.Detail += fmt.Sprintf("; not taken over: %.60v", err)
		}
	} else if err != nil {
		r.outcome.Detail += fmt.Sprintf("; HEAD: %.60v", err)
	}
	kept, err := h.tree.Capture(ctx, worktree.CaptureRequest{Base: h.tree.Start(), Message: "attempt", When: time.Now()})
	if err != nil {
		return err
	}
	if p.ID != "35" {
		return nil
	}
	result, _, findings := gate.Sensitive(gate.SensitiveRule("deny", ""), kept.Diff)
	r.outcome.Detail += fmt.Sprintf("; the gate says %s and names %d", result, len(findings))
	named := make(map[string]bool)
	for _, f := range findings {
		named[f.Path] = true
	}
	for _, name := range catalogue.SettingsFiles() {
		if !named[name] {
			r.changes = append(r.changes, "the gate does not name "+name)
		}
	}
	return nil
}

// bring imports the commits that the probe made.
func (h *handling) bring(ctx context.Context, g *rig) error {
	box, err := g.box(nil)
	if err != nil {
		return err
	}
	stream, err := os.CreateTemp(h.dir, "stream")
	if err != nil {
		return err
	}
	defer stream.Close()
	policy := g.policy(&catalogue.Probe{}, nil)
	process, err := box.Launch(ctx, sandbox.Request{
		Policy: policy, Tree: sandbox.Tree{Path: h.tree.Path(), Mode: sandbox.TreeOverlay},
		Git:  &sandbox.Git{Dir: h.shadow.Dir, Protect: h.shadow.Protect, Objects: h.shadow.Objects},
		Path: "/bin/sh", Argv: h.tree.Export(), Stdout: stream,
	})
	if err != nil {
		return err
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	text, err := os.ReadFile(stream.Name())
	if err != nil {
		return err
	}
	head, pack, err := worktree.ReadExport(bytes.NewReader(text))
	if err != nil {
		return err
	}
	_, err = h.tree.Import(ctx, worktree.ImportRequest{Head: head, Pack: pack, MaxBytes: catalogue.ImportBytes, MaxObjects: catalogue.ImportObjects})
	return err
}

// carelessly is the control: git as anybody calls it, over what an attempt left, and a shell that reads what it
// finds; or a fetch from the shadow. What fails shows nothing.
func (h *handling) carelessly(ctx context.Context, fetch bool) {
	tree := h.tree.Path()
	commands := [][]string{
		{"git", "-C", tree + "/sub", "status"}, {"git", "-C", tree, "status"}, {"git", "-C", tree, "diff"},
		{"git", "-C", tree, "-c", "protocol.ext.allow=always", "submodule", "update", "--init"},
		{"sh", "-c", `cd "$1" && [ ! -e .envrc ] || . ./.envrc`, "sh", tree},
	}
	if fetch {
		commands = [][]string{{"git", "-C", h.repo, "fetch", "-q", "--no-write-fetch-head", "--update-head-ok", h.shadow.Dir, "+HEAD:refs/heads/main"}}
	}
	for _, argv := range commands {
		h.tryCommand(ctx, argv)
	}
}

func (h *handling) tryCommand(ctx context.Context, argv []string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.WaitDelay = h.g.world.gitEnv(), time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) } // with what git itself started
	_ = cmd.Run()                                                                  // what it left is looked at
}
