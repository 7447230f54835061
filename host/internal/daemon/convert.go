package daemon

import (
	"encoding/json"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/work"
)

func jsonOf(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(`null`)
	}
	return b
}

// timeOf is nil for a time that has not come.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func durationOf(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func actorOf(a work.Actor) api.Actor { return api.Actor(a) }

func rulesOf(r *work.PathRules) *api.PathRules {
	if r == nil {
		return nil
	}
	return &api.PathRules{Write: r.Write, Forbid: r.Forbid}
}

func mapAll[A, B any](in []A, f func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, f(a))
	}
	return out
}

func runOf(r work.Run) api.Run {
	return api.Run{
		ID: r.ID, Workspace: r.Workspace, Title: r.Title, Base: r.Base, BaseCommit: r.BaseCommit, State: string(r.State),
		Version: r.Version, Actor: actorOf(r.Actor), OpenedAt: r.OpenedAt, EndedAt: timeOf(r.EndedAt), Steps: r.Steps, PolicySum: r.PolicySum,
	}
}

func stepOf(s work.Step) api.Step {
	return api.Step{
		ID: s.ID, RunID: s.RunID, Workspace: s.Workspace, Ix: s.Ix, Text: s.Spec.Text, Executor: s.Spec.Executor,
		Paths: rulesOf(s.Spec.Paths), Wall: durationOf(s.Spec.Wall), Gates: s.Spec.Gates, Expect: s.Spec.Expect,
		State: string(s.State), Reason: s.Reason, Simulated: s.Simulated, Version: s.Version, Actor: actorOf(s.Actor),
		AttemptID: s.AttemptID, Attempts: s.Attempts, Dispatched: s.Dispatched, EndedAt: timeOf(s.EndedAt),
	}
}

func attemptOf(a work.Attempt) api.Attempt {
	out := api.Attempt{
		ID: a.ID, StepID: a.StepID, RunID: a.RunID, N: a.N, Executor: a.Executor, State: string(a.State), Version: a.Version,
		Base: a.Base, Start: a.Start, Level: a.Level, Enforced: a.Enforced, Outcome: string(a.Outcome), Reason: a.Reason,
		Message: a.Message, Retryable: a.Retryable, Cause: a.Cause, Simulated: a.Simulated,
		CreatedAt: a.CreatedAt, StartedAt: timeOf(a.StartedAt), EndedAt: timeOf(a.EndedAt),
	}
	if a.Plugin != nil {
		out.Plugin = jsonOf(a.Plugin)
	}
	if a.Claim != nil {
		out.Claim = jsonOf(a.Claim)
	}
	if a.Evidence != nil {
		out.Evidence = jsonOf(a.Evidence)
	}
	if a.Death != nil {
		out.Death = jsonOf(a.Death)
	}
	return out
}

func validationOf(v work.Validation) api.Validation {
	out := api.Validation{
		ID: v.ID, AttemptID: v.AttemptID, Gate: v.Gate, N: v.N, Plugin: jsonOf(v.Plugin), Command: v.Command, ExitCode: v.ExitCode,
		Signal: v.Signal, DurationMS: float64(v.Duration) / float64(time.Millisecond), Stdout: v.Stdout, Stderr: v.Stderr,
		Result: string(v.Result), Message: v.Message, Tree: v.Tree, At: v.At,
		Inputs: v.Inputs, Reused: v.Reused, Metrics: v.Metrics,
	}
	if len(v.Findings) > 0 {
		out.Findings = jsonOf(v.Findings)
	}
	return out
}

func gateOf(g work.GateRecord) api.GateState {
	return api.GateState{
		ID: g.ID, AttemptID: g.AttemptID, Name: g.Name, Rule: json.RawMessage(g.Rule), RuleSum: g.RuleSum, Required: g.Required,
		Verdict: string(g.Verdict), Reason: g.Reason, Validation: g.Validation, ApprovalID: g.ApprovalID, DecidedBy: g.DecidedBy, At: g.At,
	}
}

func approvalOf(a work.Approval) api.Approval {
	out := api.Approval{
		ID: a.ID, RunID: a.RunID, StepID: a.StepID, AttemptID: a.AttemptID, Workspace: a.Workspace, Kind: string(a.Kind), Gate: a.Gate,
		Prompt: a.Prompt, Options: a.Options, Deadline: a.Deadline, Default: a.Default, State: string(a.State), Answer: a.Answer,
		Note: a.Note, DecidedBy: a.DecidedBy, OpenedAt: a.OpenedAt, DecidedAt: timeOf(a.DecidedAt),
	}
	if a.Actor.Kind != "" {
		actor := actorOf(a.Actor)
		out.Actor = &actor
	}
	return out
}

func artifactOf(a work.Artifact) api.Artifact {
	return api.Artifact{
		AttemptID: a.AttemptID, Name: a.Name, Kind: a.Kind, Digest: a.Digest, Size: a.Size, Media: a.Media, Truncated: a.Truncated, At: a.At,
	}
}

func workspaceOf(w *work.Workspace) api.Workspace {
	return api.Workspace{
		Name: w.Name, Root: w.Root, Base: w.Base, Bases: w.Bases, Executors: w.Executors, Declared: w.Declared,
		Gates: mapAll(w.Gates, func(g work.GateRule) api.Gate {
			out := api.Gate{Name: g.Name, Validator: g.Validator, Needs: g.Needs, Optional: g.Optional, OnFail: g.OnFail, OnError: g.OnError, Paths: g.Paths,
				Hold: g.Hold, Retries: g.Retries, Declared: g.Declared}
			if g.Timeout > 0 {
				out.Timeout = g.Timeout.String()
			}
			if g.When != nil {
				out.When = g.When.Text
			}
			return out
		}),
	}
}
