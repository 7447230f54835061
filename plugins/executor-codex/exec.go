package main

import (
	"context"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/tool"
)

// exec performs the attempt by codex exec, which never asks. Note says why, where the operator did not ask
// for it. A session is not resumed this way: its usage could not be told from what was spent before.
func (j job) exec(ctx context.Context, note string) (sdk.Result, error) {
	version, err := agent.ProgramVersion(ctx, j.program, j.home.env, "--version")
	if err != nil && ctx.Err() == nil {
		return sdk.Result{}, &sdk.Failure{Class: "policy", Message: "the installed codex cannot be driven", Err: err}
	}
	var p printed
	p.Event(sdk.EventModeChanged, "", "", map[string]string{"mode": modeExec, "reason": note})
	if err := j.tell(ctx, p.Take()); err != nil {
		return sdk.Result{}, err
	}
	told := make(chan struct{}) // never: the program's end is the end
	process := agent.Start(context.WithoutCancel(ctx), agent.Command{
		Argv: agent.Argv(j.program, modeExec, "--json", "--skip-git-repo-check", "--sandbox", j.settings.policy(), "-C", j.attempt.Tree, "-"),
		Dir:  j.attempt.Tree, Env: j.home.env,
	}, agent.Handler{
		Emit: j.attempt.Host.Emit,
		Line: func(line []byte) error { return j.tell(ctx, p.Line(line)) },
		Long: func(beginning []byte, n int) error { p.Unparsed(beginning, n); return j.tell(ctx, p.Take()) },
	})
	if err := process.Put([]byte(agent.Preamble(j.attempt.Resume) + j.attempt.Instruction)); err != nil {
		process.Stop()
	}
	process.CloseInput()
	ran, err := process.Await(ctx, told, process.Stop)
	if err != nil {
		return sdk.Result{}, err
	}
	status := "unknown"
	if ctx.Err() != nil {
		status = "cancelled"
	}
	p.EndTools(status)
	r := p.result(ctx, ran, process.Stderr())
	r.Version = version
	if r.Message == "" {
		r.Message = note
	}
	p.SessionEnded(r)
	return r, j.tell(ctx, p.Take())
}

// result is the claim.
func (p *printed) result(ctx context.Context, ran tool.Result, stderr string) sdk.Result {
	r := sdk.Result{StopReason: "end_turn", Session: p.thread, Usage: p.spent, Summary: agent.Clip(p.last, sdk.MaxSummary)}
	switch {
	case p.done == nil && ctx.Err() != nil:
		r.StopReason = "cancelled"
	case p.done == nil && p.fault.class != "":
		p.fault.claim(&r)
	case p.done != nil && p.done.status == "failed":
		p.done.fault.claim(&r)
	}
	return agent.Judge(r, p.done != nil, ran, stderr)
}
