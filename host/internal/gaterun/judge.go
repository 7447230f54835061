package gaterun

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/report"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Record is the durable truth of the run.
type Record interface {
	Apply(ctx context.Context, m ...work.Mutation) error
	Run(ctx context.Context, id string) (work.Run, error)
	Step(ctx context.Context, id string) (work.Step, error)
	Attempt(ctx context.Context, id string) (work.Attempt, error)
	Gates(ctx context.Context, attemptID string) ([]work.GateRecord, error)
	Validations(ctx context.Context, attemptID string) ([]work.Validation, error)
}

// Panel evaluates gates.
type Panel interface {
	Open(s *panel.Subject) []work.Mutation
	Evaluate(ctx context.Context, s *panel.Subject) error
}

// Trees makes the sealed tree of the head for one attempt: at once where a gate is sure to open it, else when one looks.
type Trees interface {
	Seal(ctx context.Context, attemptID, base, head string, opened bool) (Sealed, error)
}

// Sealed is the tree that is judged.
type Sealed interface {
	panel.Trees
	Path() string // "" while there is none
	TreeID() string
	Patch(ctx context.Context, paths []string, limit int64) (patch []byte, cut bool, err error)
	Failed() error // why the tree could not be made for somebody who looked
}

// Options are the rooms that a run needs.
type Options struct {
	Record    Record
	Panel     Panel
	Trees     Trees
	Repo      Repository
	Artifacts panel.Artifacts
	Actor     work.Actor
	Now       func() time.Time
	Reuses    bool // results of pure validators may be at hand, so that nobody opens the tree for them
}

// Ask is what is to be judged, and by what.
type Ask struct {
	Range     Range
	Workspace *work.Workspace
	Policy    *work.Policy
	Only      []string
	Floor     string
	Sources   *Sources
	Baseline  *report.Baseline
	From      string  // where the baseline is from
	Lifter    *Lifter // with a baseline
}

// judgement is one run on its way.
type judgement struct {
	Options
	ask     Ask
	began   time.Time
	run     string
	step    string
	attempt string
	diff    work.DiffFacts
	rules   []work.GateRule
	doc     *report.Document
	tree    Sealed
}

// Judge evaluates the gates over the range and writes everything into the record. The document says the
// verdict; an error means that there is none.
func Judge(ctx context.Context, o Options, ask Ask) (*report.Document, error) {
	j := &judgement{Options: o, ask: ask, began: o.Now(), run: ident.New(ident.Run), step: ident.New(ident.Step), attempt: ident.New(ident.Attempt)}
	if err := j.prepare(ctx); err != nil {
		return nil, err
	}
	if err := j.open(ctx); err != nil {
		return nil, fmt.Errorf("open the record: %w", err)
	}
	if err := j.evaluate(ctx); err != nil {
		return nil, err
	}
	gates, err := j.document(ctx)
	if err != nil {
		return nil, err
	}
	if err := j.close(ctx, gates); err != nil {
		return nil, fmt.Errorf("close the record: %w", err)
	}
	j.doc.Timing.Millis = o.Now().Sub(j.began).Milliseconds()
	return j.doc, nil
}

// prepare compares the commits and chooses the rules.
func (j *judgement) prepare(ctx context.Context) error {
	r := j.ask.Range
	var err error
	if j.diff, err = j.Repo.Compare(ctx, r.Base, r.Head); err != nil {
		return err
	}
	j.doc = &report.Document{
		Schema: report.Schema, Workspace: j.ask.Workspace.Name, Notes: append([]report.Note{}, r.Notes...), Gates: []report.Gate{},
		Subject: report.Subject{
			BaseRef: r.BaseRef, HeadRef: r.HeadRef, Asked: r.Asked, Base: r.Base, Head: r.Head,
			Files: len(j.diff.Files), Insertions: j.diff.Insertions, Deletions: j.diff.Deletions, Binary: j.diff.Binary,
		},
		Rules: j.ask.Sources.Rules(j.diff.Files),
	}
	j.doc.Rules.Policy, j.doc.Rules.Floor = j.ask.Policy.Digest, j.ask.Floor
	for _, path := range j.doc.Rules.Edited {
		j.doc.Notes = append(j.doc.Notes, report.Note{Code: "edits-its-judge", Level: "warning", Path: path,
			Text: fmt.Sprintf("this change edits its own judge: %s; the base's rules were used", path)})
	}
	rules, omitted, err := choose(j.ask.Workspace, j.ask.Policy.Executors, j.ask.Only, j.diff)
	j.rules, j.doc.Omitted = Floored(rules, j.ask.Floor), omitted
	if len(omitted) > 0 {
		j.doc.Notes = append(j.doc.Notes, report.Note{Code: "left-out", Level: "note", Text: "gates that were not asked for: " + strings.Join(omitted, ", ")})
	}
	return err
}

// open writes the run, its step and its attempt up to the point where gates are evaluated.
func (j *judgement) open(ctx context.Context) error {
	r, now := j.ask.Range, j.Now()
	text := fmt.Sprintf("gate run %s..%s", r.Base, r.Head)
	sum := sha256.Sum256([]byte(text))
	err := j.Record.Apply(ctx,
		work.OpenRun{Run: work.Run{ID: j.run, Workspace: j.ask.Workspace.Name, Title: "gate run", Base: r.BaseRef, BaseCommit: r.Base, Actor: j.Actor, OpenedAt: now, PolicySum: j.ask.Policy.Digest}},
		work.DispatchStep{Step: work.Step{ID: j.step, RunID: j.run, Workspace: j.ask.Workspace.Name, Actor: j.Actor, Dispatched: now,
			Spec: work.StepSpec{Text: text, Gates: j.ask.Only}, SpecSum: "sha256:" + hex.EncodeToString(sum[:])}},
	)
	if err != nil {
		return err
	}
	if err := j.moveStep(ctx, work.StepActive, ""); err != nil {
		return err
	}
	err = j.Record.Apply(ctx, work.CreateAttempt{Attempt: work.Attempt{ID: j.attempt, StepID: j.step, RunID: j.run, Workspace: j.ask.Workspace.Name, Text: text, CreatedAt: now}})
	if err != nil {
		return err
	}
	return j.move(ctx, work.MoveAttempt{To: work.AttemptPreparing, Base: r.Base, Start: r.Head})
}

// opened reports whether a validator is sure to open the tree. One that stays alive is fed with data and sees none.
func (j *judgement) opened() bool {
	return slices.ContainsFunc(j.rules, func(r work.GateRule) bool {
		return r.Validator != "" && !r.Builtin && !r.Resident && !(r.Pure && j.Reuses)
	})
}

// evaluate seals the head's tree and has the gates decided.
func (j *judgement) evaluate(ctx context.Context) error {
	r := j.ask.Range
	tree, err := j.Trees.Seal(ctx, j.attempt, r.Base, r.Head, j.opened())
	if err != nil {
		return err
	}
	j.tree, j.doc.Subject.Tree = tree, tree.TreeID()
	s := &panel.Subject{
		Workspace: j.ask.Workspace.Name, AttemptID: j.attempt, StepID: j.step, RunID: j.run, Rules: j.rules, Base: r.Base, Head: r.Head, TreeSum: tree.TreeID(),
		Paths: []sdk.Paths{{Write: j.ask.Workspace.Paths.Write, Forbid: j.ask.Workspace.Paths.Forbid}}, Facts: work.Facts{Diff: j.diff}, Trees: tree,
		Provision: j.ask.Workspace.Provision,
	}
	evidence := &work.Evidence{TreeAfter: tree.TreeID(), Commit: r.Head, Ref: r.HeadRef, Diff: j.diff}
	for _, m := range []work.MoveAttempt{{To: work.AttemptRunning}, {To: work.AttemptCollecting}, {To: work.AttemptValidating, Evidence: evidence}} {
		var with []work.Mutation
		if m.To == work.AttemptValidating {
			with = j.Panel.Open(s)
		}
		if err := j.move(ctx, m, with...); err != nil {
			return fmt.Errorf("open the gates: %w", err)
		}
	}
	if err := j.Panel.Evaluate(ctx, s); err != nil {
		return err
	}
	if err := tree.Failed(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// close ends attempt and step, with the document and the patch as artifacts.
func (j *judgement) close(ctx context.Context, gates []work.GateRecord) error {
	standing, why := gate.Stand(work.Succeeded, "", gates)
	state := map[gate.Standing]work.StepState{gate.Passed: work.StepPassed, gate.Rejected: work.StepRejected, gate.Held: work.StepHeld}[standing]
	if state == "" {
		state = work.StepFailed
	}
	body, err := j.untimed()
	if err != nil {
		return err
	}
	patch, cut, err := j.tree.Patch(ctx, nil, sdk.MaxPatch)
	if err != nil {
		return err
	}
	result, err := j.artifact("result.json", "result", "application/json", body)
	if err != nil {
		return err
	}
	diff, err := j.artifact("diff.patch", "diff", "text/x-diff", patch)
	if err != nil {
		return err
	}
	diff.Truncated = diff.Truncated || cut
	kept := []work.Mutation{work.KeepArtifact{Artifact: result}, work.KeepArtifact{Artifact: diff}}
	if err := j.move(ctx, work.MoveAttempt{To: work.AttemptEnded, Outcome: work.Succeeded}, kept...); err != nil {
		return err
	}
	if err := j.moveStep(ctx, state, why); err != nil || state == work.StepHeld {
		return err
	}
	run, err := j.Record.Run(ctx, j.run)
	if err != nil {
		return err
	}
	return j.Record.Apply(ctx, work.MoveRun{ID: j.run, Version: run.Version, To: work.RunClosed, Actor: j.Actor, At: j.Now()})
}

// artifact keeps bytes: small ones in the record itself.
func (j *judgement) artifact(name, kind, media string, body []byte) (work.Artifact, error) {
	row := work.Artifact{AttemptID: j.attempt, RunID: j.run, StepID: j.step, Name: name, Kind: kind, Media: media, At: j.Now()}
	return panel.Keep(j.Artifacts, row, bytes.NewReader(body), int64(len(body)))
}

// untimed is the document as it is the same for every run over the same.
func (j *judgement) untimed() ([]byte, error) {
	doc := *j.doc
	doc.Timing = report.Timing{Gates: []report.GateTiming{}}
	body, err := report.JSON(&doc)
	return bytes.TrimSpace(body), err
}

func (j *judgement) move(ctx context.Context, m work.MoveAttempt, with ...work.Mutation) error {
	at, err := j.Record.Attempt(ctx, j.attempt)
	if err != nil {
		return err
	}
	m.ID, m.Version, m.Actor, m.At = j.attempt, at.Version, j.Actor, j.Now()
	if m.To == work.AttemptEnded {
		return j.Record.Apply(ctx, append(with, m)...)
	}
	return j.Record.Apply(ctx, append([]work.Mutation{m}, with...)...)
}

func (j *judgement) moveStep(ctx context.Context, to work.StepState, why string) error {
	step, err := j.Record.Step(ctx, j.step)
	if err != nil {
		return err
	}
	return j.Record.Apply(ctx, work.MoveStep{ID: j.step, Version: step.Version, To: to, Reason: why, Actor: j.Actor, At: j.Now()})
}

// document fills in the verdicts.
func (j *judgement) document(ctx context.Context) ([]work.GateRecord, error) {
	records, err := j.Record.Gates(ctx, j.attempt)
	if err != nil {
		return nil, err
	}
	validations, err := j.Record.Validations(ctx, j.attempt)
	if err != nil {
		return nil, err
	}
	byGate := map[string]work.GateRecord{}
	for _, g := range records {
		byGate[g.Name] = g
	}
	d := j.doc
	d.Timing = report.Timing{Began: j.began.UTC(), Run: j.run, Attempt: j.attempt, Gates: []report.GateTiming{}}
	for _, rule := range j.rules {
		g, ok := byGate[rule.Name]
		if !ok {
			return nil, fault.New(fault.Internal, "gate %q is not in the record", rule.Name)
		}
		d.Gates = append(d.Gates, j.gate(rule, g, validations))
	}
	d.Notes = append(d.Notes, below(d.Gates)...)
	j.compared()
	d.Verdict, d.Reason = verdict(d.Gates, records)
	return records, nil
}

func verdict(gates []report.Gate, records []work.GateRecord) (string, string) {
	standing, why := gate.Stand(work.Succeeded, "", records)
	switch standing {
	case gate.Passed:
		return "pass", fmt.Sprintf("every required gate of %d passed or does not apply", len(gates))
	case gate.Held:
		return "hold", why
	}
	return "fail", why
}

// gate is one gate of the document, from its record and its last validation.
func (j *judgement) gate(rule work.GateRule, g work.GateRecord, all []work.Validation) report.Gate {
	out := report.Gate{
		Name: g.Name, Verdict: string(g.Verdict), Reason: j.plain(g.Reason), Required: g.Required, Declared: rule.Declared, RuleSum: g.RuleSum, Findings: []report.Finding{},
	}
	timing := report.GateTiming{Name: g.Name}
	for _, v := range all {
		if v.Gate != g.Name {
			continue
		}
		timing.Millis += v.Duration.Milliseconds()
		timing.Evaluations++
		timing.Reused = v.Reused != ""
		out.Result, out.Inputs, out.Sandbox, out.Command, out.ExitCode, out.Metrics = string(v.Result), v.Inputs, levelsOf(v.Enforced), j.plainAll(v.Command), v.ExitCode, v.Metrics
		out.Plugin = &report.Plugin{Name: v.Plugin.Name, Version: v.Plugin.Version, Digest: v.Plugin.Digest}
		out.Findings = out.Findings[:0]
		for _, f := range v.Findings {
			f.Message, f.Help = j.plain(f.Message), j.plain(f.Help)
			out.Findings = append(out.Findings, findingOf(f))
		}
	}
	out.Findings = report.Settle(g.Name, out.Findings)
	if b := j.ask.Baseline; b != nil {
		out.Known = b.Mark(g.Name, out.Findings)
	}
	j.doc.Timing.Gates = append(j.doc.Timing.Gates, timing)
	return out
}

// plain takes the place of the tree out of a text: it is another one in every run.
func (j *judgement) plain(s string) string {
	if path := j.tree.Path(); path != "" {
		return strings.ReplaceAll(s, path, ".")
	}
	return s
}

func (j *judgement) plainAll(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, j.plain(s))
	}
	return out
}

// compared says what the baseline did.
func (j *judgement) compared() {
	if j.ask.Baseline == nil {
		return
	}
	c := &report.Compared{Source: j.ask.From, Findings: j.ask.Baseline.Len(), Lifted: []string{}}
	for _, g := range j.doc.Gates {
		if j.ask.Lifter != nil && j.ask.Lifter.lifted[g.Name] {
			c.Lifted = append(c.Lifted, g.Name)
		}
	}
	j.doc.Baseline = c
}

// Exit is the exit code that a document means. failOn is error, warning or never.
func Exit(d *report.Document, failOn string) int {
	errors, warnings, _, _ := report.Count(d)
	warned := errors+warnings > 0 || len(d.Rules.Edited) > 0
	for _, g := range d.Gates {
		warned = warned || g.Verdict == "fail" && !g.Required || g.Result == "warn" && len(g.Findings) == 0
	}
	switch {
	case failOn == "never":
		return fault.ExitOK
	case d.Verdict == "hold":
		return fault.ExitWaitsForHuman
	case d.Verdict != "pass", failOn == "warning" && warned:
		return fault.ExitGateFailed
	}
	return fault.ExitOK
}
