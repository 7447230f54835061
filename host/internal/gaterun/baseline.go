package gaterun

import (
	"context"
	"fmt"
	"sync"

	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/report"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// maxFindings is where a panel cuts a list of findings: what is beyond could be new.
const maxFindings = 1000

// Lifter starts validators and turns a fail whose every finding a baseline has into a warning.
type Lifter struct {
	panel.Plugins
	baseline *report.Baseline

	mu     sync.Mutex
	lifted map[string]bool
}

// Lift puts a baseline between a panel and its validators. What a lifted validator says is not to be used
// again by a run without it.
func Lift(p panel.Plugins, b *report.Baseline) *Lifter {
	return &Lifter{Plugins: p, baseline: b, lifted: map[string]bool{}}
}

// Start starts a validator.
func (l *Lifter) Start(ctx context.Context, launch panel.Launch) (panel.Plugin, error) {
	p, err := l.Plugins.Start(ctx, launch)
	if err != nil {
		return nil, err
	}
	return lifting{p, l}, nil
}

type lifting struct {
	panel.Plugin
	by *Lifter
}

// Check asks the validator and compares what it found.
func (p lifting) Check(ctx context.Context, c sdk.Check, output func(stream string, b []byte) error) (sdk.Verdict, error) {
	v, err := p.Plugin.Check(ctx, c, output)
	if err != nil || v.Outcome != sdk.Fail || len(v.Findings) == 0 || len(v.Findings) >= maxFindings {
		return v, err
	}
	findings := make([]report.Finding, 0, len(v.Findings))
	for _, f := range v.Findings {
		findings = append(findings, findingOf(work.Finding(f)))
	}
	findings = report.Settle(c.Gate, findings)
	if p.by.baseline.Mark(c.Gate, findings) < len(findings) {
		return v, nil
	}
	v.Outcome = sdk.Warn
	v.Message = fmt.Sprintf("fail, but the baseline has all of its %d findings: %s", len(findings), v.Message)
	p.by.mu.Lock()
	defer p.by.mu.Unlock()
	p.by.lifted[c.Gate] = true
	return v, nil
}

func findingOf(f work.Finding) report.Finding {
	return report.Finding{
		Rule: f.Rule, Severity: f.Severity, Path: f.Path, Line: f.Line, EndLine: f.EndLine, Message: f.Message, Help: f.Help, Fingerprint: f.Fingerprint,
	}
}
