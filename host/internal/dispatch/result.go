package dispatch

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// result is the artifact result.json.
func (a *drive) result(ctx context.Context, ended work.MoveAttempt, gates []work.GateRecord) (work.Artifact, error) {
	kept, err := a.d.opt.Record.Artifacts(ctx, a.at.ID)
	if err != nil {
		return work.Artifact{}, err
	}
	spec := a.resultSpec(ended)
	for _, k := range kept {
		spec.Artifacts = append(spec.Artifacts, work.SpecArtifact{Name: k.Name, Kind: k.Kind, Media: k.Media, Size: k.Size, Digest: k.Digest, Truncated: k.Truncated})
	}
	for _, g := range gates {
		spec.Gates = append(spec.Gates, work.SpecGate{Name: g.Name, Verdict: g.Verdict, Reason: g.Reason, Ref: g.Validation})
	}
	spec.Warnings = a.warnings(spec)
	body, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return work.Artifact{}, fmt.Errorf("encode result: %w", err)
	}
	return a.keep("result.json", "result", "application/json", body)
}

// resultSpec is result.json without what is in other rows of the record.
func (a *drive) resultSpec(ended work.MoveAttempt) work.ResultSpec {
	s := work.ResultSpec{
		Schema: work.ResultSchema, Daemon: a.d.opt.Version, RunID: a.at.RunID, StepID: a.at.StepID, AttemptID: a.at.ID, N: a.at.N,
		Supersedes: a.step.AttemptID, Executor: work.SpecExecutor{Name: a.at.Executor, Plugin: a.at.Plugin}, Simulated: a.at.Simulated,
		Outcome: ended.Outcome, Reason: ended.Reason, Message: ended.Message, Retryable: ended.Retryable, Claim: ended.Claim, Evidence: a.at.Evidence,
		Base: a.at.Base, Start: a.at.Start, Sandbox: work.SpecSandbox{Level: a.at.Level, Enforced: a.at.Enforced}, Death: ended.Death,
		Timing: work.SpecTiming{Queued: a.at.CreatedAt, Started: a.began.UTC(), Ended: a.d.now()}, Limits: a.limits(),
		Artifacts: []work.SpecArtifact{}, Gates: []work.SpecGate{}, Questions: a.questionsAsked(),
	}
	if a.at.Plugin != nil {
		s.Executor.Protocol = a.at.Plugin.Protocol
	}
	if c := ended.Claim; c != nil {
		s.Executor.Version, s.Usage.Reported = c.Version, c.Usage
		if ended.Retryable {
			s.RetryAfter = c.RetryAfter
		}
	}
	if e := a.at.Evidence; e != nil {
		s.Usage.Gateway, s.Permission, s.Timing.FirstEvent, s.Resumed = e.Usage, e.Permissions, e.FirstEvent, e.Resumed
		if c := ended.Claim; c != nil && c.Session != "" {
			s.Session = &work.SpecSession{NativeID: c.Session, Resumable: e.Session}
		}
	}
	return s
}

// limits are the limits in force.
func (a *drive) limits() work.SpecLimits {
	box := a.ex.Sandbox
	l := work.SpecLimits{Wall: a.wall().String(), Output: a.outputLimit(), Memory: box.Memory, Disk: box.Disk, Processes: box.Processes}
	if box.CPUTime > 0 {
		l.CPUTime = box.CPUTime.String()
	}
	return l
}

func (a *drive) questionsAsked() []work.SpecQuestion {
	a.tally.Lock()
	defer a.tally.Unlock()
	out := []work.SpecQuestion{}
	for _, ap := range a.answers {
		out = append(out, work.SpecQuestion{
			ApprovalID: ap.ID, Kind: ap.Kind, Prompt: clipped(ap.Prompt, maxFactText), State: ap.State, DecidedBy: ap.DecidedBy, Answer: clipped(ap.Answer, maxFactText),
		})
	}
	return out
}

// warnings are what somebody should know who only reads the outcome.
func (a *drive) warnings(s work.ResultSpec) []string {
	out := []string{}
	warn := func(when bool, format string, args ...any) {
		if when {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	warn(s.Simulated, "simulated: plugin %q only plays a part", a.ex.Plugin)
	warn(s.Permission.Refused(), "%d of %d permission requests were refused", s.Permission.Denied+s.Permission.Expired, s.Permission.Requested)
	if c := s.Claim; c != nil {
		warn(c.StopReason == "cancelled" && s.Outcome != work.Cancelled, "the executor says that it was cancelled; the host did not cancel it")
		warn(s.Outcome == work.Succeeded && c.ExitCode != nil && *c.ExitCode != 0, "the executor's program exited with %d, which its plugin takes for success", code(c.ExitCode))
		warn(c.Signal != "" && c.ExitCode != nil && *c.ExitCode == 0, "the executor's program ended by %s and is said to have exited with 0", c.Signal)
	}
	if e := s.Evidence; e != nil {
		warn(e.Leftovers > 0, "%d processes were alive when the executor had ended; they were killed", e.Leftovers)
		warn(e.Truncated, "the output was cut at the cap")
		warn(len(e.Refused) > 0, "%d entries of the tree were not taken over", len(e.Refused))
		warn(e.Unpublished != "", "the kept commit is not in the operator's repository: %s", e.Unpublished)
		warn(e.Commits != nil && e.Commits.Refused != "", "the executor's own commits were not taken over")
		warn(e.Violations > 0, "the sandbox refused %d calls", e.Violations)
	}
	for _, k := range s.Artifacts {
		warn(k.Truncated && k.Name == "diff.patch", "diff.patch was cut; the commit is whole")
	}
	return out
}

func code(exit *int) int {
	if exit == nil {
		return 0
	}
	return *exit
}

// usageOf is a usage for the record, within what the record counts exactly.
func usageOf(u *sdk.Usage) *work.Usage {
	if u == nil {
		return nil
	}
	const most = 1 << 50
	tokens := func(n int64) int64 { return min(max(n, 0), most) }
	out := work.Usage{
		Input: tokens(u.Input), CachedRead: tokens(u.CachedRead), CachedWrite: tokens(u.CachedWrite), Output: tokens(u.Output), Reasoning: tokens(u.Reasoning),
		Calls: tokens(u.Calls), Currency: clipped(u.Currency, 8), Model: clipped(u.Model, sdk.MaxName), Scope: clipped(u.Scope, 16), Basis: clipped(u.Basis, 16),
	}
	if micros := u.Cost * 1e6; micros > 0 && micros < most {
		out.CostMicros = int64(micros + 0.5)
	}
	return &out
}
