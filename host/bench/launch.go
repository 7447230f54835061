package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// measureLaunch times a launch from the call to the proved end of /bin/true.
func measureLaunch(ctx context.Context, s *site) (figures []figure, err error) {
	box, err := s.sandbox()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	tree, err := s.dir("tree")
	if err != nil {
		return nil, err
	}
	wrapped, err := bubblewrap(tree, "/bin/true")
	if err != nil {
		return nil, err
	}
	var setup sample
	got, err := race(ctx, rounds{warm: 5, kept: 150},
		entrant{"sandbox", func(ctx context.Context, _ int) (float64, error) {
			return timed(func() error {
				inside, err := launchTrue(ctx, box, tree)
				setup = append(setup, inside)
				return err
			})
		}},
		entrant{"bubblewrap", func(context.Context, int) (float64, error) { return spawned(wrapped...) }},
		entrant{"fork and exec", func(context.Context, int) (float64, error) { return spawned("/bin/true") }},
	)
	if err != nil {
		return nil, err
	}
	return []figure{
		compared("launch", "ms", got[0], got[1], bar{ratioAtMost, 1.4}).
			also("floor: bubblewrap's minimal view; setup inside PID 1 %s ms", number(setup.median())),
		compared("launch/exec", "ms", got[0], got[2], bar{ratioAtMost, 10}).also("floor: plain fork and exec"),
	}, nil
}

// launchTrue runs /bin/true confined and returns what the launcher's setup took, in milliseconds.
func launchTrue(ctx context.Context, box *sandbox.Sandbox, tree string) (float64, error) {
	p, err := box.Launch(ctx, sandbox.Request{
		Policy: confined(), Tree: sandbox.Tree{Path: tree, Mode: sandbox.TreeWritable}, Path: "/bin/true", Argv: []string{"true"},
	})
	if err != nil {
		return 0, err
	}
	if exit := p.Exit(); exit.Code != 0 || exit.Signal != 0 || exit.Lost != "" {
		return 0, fmt.Errorf("/bin/true ended with %+v", exit)
	}
	return float64(p.Enforced().SetupUS) / 1000, nil
}
