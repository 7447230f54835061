package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// launched is what several launches told of themselves, in milliseconds.
type launched struct{ setup, verify sample }

// measureLaunch times a launch from the call to the proved end of /bin/true, at the strict level around a
// tree with a shadow git directory.
func measureLaunch(ctx context.Context, s *site) (figures []figure, err error) {
	box, err := s.sandbox()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	r, err := s.newRepository("repository")
	if err != nil {
		return nil, err
	}
	t, shut, err := s.newShadowed(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shut()) }()
	wrapped, err := bubblewrap(t.tree, "/bin/true")
	if err != nil {
		return nil, err
	}
	var told, unread launched
	got, err := race(ctx, rounds{warm: 5, kept: 150},
		entrant{"sandbox", func(ctx context.Context, _ int) (float64, error) {
			return timed(func() error { return launchTrue(ctx, box, t.request(), &told) })
		}},
		entrant{"bubblewrap", func(context.Context, int) (float64, error) { return spawned(wrapped...) }},
		entrant{"fork and exec", func(context.Context, int) (float64, error) { return spawned("/bin/true") }},
		entrant{"sandbox with proxy", func(ctx context.Context, _ int) (float64, error) {
			return timed(func() error { return launchTrue(ctx, box, proxied(t.request()), &unread) })
		}},
	)
	if err != nil {
		return nil, err
	}
	return []figure{
		compared("launch", "ms", got[0], got[1], bar{ratioAtMost, 1.4}).
			also("strict, tree and shadow git directory; aim 1.0x; floor: bubblewrap's minimal view; setup inside PID 1 %s ms", number(told.setup.median())),
		compared("launch/exec", "ms", got[0], got[2], bar{ratioAtMost, 10}).also("floor: plain fork and exec"),
		compared("launch/proxy", "ms", got[3], got[1], bar{ratioAtMost, 1.4}).
			also("with the proxy's listener handed over; without it %s ms; floor: bubblewrap's minimal view", number(got[0].median())),
		judged("launch/verify", "ms", told.verify.median(), got[0].median(), bar{ratioAtMost, 0.02}).
			also("what trying the forbidden takes; floor: the whole launch; p10-p90 %s", told.verify.spread()),
	}, nil
}

// launchTrue runs /bin/true confined and notes what the launcher says that its parts took.
func launchTrue(ctx context.Context, box *sandbox.Sandbox, r sandbox.Request, told *launched) error {
	r.Path, r.Argv = "/bin/true", []string{"true"}
	p, err := box.Launch(ctx, r)
	if err != nil {
		return err
	}
	if exit := p.Exit(); exit.Code != 0 || exit.Signal != 0 || exit.Lost != "" {
		return fmt.Errorf("/bin/true ended with %+v", exit)
	}
	e := p.Enforced()
	told.setup = append(told.setup, float64(e.SetupUS)/1000)
	told.verify = append(told.verify, float64(e.VerifyUS)/1000)
	return nil
}

// proxied is the request with a network that is a proxy, whose listener nobody serves.
func proxied(r sandbox.Request) sandbox.Request {
	r.Policy.Network.Mode = "proxy"
	r.OnListener = func(l net.Listener) { _ = l.Close() } // what counts is that it came
	return r
}
