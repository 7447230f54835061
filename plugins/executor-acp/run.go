package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/tool"
)

// executor drives agents. Environ is the process's environment, as os.Environ gives it.
type executor struct{ environ func() []string }

// Configure refuses a config block that makes no profile.
func (executor) Configure(_ context.Context, config json.RawMessage) error {
	_, _, err := parse(config)
	return err
}

// Probe looks at the program of a profile.
func (e executor) Probe(ctx context.Context, r sdk.ProbeRequest) (sdk.Probe, error) {
	s, p, err := parse(r.Config)
	if err != nil {
		return sdk.Probe{}, err
	}
	if r.Program == nil {
		return sdk.Probe{Login: "unknown", Notes: []string{missing(p).Error()}}, nil
	}
	out := sdk.Probe{Login: "unknown"}
	st, err := plan(s, p, &sdk.Attempt{Program: r.Program, Gateway: r.Gateway}, e.environ())
	if err != nil {
		out.Login, out.Notes = "missing", []string{err.Error()}
	}
	if err == nil && r.Gateway != nil {
		out.Login = "ready"
	}
	if len(p.VersionArgs) > 0 {
		out.Version, err = agent.ProgramVersion(ctx, native(p, *r.Program), st.env, p.VersionArgs...)
	} else {
		out.Version, err = packaged(r.Program.Path)
	}
	out.Tested = agent.InRange(out.Version, p.Tested)
	switch {
	case err != nil:
		out.Notes = append(out.Notes, err.Error())
	case p.Tested == "":
		out.Notes = append(out.Notes, "the profile is your own: no version of the program was tested with it")
	}
	return out, nil
}

// packaged is the version of the npm package that a program belongs to.
func packaged(program string) (string, error) {
	const levels, most = 3, 1 << 20
	dir := filepath.Dir(program)
	for range levels {
		if f, err := os.Open(filepath.Join(dir, "package.json")); err == nil {
			text, err := io.ReadAll(io.LimitReader(f, most))
			f.Close() //nolint:errcheck // it was only read
			var m [1][]byte
			if err == nil && agent.Pick(text, []string{"version"}, m[:]) {
				return agent.Version(agent.Text(m[0])), nil
			}
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("%s belongs to no package that says its version", program)
}

// missing is the failure of a profile whose program was not found.
func missing(p profile) error {
	if p.Name == customProfile {
		return &sdk.Failure{Class: "policy", Message: `a profile of your own names no program: set program = "NAME" in the executor block`}
	}
	return agent.ErrNoProgram(sdk.Program{Name: p.Program, Install: p.Install})
}

// Run performs the step in one session.
func (e executor) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	s, p, err := parse(a.Config)
	if err != nil {
		return sdk.Result{}, err
	}
	if a.Program == nil {
		return sdk.Result{}, missing(p)
	}
	if err := guarded(p, a.Tree); err != nil {
		return sdk.Result{}, err
	}
	st, err := plan(s, p, a, e.environ())
	if err != nil {
		return sdk.Result{}, err
	}
	if err := st.furnish(a.Gateway != nil); err != nil {
		return sdk.Result{}, err
	}
	st.restore(a.Resume)
	return perform(ctx, open(ctx, a, p, st))
}

// perform holds the conversation and judges how it and the program ended.
func perform(ctx context.Context, s *session) (sdk.Result, error) {
	told := make(chan struct{})
	var failed error
	go func() {
		defer close(told)
		failed = s.converse(ctx)
	}()
	ran, err := s.process.Await(ctx, told, func() { s.cancel(ctx) })
	<-told // the connection ends with the program
	if err != nil {
		return sdk.Result{}, err
	}
	result := s.claim(ctx, failed, ran)
	if err := s.over(result); err != nil {
		return sdk.Result{}, err
	}
	result.State, err = agent.Pack(s.start.home, s.profile.kept(result.Session))
	if err != nil { // a follow-up begins with the summary then
		err = s.emit([]sdk.Event{sdk.Log("stderr", fmt.Appendf(nil, "the session is not kept: %v\n", err))})
	}
	return result, err
}

// over tells the end of the session.
func (s *session) over(r sdk.Result) error {
	s.mu.Lock()
	s.read.flush("commentary")
	status := "unknown"
	if r.StopReason == "cancelled" {
		status = "cancelled"
	}
	s.read.close(status)
	s.read.SessionEnded(r)
	events := s.read.Take()
	s.mu.Unlock()
	return s.emit(events)
}

// claim is what the agent says of the attempt. What counts is the terminal record that the reader saw: the
// connection may have lost it where the agent ended right behind it.
func (s *session) claim(ctx context.Context, failed error, ran tool.Result) sdk.Result {
	v := s.view()
	r := sdk.Result{
		Session: agent.ID(v.opened.ID), Version: v.hello.Version, Summary: agent.Clip(v.final, sdk.MaxSummary),
		Denied: v.denied, Usage: v.used,
	}
	var own *sdk.Failure
	switch {
	case errors.As(failed, &own):
		r.StopReason, r.Failed, r.Class, r.Message = "error", true, own.Class, own.Message
	case v.end != nil && v.end.Error != nil:
		r.StopReason, r.Failed, r.Message = "error", true, v.end.Error.Error()
		r.Class, r.Retryable = v.end.Error.class()
	case v.end != nil:
		s.stopped(&r, v)
	}
	if ctx.Err() != nil && (v.end == nil || r.Failed) {
		r = sdk.Result{Session: r.Session, Version: r.Version, Summary: r.Summary, Denied: r.Denied, Usage: r.Usage, StopReason: "cancelled"}
	}
	r = agent.Judge(r, v.end != nil || own != nil, ran, s.process.Stderr())
	if r.Failed && r.Class == "" {
		r.Class = "unknown"
	}
	return r
}

// stopReasons are the protocol's, as ours.
var stopReasons = map[string]string{
	"end_turn": "end_turn", "max_tokens": "max_tokens", "max_turn_requests": "max_turns", "refusal": "refusal", "cancelled": "cancelled",
}

// stopped reads the stop reason of a turn that was answered.
func (s *session) stopped(r *sdk.Result, v seen) {
	r.StopReason = stopReasons[v.end.Stop]
	switch r.StopReason {
	case "":
		r.StopReason, r.Failed, r.Class = "error", true, "protocol"
		r.Message = fmt.Sprintf("the agent ended with the stop reason %q, which the protocol does not have", v.end.Stop)
	case "max_tokens":
		r.Failed, r.Class, r.Message = true, "context", "the agent ended at its limit of tokens"
	case "max_turns":
		r.Failed, r.Class, r.Message = true, "budget", "the agent ended at its limit of requests in one turn"
	case "refusal":
		r.Failed, r.Class, r.Message = true, "policy", "the model refused to go on"
	case "end_turn":
		if s.profile.erred(v) {
			r.StopReason, r.Failed, r.Message = "error", true, agent.Clip(v.final, sdk.MaxSummary)
			r.Class, r.Retryable = agent.Class(status(v.final), v.final)
		}
	}
}

// erred reports whether what was called a good end is an error of the agent.
func (p profile) erred(v seen) bool {
	if p.NoUsageIsFailure && v.used == nil && v.final != "" {
		return true
	}
	return p.ErrorText != "" && regexp.MustCompile(p.ErrorText).MatchString(v.final)
}

// Error is what the agent said, and to what.
func (e *rpcError) Error() string {
	return fmt.Sprintf("the agent refused %s: %s (code %d)", e.Method, e.Message, e.Code)
}

// authRequired is the protocol's code for a missing login.
const authRequired = -32000

func (e *rpcError) class() (class string, retryable bool) {
	if e.Code == authRequired {
		return "auth", false
	}
	code := status(e.Message)
	if e.Code >= 400 && e.Code < 600 {
		code = int(e.Code) // some give the status of the model's server
	}
	return agent.Class(code, e.Message)
}

var statusForm = regexp.MustCompile(`\b(?:4[0-9]{2}|5[0-9]{2})\b`)

// status is the HTTP status in the words of an error, or 0.
func status(text string) int {
	n, err := strconv.Atoi(statusForm.FindString(text))
	if err != nil {
		return 0
	}
	return n
}
