package cli

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// world is a fake daemon whose one step a test moves.
type world struct {
	*fakeDaemon
	mu   sync.Mutex
	now  api.Step
	sent api.StepDispatchRequest
}

func newWorld(t *testing.T) *world {
	w := &world{fakeDaemon: startFake(t), now: sampleStep("queued")}
	w.now.Version = 0
	w.gives(api.OpWorkspaceList, api.List[api.Workspace]{Items: []api.Workspace{
		{Name: "api", Root: "/src/api", Base: "main", Executors: []string{"gofmt"}},
		{Name: "web", Root: "/src/web", Base: "main", Executors: []string{"gofmt", "claude"}},
	}})
	w.gives(api.OpRunOpen, sampleRun())
	w.gives(api.OpRunGet, sampleRun())
	w.on(api.OpStepList, func(any) (any, error) { return api.List[api.Step]{Items: []api.Step{w.step()}}, nil })
	w.on(api.OpStepGet, func(any) (any, error) { return w.step(), nil })
	w.on(api.OpStepDispatch, func(req any) (any, error) {
		w.mu.Lock()
		w.sent = req.(api.StepDispatchRequest)
		w.mu.Unlock()
		w.happens("step.dispatched", runID, stepID, "")
		return w.step(), nil
	})
	w.on(api.OpStepCancel, func(any) (any, error) {
		stopping := sampleAttempt("stopping", "")
		stopping.Cause = "cancel"
		w.moves("attempt.stopping", "active", stopping)
		return w.step(), nil
	})
	return w
}

func (w *world) step() api.Step {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// moves sets the step and tells it in the log.
func (w *world) moves(kind, state string, a *api.Attempt, gates ...string) {
	w.mu.Lock()
	v := w.now.Version
	w.now = sampleStep(state)
	w.now.Version = v + 1
	w.now.Attempt, w.now.GateStates = a, sampleGates(gates...)
	if state == "held" {
		w.now.Approvals = []api.Approval{sampleApproval()}
	}
	w.mu.Unlock()
	w.happens(kind, runID, stepID, attID)
}

// plays moves the step as soon as it was asked for, from a goroutine that ends with the test.
func (w *world) plays(t *testing.T, moves ...func()) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		for _, move := range moves {
			move()
		}
	}()
}

func (w *world) called(op api.Op) int {
	w.fakeDaemon.mu.Lock()
	defer w.fakeDaemon.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		if c == op {
			n++
		}
	}
	return n
}

func TestTheExitCodeSaysHowAStepStands(t *testing.T) {
	ended := func(outcome string) *api.Attempt { return sampleAttempt("ended", outcome) }
	unproved := sampleAttempt("stopping", "")
	unproved.Death = raw(map[string]any{"method": "pid namespace", "proved": false, "survivors": 2})
	waiting := sampleStep("active")
	waiting.Attempt, waiting.Approvals = sampleAttempt("waiting", ""), []api.Approval{sampleApproval()}
	cases := []struct {
		name    string
		state   string
		attempt *api.Attempt
		stuck   bool
		want    int
	}{
		{"passed", "passed", ended("succeeded"), false, 0},
		{"rejected", "rejected", ended("succeeded"), false, 10},
		{"failed", "failed", ended("failed"), false, 11},
		{"failed without an attempt", "failed", nil, false, 11},
		{"no change", "failed", ended("no_change"), false, 11},
		{"denied", "failed", ended("denied"), false, 11},
		{"timed out", "failed", ended("timed_out"), false, 11},
		{"executor error", "failed", ended("executor_error"), false, 11},
		{"infrastructure error", "failed", ended("infra_error"), false, 11},
		{"lost", "failed", ended("lost"), false, 11},
		{"budget", "failed", ended("budget_exceeded"), false, 14},
		{"cancelled", "cancelled", ended("cancelled"), false, 12},
		{"held, and its last answer was just given", "held", ended("succeeded"), false, 8},
		{"queued", "queued", nil, false, 8},
		{"running", "active", sampleAttempt("running", ""), false, 8},
		{"stopping", "active", sampleAttempt("stopping", ""), false, 8},
		{"stuck", "active", sampleAttempt("stopping", ""), true, 16},
		{"unproved", "active", unproved, false, 16},
	}
	for _, c := range cases {
		s := sampleStep(c.state)
		s.Attempt = c.attempt
		if got := stepExit(s, c.stuck); got != c.want {
			t.Errorf("%s: exit %d, want %d", c.name, got, c.want)
		}
	}
	held := sampleStep("held")
	held.Attempt, held.Approvals = ended("succeeded"), []api.Approval{sampleApproval()}
	for _, s := range []api.Step{waiting, held} {
		if got := stepExit(s, false); got != 13 {
			t.Errorf("%s and waiting for an answer: exit %d, want 13", s.State, got)
		}
	}
}

func TestEveryFaultExitsByItsTable(t *testing.T) {
	w := newWorld(t)
	for _, code := range fault.Codes() {
		w.on(api.OpStepGet, func(any) (any, error) { return nil, fault.New(code, "as the daemon says") })
		e := newTerminal(t, w.fakeDaemon)
		if got := e.run(t, "step", "show", stepID); got != code.ExitCode() {
			t.Errorf("%s: exit %d, want %d", code, got, code.ExitCode())
		}
		text := e.err.String()
		if !strings.Contains(text, "error["+string(code)+"]: as the daemon says") || !strings.Contains(text, "fix: ") {
			t.Errorf("%s: no code, message or next command in %q", code, text)
		}
		if exitMeaning(code.ExitCode()) == "internal error" && code.ExitCode() != fault.ExitInternal {
			t.Errorf("exit code %d of %s is not in the table of help exit-codes", code.ExitCode(), code)
		}
	}
}

func TestDoDispatchesFollowsAndConcludes(t *testing.T) {
	w := newWorld(t)
	e := newTerminal(t, w.fakeDaemon)
	e.dir = "/src/api/cmd"
	w.plays(t, func() {
		until(t, "following", func() bool { return w.called(api.OpEventsSubscribe) == 1 })
		w.moves("attempt.running", "active", sampleAttempt("running", ""))
		w.moves("attempt.validating", "active", sampleAttempt("validating", ""), "pass", "pending")
		w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"), "pass", "pass")
	})
	code := e.run(t, "do", "tidy the imports\nof every file", "--forbid", "vendor/**", "--wall", "10m")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	golden(t, "do_passed", e.out.String())
	if w.sent.Executor != "gofmt" || w.sent.RunID != runID || w.sent.Paths.Forbid[0] != "vendor/**" || w.sent.Wall != "10m" ||
		w.sent.Text != "tidy the imports\nof every file" {
		t.Errorf("dispatched %+v", w.sent)
	}
	for _, want := range []string{"running", "validating", "passed", "gate paths"} {
		if !strings.Contains(e.err.String(), want) {
			t.Errorf("the talk does not tell %q:\n%s", want, e.err.String())
		}
	}
}

func TestFollowingDoesNotPoll(t *testing.T) {
	w := newWorld(t)
	e := newTerminal(t, w.fakeDaemon)
	e.beat = 5 * time.Millisecond
	w.moves("attempt.running", "active", sampleAttempt("running", ""))
	var before int
	w.plays(t, func() {
		until(t, "heartbeats", func() bool { return strings.Count(e.err.String(), "still following") >= 5 })
		before = w.called(api.OpStepGet)
		w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"))
	})
	if code := e.run(t, "step", "wait", stepID); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if before != 1 {
		t.Errorf("step.get was called %d times while nothing happened, want once", before)
	}
}

func TestApplyTakesAPassedResult(t *testing.T) {
	w := newWorld(t)
	var got api.StepApplyRequest
	w.on(api.OpStepApply, func(req any) (any, error) {
		got = req.(api.StepApplyRequest)
		return api.StepApplied{StepID: stepID, Branch: got.Branch, After: "77aa00bb112233", Made: true}, nil
	})
	w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"), "pass")
	e := newTerminal(t, w.fakeDaemon)
	if code := e.run(t, "do", "x", "-w", "api", "--apply", "--branch", "tidy"); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if got.StepID != stepID || got.Branch != "tidy" || !strings.Contains(e.out.String(), "branch tidy made") {
		t.Errorf("applied %+v, said %s", got, e.out.String())
	}
	if code := newTerminal(t, w.fakeDaemon).run(t, "do", "x", "-w", "api", "--apply"); code != 2 {
		t.Errorf("--apply without --branch: exit %d, want 2", code)
	}
}

func TestAStepThatFailsIsNotApplied(t *testing.T) {
	w := newWorld(t)
	w.moves("step.rejected", "rejected", sampleAttempt("ended", "succeeded"), "pass", "fail")
	e := newTerminal(t, w.fakeDaemon)
	if code := e.run(t, "do", "x", "-w", "api", "--apply", "--branch", "tidy"); code != 10 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if w.called(api.OpStepApply) != 0 {
		t.Error("a rejected step was applied")
	}
	golden(t, "do_rejected", e.out.String())
}

func TestDetachedWorkIsOnlyDispatched(t *testing.T) {
	w := newWorld(t)
	e := newTerminal(t, w.fakeDaemon)
	if code := e.run(t, "do", "x", "-w", "api", "--detach", "-q"); code != 0 || e.out.String() != stepID+"\n" {
		t.Errorf("exit %d, said %q, %s", code, e.out.String(), e.err.String())
	}
}

func TestWithoutATerminalNobodyWaitsForAPerson(t *testing.T) {
	w := newWorld(t)
	w.moves("step.held", "held", sampleAttempt("ended", "succeeded"), "pass", "pass", "hold")
	e := newTerminal(t, w.fakeDaemon)
	if code := e.run(t, "step", "wait", stepID); code != 13 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if !strings.Contains(e.out.String(), "drawspan approval allow "+aprID) {
		t.Errorf("the command that answers is missing:\n%s", e.out.String())
	}
}

func TestAWaitThatEndsLeavesTheWorkAlone(t *testing.T) {
	w := newWorld(t)
	w.moves("attempt.running", "active", sampleAttempt("running", ""))
	e := newTerminal(t, w.fakeDaemon)
	if code := e.run(t, "step", "wait", stepID, "--timeout", "30ms"); code != 15 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if !strings.Contains(e.err.String(), "error[wait_expired]") || !strings.Contains(e.err.String(), "fix: drawspan step wait "+stepID) {
		t.Errorf("said %s", e.err.String())
	}
	if w.called(api.OpStepCancel) != 0 {
		t.Error("it cancelled")
	}
}

func TestCtrlCDetachesAndDoesNotCancel(t *testing.T) {
	w := newWorld(t)
	w.moves("attempt.running", "active", sampleAttempt("running", ""))
	e := newTerminal(t, w.fakeDaemon)
	w.plays(t, func() {
		until(t, "following", func() bool { return strings.Contains(e.err.String(), "running") })
		e.sig <- os.Interrupt
	})
	if code := e.run(t, "step", "wait", stepID); code != 130 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	for _, want := range []string{"drawspan step wait " + stepID, "drawspan step cancel " + stepID} {
		if !strings.Contains(e.err.String(), want) {
			t.Errorf("%q is not said:\n%s", want, e.err.String())
		}
	}
	if w.called(api.OpStepCancel) != 0 {
		t.Error("Ctrl-C cancelled")
	}
}

func TestASecondCtrlCOffersToCancel(t *testing.T) {
	for answer, want := range map[string]int{"y\n": 12, "n\n": 130, "": 130} {
		t.Run(fmt.Sprintf("%q", answer), func(t *testing.T) {
			w := newWorld(t)
			w.moves("attempt.running", "active", sampleAttempt("running", ""))
			e := newTerminal(t, w.fakeDaemon)
			e.env["DRAWSPAN_FORCE_TTY"], e.env["NO_COLOR"], e.in = "100", "1", answer
			w.plays(t, func() {
				until(t, "following", func() bool { return strings.Contains(e.err.String(), "running") })
				e.sig <- os.Interrupt
				until(t, "the offer", func() bool { return strings.Contains(e.err.String(), "press Ctrl-C again") })
				e.sig <- os.Interrupt
			}, func() {
				if want == 12 {
					until(t, "cancel", func() bool { return w.called(api.OpStepCancel) == 1 })
					w.moves("step.cancelled", "cancelled", sampleAttempt("ended", "cancelled"))
				}
			})
			if code := e.run(t, "step", "wait", stepID); code != want {
				t.Fatalf("exit %d, want %d: %s", code, want, e.err.String())
			}
		})
	}
}

func TestCancelIsConfirmedOrSaysSo(t *testing.T) {
	t.Run("confirmed", func(t *testing.T) {
		w := newWorld(t)
		w.moves("attempt.running", "active", sampleAttempt("running", ""))
		e := newTerminal(t, w.fakeDaemon)
		w.plays(t, func() {
			until(t, "cancel", func() bool { return w.called(api.OpStepCancel) == 1 })
			w.moves("step.cancelled", "cancelled", sampleAttempt("ended", "cancelled"))
		})
		if code := e.run(t, "step", "cancel", stepID); code != 12 || !strings.Contains(e.out.String(), "no process left") {
			t.Errorf("exit %d: %s", code, e.out.String())
		}
	})
	t.Run("not confirmed in time", func(t *testing.T) {
		w := newWorld(t)
		w.moves("attempt.running", "active", sampleAttempt("running", ""))
		if code := newTerminal(t, w.fakeDaemon).run(t, "step", "cancel", stepID, "--wait", "30ms"); code != 16 {
			t.Errorf("exit %d, want 16", code)
		}
	})
	t.Run("stuck", func(t *testing.T) {
		w := newWorld(t)
		w.moves("attempt.running", "active", sampleAttempt("running", ""))
		e := newTerminal(t, w.fakeDaemon)
		w.plays(t, func() {
			until(t, "cancel", func() bool { return w.called(api.OpStepCancel) == 1 })
			w.happens("attempt.stuck", runID, stepID, attID)
		})
		if code := e.run(t, "step", "cancel", stepID); code != 16 {
			t.Errorf("exit %d, want 16: %s", code, e.err.String())
		}
	})
	t.Run("it had passed already", func(t *testing.T) {
		w := newWorld(t)
		w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"))
		w.on(api.OpStepCancel, func(any) (any, error) { return w.step(), nil })
		if code := newTerminal(t, w.fakeDaemon).run(t, "step", "cancel", stepID); code != 0 {
			t.Errorf("exit %d, want 0", code)
		}
	})
}

func TestADaemonThatIsNotThereIsExit20(t *testing.T) {
	e := newTerminal(t, nil)
	e.env["DRAWSPAN_SOCKET"] = "/nowhere/none"
	for _, args := range [][]string{{"run", "ls"}, {"do", "x"}, {"step", "wait", stepID}, {"audit", "verify"}} {
		if code := e.run(t, args...); code != 20 {
			t.Errorf("%v: exit %d, want 20", args, code)
		}
	}
	if !strings.Contains(e.err.String(), "fix: drawspan serve") {
		t.Errorf("no remedy: %s", e.err.String())
	}
}
