package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// measureResident times a gate over a change whose validator sees no tree and is there already, as the panel
// asks it, against the same with a start before and an end after it. The record is in memory for both.
func measureResident(ctx context.Context, s *site) (figures []figure, err error) {
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
	rule, err := s.residentRule(l)
	if err != nil {
		return nil, err
	}
	check := patched(50)
	b := &bench{check: check, loader: l}
	p := panel.New(panel.Options{Record: b, Plugins: b, Artifacts: b, Actor: work.Actor{Kind: "daemon", ID: "bench"}, Version: "bench", Now: time.Now, Log: hclog.NewNullLogger()})
	defer p.Release(context.WithoutCancel(ctx))
	cold := rule
	cold.Resident = false
	got, err := race(ctx, rounds{warm: 5, kept: 80},
		entrant{"resident", func(ctx context.Context, _ int) (float64, error) { return b.judge(ctx, p, rule) }},
		entrant{"cold", func(ctx context.Context, _ int) (float64, error) { return b.judge(ctx, p, cold) }},
	)
	if err != nil {
		return nil, err
	}
	return []figure{compared("gate-resident", "ms", got[0], got[1], bar{ratioAtMost, 0.10}).
		also("a gate of validator-diff, asked by the panel, over a patch of %d files and %d KB, isolated; floor: the same with a start and an end of the validator", len(check.Changes), len(check.Patch)>>10)}, nil
}

// residentRule is the gate, as a configuration and the lock file give it.
func (s *site) residentRule(l *loader.Loader) (work.GateRule, error) {
	h, err := s.newHousehold("", "")
	if err != nil {
		return work.GateRule{}, err
	}
	if err := h.lockPlugins(); err != nil {
		return work.GateRule{}, err
	}
	path := filepath.Join(filepath.Dir(h.config), "drawspan.lock.hcl")
	text, err := os.ReadFile(path)
	if err != nil {
		return work.GateRule{}, fmt.Errorf("read the lock file: %w", err)
	}
	lock, err := pluginlock.Parse(path, text)
	if err != nil {
		return work.GateRule{}, err
	}
	l.SetLock(lock)
	entry, _ := lock.Find("validator", "diff")
	policy := confined()
	policy.Level = "isolated"
	rule := work.GateRule{
		Name: "bench", Validator: "diff", Config: json.RawMessage(`{"max_files":100}`), Sandbox: policy,
		Digest: entry.Digest(), Feeds: entry.Nature.Feeds, Resident: entry.Nature.Resident,
	}
	if !rule.Resident {
		err = errors.New("validator-diff does not stay alive between checks")
	}
	return rule, err
}

// bench is what a panel needs: a record of one subject in memory, and plugins of a loader that see no tree.
type bench struct {
	check  sdk.Check
	loader *loader.Loader

	mu   sync.Mutex
	gate work.GateRecord
}

// judge times the one gate over the change; it has to pass.
func (b *bench) judge(ctx context.Context, p *panel.Panel, rule work.GateRule) (float64, error) {
	s := &panel.Subject{
		Workspace: "bench", AttemptID: ident.New(ident.Attempt), StepID: ident.New(ident.Step), RunID: ident.New(ident.Run), Rules: []work.GateRule{rule},
		Base: b.check.Base, Head: b.check.Head, TreeSum: b.check.TreeSum, Trees: trees{b},
	}
	for _, c := range b.check.Changes {
		s.Facts.Diff.Files = append(s.Facts.Diff.Files, work.Change(c))
	}
	return timed(func() error {
		if err := b.Apply(ctx, p.Open(s)...); err != nil {
			return err
		}
		if err := p.Evaluate(ctx, s); err != nil {
			return err
		}
		if b.gate.Verdict != work.VerdictPass {
			return fmt.Errorf("the gate says %s: %s", b.gate.Verdict, b.gate.Reason)
		}
		return nil
	})
}

// Apply keeps the gate.
func (b *bench) Apply(_ context.Context, rows ...work.Mutation) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, row := range rows {
		switch r := row.(type) {
		case work.OpenGate:
			b.gate = r.Gate
		case work.DecideGate:
			b.gate.Verdict, b.gate.Reason = r.To, r.Reason
		}
	}
	return nil
}

// Gates is the gate.
func (b *bench) Gates(context.Context, string) ([]work.GateRecord, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return []work.GateRecord{b.gate}, nil
}

// Validations are none: each subject is judged once.
func (b *bench) Validations(context.Context, string) ([]work.Validation, error) { return nil, nil }

// Create is never called: the validator says nothing that is kept.
func (b *bench) Create(int64) (panel.Blob, error) { return nil, errors.New("no artifact is kept here") }

// Small bounds what travels with a row.
func (b *bench) Small() int64 { return 1 << 20 }

// Digest names bytes.
func (b *bench) Digest([]byte) string { return "" }

// Start starts a validator.
func (b *bench) Start(ctx context.Context, l panel.Launch) (panel.Plugin, error) {
	i, err := b.loader.Start(ctx, loader.Launch{Kind: "validator", Name: l.Name, Config: l.Config, Policy: l.Policy, AttemptID: l.AttemptID})
	return plugged{i}, err
}

// plugged is an instance as a panel sees it.
type plugged struct{ *loader.Instance }

// Stop ends it.
func (p plugged) Stop(ctx context.Context) (work.Death, error) { return p.Instance.Stop(ctx, 0) }

// trees are those of a change that has none but its patch.
type trees struct{ *bench }

// Head is no tree.
func (trees) Head(context.Context) (panel.Head, error) { return panel.Head{}, nil }

// Base is never asked for.
func (trees) Base(context.Context) (string, func(), error) {
	return "", nil, errors.New("there is no tree of the base here")
}

// Patch is the whole one.
func (t trees) Patch(context.Context, []string, int64) ([]byte, bool, error) {
	return t.check.Patch, false, nil
}

// Lines is that no file is there.
func (trees) Lines(context.Context, string) (int, bool, error) { return 0, false, nil }

// patched is a check of a change that adds files of about a kilobyte.
func patched(count int) sdk.Check {
	c := sdk.Check{AttemptID: "bench", Gate: "bench", Base: strings.Repeat("1", 40), Head: strings.Repeat("2", 40), TreeSum: strings.Repeat("3", 40)}
	const lines = 20
	var patch bytes.Buffer
	for n := range count {
		name := fmt.Sprintf("d/f%03d.txt", n)
		fmt.Fprintf(&patch, "diff --git a/%s b/%s\nnew file mode 100644\nindex 0000000..1111111\n--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n", name, name, name, lines)
		for line := range lines {
			fmt.Fprintf(&patch, "+line %d of a file that was not there before %d\n", line, n)
		}
		c.Changes = append(c.Changes, sdk.Change{Path: name, Op: "add", OldMode: "000000", NewMode: "100644", Size: 1000, Added: lines})
	}
	c.Patch = patch.Bytes()
	return c
}
