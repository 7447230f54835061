package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/host/internal/program"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/sdk"
)

// measureAdapter times an attempt of an executor that drives a program, from the look at the program to the
// executor's result, against a bare spawn of the same program: what finding it again, launcher, plugin and
// its protocol add. The end of the plugin is not in the figure.
func measureAdapter(ctx context.Context, s *site) (figures []figure, err error) {
	box, err := s.sandbox()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	l, err := s.loader(box)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close(context.WithoutCancel(ctx))) }()
	hello, err := s.floorProgram("hello")
	if err != nil {
		return nil, err
	}
	tree, err := s.dir("tree")
	if err != nil {
		return nil, err
	}
	a := &adapted{
		loader: l, tree: tree, want: program.Want{Name: hello},
		finder: program.New(program.Options{StateDir: s.state(), System: sandbox.SystemDirs(), UID: os.Geteuid()}),
	}
	first, err := timed(func() error { _, err := a.attempt(ctx); return err }) // hashes plugin and program
	if err != nil {
		return nil, err
	}
	got, err := race(ctx, rounds{warm: 5, kept: 80},
		entrant{"attempt", func(ctx context.Context, _ int) (float64, error) { return a.attempt(ctx) }},
		entrant{"bare spawn", func(context.Context, int) (float64, error) { return spawned(hello) }},
	)
	if err != nil {
		return nil, err
	}
	return []figure{compared("adapter", "ms", got[0], got[1], bar{addsAtMost, 30}).
		also("executor-command over a pinned program that says one line, isolated: found again, started, performed; floor: a bare spawn of it; "+
			"the first time, with hashing and the manifest, %s ms", number(first))}, nil
}

// adapted is an executor over a program of the machine.
type adapted struct {
	loader *loader.Loader
	finder *program.Finder
	want   program.Want
	tree   string
}

// attempt times one, and ends what it started.
func (a *adapted) attempt(ctx context.Context) (float64, error) {
	var i *loader.Instance
	took, err := timed(func() error {
		found, err := a.finder.Find(ctx, a.want)
		if err != nil {
			return err
		}
		launch, err := a.launch(found)
		if err != nil {
			return err
		}
		if i, err = a.loader.Start(ctx, launch); err != nil {
			return err
		}
		result, err := i.Execute(ctx, sdk.Attempt{ID: "bench", Tree: a.tree, Config: launch.Config}, ignore)
		if err == nil && (result.Failed || result.ExitCode == nil || *result.ExitCode != 0) {
			err = fmt.Errorf("the attempt failed: %+v", result)
		}
		return err
	})
	if i != nil {
		_, stopped := i.Stop(ctx, 0)
		err = errors.Join(err, stopped)
	}
	return took, err
}

func (a *adapted) launch(found program.Found) (loader.Launch, error) {
	config, err := json.Marshal(map[string]any{"program": []string{found.Path}})
	if err != nil {
		return loader.Launch{}, err
	}
	policy := confined()
	policy.Level = "isolated" // the tree has no git directory to protect
	p := &loader.Program{Installed: sdk.Installed{Name: found.Name, Path: found.Path, Digest: found.Digest}}
	for _, shown := range found.Shown {
		p.Shown = append(p.Shown, sandbox.Bind{Host: shown.Path, Mode: "ro", Dev: shown.Dev, Ino: shown.Ino})
	}
	return loader.Launch{
		Kind: "executor", Name: "command", Config: config, Policy: policy, Tree: a.tree, Mode: sandbox.TreeWritable, AttemptID: "bench", Program: p,
	}, nil
}

func ignore(context.Context, sdk.Event) error { return nil }
