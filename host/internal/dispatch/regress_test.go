package dispatch_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// F16: executions were keyed by run, so that a second step hid the first and a cancel found nothing.
func TestF16_ACancelReachesTheStepThatWasMeant(t *testing.T) {
	f := newFixture(t, script{execute: untilCancelled})
	run, other := f.run(), f.run()
	first, second, third := f.dispatch(run, "a"), f.dispatch(run, "b"), f.dispatch(other, "c")
	live := func(s work.Step) bool { return s.State == work.StepActive && f.attempt(s).State == work.AttemptRunning }
	f.await(first.ID, "live", live)
	f.await(third.ID, "live", live)
	if got, err := f.d.CancelStep(t.Context(), operator, second.ID, "not this one"); err != nil || got.State != work.StepCancelled || got.Attempts != 0 {
		t.Errorf("the queued step: %+v, %v", got, err)
	}
	for _, id := range []string{first.ID, third.ID} {
		if s, err := f.store.Step(t.Context(), id); err != nil || s.State != work.StepActive {
			t.Errorf("step %s is %s, %v", id, s.State, err)
		}
	}
	if _, err := f.d.CancelStep(t.Context(), operator, first.ID, "this one"); err != nil {
		t.Fatal(err)
	}
	if got := f.settled(first.ID); got.State != work.StepCancelled || !f.attempt(got).Death.Proved {
		t.Errorf("the live step is %s", got.State)
	}
	if s, err := f.store.Step(t.Context(), third.ID); err != nil || s.State != work.StepActive {
		t.Errorf("the other run's step is %s, %v", s.State, err)
	}
}

// F22: ids and texts were pasted into a shell script.
func TestF22_ATextReachesTheExecutorAsItIsAndNothingElse(t *testing.T) {
	const text = "'; rm -rf / #$(id)`id`\n--yolo \"&& reboot"
	var got sdk.Attempt
	f := newFixture(t, script{execute: func(_ context.Context, _ *scriptedPlugin, a sdk.Attempt, _ sinkFunc) (sdk.Result, error) {
		got = a
		return sdk.Result{}, nil
	}})
	f.settled(f.dispatch(f.run(), text).ID)
	if got.Instruction != text {
		t.Errorf("got %q", got.Instruction)
	}
	id := regexp.MustCompile(`^[a-z]+_[0-9A-Z]{26}$`)
	for _, v := range []string{got.ID, got.RunID, got.StepID} {
		if !id.MatchString(v) {
			t.Errorf("the id %q is not the host's", v)
		}
	}
	for _, l := range f.plugins.started {
		if strings.Contains(fmt.Sprint(l.Kind, l.Name, string(l.Config), l.Tree, l.AttemptID), "rm -rf") {
			t.Errorf("the text is in the launch: %+v", l)
		}
	}
}

// F54: an allowlist that let assignments, substitutions and programs of the same name elsewhere through.
func TestF54_NothingSlipsThroughARuleThatAllowsACommand(t *testing.T) {
	var requests []sdk.Permission
	for i, c := range []string{"LD_PRELOAD=/tmp/x.so claude -p x", "PATH=/tmp claude -p x", "/tmp/claude -p x", `claude -p "$(reboot)"`, "claude -p x; reboot"} {
		requests = append(requests, sdk.Permission{ID: fmt.Sprint("p", i), Tool: "execute", Command: c})
	}
	f := newFixture(t, script{execute: permitted(append(requests, sdk.Permission{ID: "good", Tool: "execute", Command: "claude -p 'x y'"})...)})
	f.d.SetPolicy(ruled(time.Minute, work.PermissionRule{Name: "claude", Decision: "allow", Commands: []string{"claude -p *"}}))
	step := f.settled(f.dispatch(f.run(), "x").ID)
	want := work.Permissions{Requested: 6, Allowed: 1, Expired: 5, ByRule: 1} // the executor ended while people were asked
	if p := f.attempt(step).Evidence.Permissions; p != want {
		t.Errorf("counted %+v, want %+v", p, want)
	}
}

// F55: a message set the working directory, and a time-out left the job running.
func TestF55_TheTreeIsTheHostsAndATimeOutEndsTheJob(t *testing.T) {
	var tree string
	f := newFixture(t, script{deaf: true, execute: func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		tree = a.Tree
		return untilCancelled(ctx, p, a, sink)
	}})
	policy := policyOf()
	policy.Workspaces["api"].Wall = 30 * time.Millisecond
	f.d.SetPolicy(policy)
	step, err := f.d.DispatchStep(t.Context(), operator, dispatch.StepRequest{RunID: f.run().ID, Text: "cd /etc", Executor: "coder"})
	if err != nil {
		t.Fatal(err)
	}
	at := f.attempt(f.settled(step.ID))
	if at.Outcome != work.TimedOut || !at.Death.Proved || f.plugins.livesNow != 0 {
		t.Errorf("got %s, %+v, %d live", at.Outcome, at.Death, f.plugins.livesNow)
	}
	if f.close(); f.d.Live() != 0 { // it is forgotten after its end is told
		t.Errorf("%d attempts are still known as live", f.d.Live())
	}
	if tree != "/trees/"+at.ID {
		t.Errorf("the executor worked in %s", tree)
	}
}

// The stream keeps what an executor emits in the order of emission, the host's answers between.
func TestTheStreamKeepsTheOrderOfEmission(t *testing.T) {
	var want []sdk.EventType
	f := newFixture(t, script{execute: func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		kinds := sdk.EventTypes()
		for i := range 200 {
			e := sdk.Event{Type: kinds[i*7%len(kinds)], Data: []byte(`{}`)}
			switch {
			case strings.HasPrefix(string(e.Type), "host."), e.Type == sdk.EventQuestionAsked:
				continue
			case e.Type == sdk.EventLog:
				e = sdk.Log("stdout", []byte{0xff, byte(i)})
			case e.Type == sdk.EventPermissionAsked:
				e.ItemID, e.Data = fmt.Sprint("p", i), []byte(`{"tool":"read"}`)
			}
			if err := sink(ctx, e); err != nil {
				return sdk.Result{}, err
			}
			if want = append(want, e.Type); e.Type == sdk.EventPermissionAsked {
				want = append(want, sdk.EventPermissionSolved)
			}
		}
		return sdk.Result{}, nil
	}})
	f.d.SetPolicy(ruled(time.Minute, rules()...))
	step := f.settled(f.dispatch(f.run(), "x").ID)
	if got := f.journals.types(step.AttemptID); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
