package sdktest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

// ExecutorSuite is what the contract suite needs to know of an executor.
type ExecutorSuite struct {
	Manifest sdk.Manifest
	New      func() any // a fresh plugin; each case has its own

	// Config and Text make an attempt that succeeds by itself.
	Config json.RawMessage
	Text   string
	// SlowConfig and SlowText make an attempt that tells something and then goes on until it is
	// cancelled. Without SlowConfig the cases of cancelling are skipped.
	SlowConfig json.RawMessage
	SlowText   string
}

// RunExecutor holds an executor to its contract.
func RunExecutor(t *testing.T, s ExecutorSuite) {
	start := func(c *wire.Client) error {
		_, err := c.Execute(t.Context(), s.attempt(t, s.Text), (&Recorder{}).Take)
		return err
	}
	base{"executor", s.Manifest, s.New, s.Config, start}.run(t)
	t.Run("an attempt ends with one result and a stream that keeps the protocol", func(t *testing.T) {
		h := Serve(t, s.Manifest, s.New())
		h.Configure(t, s.Config)
		result, err := h.Execute(t, s.attempt(t, s.Text))
		if err != nil {
			t.Fatalf("Execute: %v\nafter events %+v", err, h.Events.All())
		}
		if result.Failed || result.StopReason != "end_turn" {
			t.Errorf("result = %+v, want a success at the end of the turn\noutput: %s%s", result,
				h.Events.Output("stdout"), h.Events.Output("stderr"))
		}
	})
	t.Run("one process performs one attempt", func(t *testing.T) {
		h := Serve(t, s.Manifest, s.New())
		h.Configure(t, s.Config)
		if _, err := h.Execute(t, s.attempt(t, s.Text)); err != nil {
			t.Fatal(err)
		}
		_, err := h.Execute(t, s.attempt(t, s.Text))
		Refused(t, err, wire.CodeBusy)
	})
	t.Run("it does not know attempts and items that were not opened", func(t *testing.T) {
		h := Serve(t, s.Manifest, s.New())
		h.Configure(t, s.Config)
		Refused(t, h.Client.Cancel(t.Context(), "att_other", "test"), wire.CodeUnknownAttempt)
		if _, err := h.Execute(t, s.attempt(t, s.Text)); err != nil {
			t.Fatal(err)
		}
		err := h.Client.Input(t.Context(), attemptID, "no-such-item", sdk.Answer{}, sdk.Decision{})
		Refused(t, err, wire.CodeUnknownItem)
	})
	if s.SlowConfig != nil {
		s.runSlow(t)
	}
}

func (s ExecutorSuite) runSlow(t *testing.T) {
	t.Run("a cancelled attempt ends soon, with a result that says so", func(t *testing.T) {
		h := Serve(t, s.Manifest, s.New())
		h.Configure(t, s.SlowConfig)
		started := time.Now()
		h.Events.On = once(func() {
			if err := h.Client.Cancel(t.Context(), attemptID, "test"); err != nil {
				t.Errorf("Cancel: %v", err)
			}
		})
		result, err := h.Execute(t, s.attempt(t, s.SlowText))
		if err != nil {
			t.Fatal(err)
		}
		if result.StopReason != "cancelled" {
			t.Errorf("stop reason = %q after %v, want cancelled", result.StopReason, time.Since(started))
		}
		if err := h.Client.Cancel(t.Context(), attemptID, "again"); err != nil {
			t.Errorf("Cancel after the end: %v", err)
		}
	})
	t.Run("an attempt whose stream the host leaves ends", func(t *testing.T) {
		o := observed{s.New(), make(chan error, 1)}
		h := Serve(t, s.Manifest, o)
		h.Configure(t, s.SlowConfig)
		enough := errors.New("enough")
		_, err := h.Client.Execute(t.Context(), s.attempt(t, s.SlowText), func(context.Context, sdk.Event) error { return enough })
		if !errors.Is(err, enough) {
			t.Fatalf("Execute = %v, want the sink's error", err)
		}
		o.await(t)
	})
	t.Run("Shutdown ends a running attempt", func(t *testing.T) {
		o := observed{s.New(), make(chan error, 1)}
		h := Serve(t, s.Manifest, o)
		h.Configure(t, s.SlowConfig)
		h.Events.On = once(func() {
			if err := h.Client.Shutdown(t.Context(), "test"); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
		if _, err := h.Execute(t, s.attempt(t, s.SlowText)); err != nil && !errors.Is(err, wire.ErrBroken) {
			t.Errorf("Execute: %v", err)
		}
		o.await(t)
	})
}

const attemptID = "att_contract"

func (s ExecutorSuite) attempt(t *testing.T, text string) sdk.Attempt {
	t.Helper()
	return sdk.Attempt{
		ID: attemptID, RunID: "run_contract", StepID: "step_contract", Instruction: text,
		Tree: t.TempDir(), Base: "0000000000000000000000000000000000000000",
	}
}

func once(f func()) func(sdk.Event) {
	done := false
	return func(sdk.Event) {
		if !done {
			done = true
			f()
		}
	}
}

// observed tells when Run has returned.
type observed struct {
	impl  any
	ended chan error
}

func (o observed) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	executor, ok := o.impl.(sdk.Executor)
	if !ok {
		return sdk.Result{}, errors.New("not an executor")
	}
	r, err := executor.Run(ctx, a)
	o.ended <- err
	return r, err
}

func (o observed) await(t *testing.T) {
	t.Helper()
	select {
	case <-o.ended:
	case <-time.After(Patience):
		t.Error("Run did not return")
	}
}

// Configure passes on.
func (o observed) Configure(ctx context.Context, config json.RawMessage) error {
	if c, ok := o.impl.(sdk.Configurer); ok {
		return c.Configure(ctx, config)
	}
	return nil
}
