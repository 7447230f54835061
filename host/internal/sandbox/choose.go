package sandbox

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// backends in the order of preference.
func backends() []string { return []string{spec.Native, spec.Bwrap, spec.Landlock} }

// trials remembers what the back-ends give on this machine. Settings of the kernel say less than a launch, so
// each was launched once.
type trials struct {
	mu    sync.Mutex
	known map[string]trial
}

// trial is the highest level that a back-end reached, or why it cannot be used.
type trial struct {
	enforced spec.Enforced
	err      error
}

// choose is how a launch is confined: as the policy says, or by the first back-end that gives its level, or
// by the strongest where the policy takes less.
func (s *Sandbox) choose(ctx context.Context, p *work.SandboxPolicy) (string, error) {
	switch named := cmp.Or(p.Backend, "auto"); {
	case slices.Contains(backends(), named):
		return named, nil
	case named != "auto":
		return "", fault.New(fault.NotSupported, "the back-end %s is not built", named).At(p.Declared).
			Fix(`say backend = "auto"`)
	case p.Level == spec.LevelOff:
		return spec.None, nil
	}
	best := ""
	for _, b := range backends() {
		t := s.try(ctx, b)
		if fault.Is(t.err, fault.SandboxUnverified) {
			return "", t.err // not a weaker machine, but one that does not do what it says
		}
		if t.err != nil {
			continue
		}
		if spec.AtLeast(worth(t.enforced.Enforced, p), p.Level) {
			return b, nil
		}
		if best == "" || !spec.AtLeast(s.try(ctx, best).enforced.Enforced, t.enforced.Enforced) {
			best = b
		}
	}
	first := s.try(ctx, spec.Native)
	if best == "" || first.err != nil && p.OnShortfall != "degrade" {
		return "", first.err // the reason that can be mended
	}
	return best, nil
}

// worth is what a back-end's level is to a policy: the host's network leaves no more than guarded.
func worth(level string, p *work.SandboxPolicy) string {
	if p.Network.Mode == spec.NetworkHost && spec.AtLeast(level, spec.LevelIsolated) {
		return spec.LevelGuarded
	}
	return level
}

// try launches nothing of anybody's under a back-end, once.
func (s *Sandbox) try(ctx context.Context, backend string) trial {
	s.trials.mu.Lock()
	defer s.trials.mu.Unlock()
	if t, ok := s.trials.known[backend]; ok {
		return t
	}
	e, err := s.trial(ctx, backend)
	if ctx.Err() != nil {
		return trial{err: context.Cause(ctx)} // says nothing of the machine
	}
	if s.trials.known == nil {
		s.trials.known = make(map[string]trial)
	}
	s.trials.known[backend] = trial{e, err}
	return trial{e, err}
}

// forget makes the next launches try again.
func (s *Sandbox) forget() {
	s.trials.mu.Lock()
	defer s.trials.mu.Unlock()
	s.trials.known = nil
	s.wrapper.Store(nil)
}

func (s *Sandbox) trial(ctx context.Context, backend string) (spec.Enforced, error) {
	return s.trialOf(ctx, &work.SandboxPolicy{
		Name: "trial", Level: spec.LevelStrict, OnShortfall: "degrade", Floor: spec.LevelOff, Backend: backend,
	})
}

// Gives tries whether this machine gives the level that a policy asks for, and says what it gives. Paths, limits
// and credentials of the policy are not tried.
func (s *Sandbox) Gives(ctx context.Context, p *work.SandboxPolicy) (level string, err error) {
	tried := &work.SandboxPolicy{
		Name: p.Name, Level: p.Level, OnShortfall: p.OnShortfall, Floor: p.Floor, Backend: p.Backend, Declared: p.Declared,
	}
	if p.Network.Mode == spec.NetworkHost {
		tried.Network.Mode = p.Network.Mode
	}
	e, err := s.trialOf(ctx, tried)
	return e.Enforced, err
}

// trialOf launches nothing of anybody's under a policy.
func (s *Sandbox) trialOf(ctx context.Context, policy *work.SandboxPolicy) (spec.Enforced, error) {
	p, err := s.launchTrial(ctx, Request{Policy: policy, Path: "/bin/sh", Argv: []string{"sh", "-c", "exit 42"}})
	if err != nil {
		return spec.Enforced{}, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		_, err := p.Kill(context.WithoutCancel(ctx))
		return spec.Enforced{}, err
	}
	if end := p.Exit(); end.Code != 42 || end.Lost != "" {
		return spec.Enforced{}, unavailable("a trial program ended with %d %s", end.Code, end.Lost).Fix("run: drawspan doctor")
	}
	return p.Enforced(), nil
}

// Levels are the protections that can be required here, weakest first, tried. Off is none.
func (s *Sandbox) Levels(ctx context.Context) []string {
	best := spec.LevelOff
	for _, b := range backends() {
		if t := s.try(ctx, b); t.err == nil && spec.AtLeast(t.enforced.Enforced, best) {
			best = t.enforced.Enforced
		}
		if best == spec.LevelStrict {
			break
		}
	}
	reached := []string{}
	for _, l := range []string{spec.LevelGuarded, spec.LevelIsolated, spec.LevelStrict} {
		if spec.AtLeast(best, l) {
			reached = append(reached, l)
		}
	}
	return reached
}
