package panel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// world is a random set of gates whose validators do anything.
type world struct {
	*bench
	rnd    *rand.Rand
	rules  []work.GateRule
	aside  map[string]bool // gates that do not apply by their own rule
	mu     sync.Mutex
	honest map[string]bool // "attempt gate": its last answer was a whole one that lets it pass
	judged string          // the attempt; one that is pure is not told
}

// anything is one outcome of a validator, good or bad.
func (w *world) anything() (play, bool) {
	answer := func(v sdk.Verdict) play {
		return func(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
			return v, nil
		}
	}
	pass := sdk.Verdict{Outcome: sdk.Pass, Metrics: map[string]float64{"n": 1}}
	good := []play{answer(pass), answer(sdk.Verdict{Outcome: sdk.Warn, Findings: []sdk.Finding{{Path: "none", Line: -4}}}), answer(sdk.Verdict{Outcome: sdk.Skip})}
	bad := []play{
		says(sdk.Fail), says(sdk.Error), crashes, hangs, answer(sdk.Verdict{}), answer(sdk.Verdict{Outcome: "PASS"}),
		answer(sdk.Verdict{Outcome: sdk.Pass, Metrics: map[string]float64{"n": math.NaN()}}),
		func(ctx context.Context, _ Launch, _ sdk.Check, _ func(string, []byte) error) (sdk.Verdict, error) { // too late
			<-ctx.Done()
			return pass, nil
		},
		func(_ context.Context, l Launch, _ sdk.Check, _ func(string, []byte) error) (sdk.Verdict, error) { // killed
			l.OnExceeded(fault.New(fault.PluginCrashed, "limit_memory"))
			return pass, nil
		},
		func(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) { // a verdict, and then another
			return pass, fault.New(fault.PluginProtocol, "the validator answered twice")
		},
		func(_ context.Context, _ Launch, _ sdk.Check, output func(string, []byte) error) (sdk.Verdict, error) { // a flood
			for range 3 {
				if err := output("stderr", make([]byte, maxOutput)); err != nil {
					return sdk.Verdict{}, err
				}
			}
			return sdk.Verdict{Outcome: sdk.Fail}, nil
		},
	}
	if w.rnd.IntN(2) == 0 {
		return good[w.rnd.IntN(len(good))], true
	}
	return bad[w.rnd.IntN(len(bad))], false
}

// script lets a gate's validator do something else at each try, and notes what the last one was worth.
func (w *world) script(name string) {
	w.plugins.plays[name] = []play{func(ctx context.Context, l Launch, c sdk.Check, output func(string, []byte) error) (sdk.Verdict, error) {
		w.mu.Lock()
		does, good := w.anything()
		w.honest[w.judged+" "+c.Gate] = good
		w.mu.Unlock()
		return does(ctx, l, c, output)
	}}
}

func (w *world) one(i int) work.GateRule {
	pick := func(from ...string) string { return from[w.rnd.IntN(len(from))] }
	r := rule(fmt.Sprintf("g%d", i))
	r.OnFail, r.OnError = pick("", "fail", "hold", "warn"), pick("", "closed", "hold", "warn")
	r.Retries, r.Pure, r.Resident = w.rnd.IntN(3), w.rnd.IntN(3) == 0, w.rnd.IntN(3) == 0
	if w.rnd.IntN(3) == 0 {
		r.Feeds = sdk.Feeds()
	}
	for j := range i {
		name := fmt.Sprintf("g%d", j)
		switch w.rnd.IntN(6) {
		case 0:
			r.Needs = append(r.Needs, name)
		case 1:
			r.After = append(r.After, name)
		}
	}
	switch w.rnd.IntN(12) {
	case 0:
		r.Needs = append(r.Needs, "not there")
	case 1:
		r.Paths, w.aside[r.Name] = []string{"web/**"}, true
	case 2:
		r.Paths = []string{"[", "src/**"}
	case 3:
		r.Hold = "look"
	case 4, 5, 6:
		met, broken := w.rnd.IntN(2) == 0, w.rnd.IntN(3) == 0
		w.aside[r.Name] = !met && !broken
		r.When = &work.Condition{Text: "c", Eval: func(work.Facts) (bool, error) {
			if broken {
				return true, errors.New("nothing is known of it")
			}
			return met, nil
		}}
	}
	return r
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{bench: newBench(t), rnd: rand.New(rand.NewPCG(seed, 5)), aside: map[string]bool{}, honest: map[string]bool{}}
	for i := range 1 + w.rnd.IntN(7) {
		w.rules = append(w.rules, w.one(i))
		w.script(w.rules[i].Name)
	}
	w.rnd.Shuffle(len(w.rules), func(i, j int) { w.rules[i], w.rules[j] = w.rules[j], w.rules[i] })
	return w
}

// earned reports whether a gate that passed did so by its rule, or by an answer that its validator gave.
func (w *world) earned(s *Subject, g work.GateRecord) bool {
	if g.Validation == "" {
		return w.aside[g.Name] && strings.HasPrefix(g.Reason, "does not apply: ")
	}
	tried := w.tried(s, g.Name)
	last := tried[len(tried)-1]
	if last.ID != g.Validation || last.Result == work.ResultFail || last.Result == work.ResultError {
		return false
	}
	if last.Reused == "" {
		return w.honest[s.AttemptID+" "+g.Name]
	}
	for _, v := range w.record.validations {
		if v.ID == last.Reused {
			return v.Reused == "" && v.Result == last.Result && v.Inputs == last.Inputs && w.honest[v.AttemptID+" "+g.Name]
		}
	}
	return false
}

// A change passes only where every required gate was evaluated and passed, or does not apply by its own
// rule: whatever the validators do.
func TestF10_NoChangePassesByAccident(t *testing.T) {
	passed, held := 0, 0
	for seed := range uint64(1500) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			for range 2 { // the second may use results of the first
				s := w.subject(w.rules...)
				w.judged = s.AttemptID
				gates, stands := w.judge(s)
				if stands == gate.Held {
					held++
				}
				for _, r := range w.rules {
					g := gates[r.Name]
					if g.Verdict == work.VerdictPass && !w.earned(s, g) {
						t.Errorf("seed %d: gate %s passed by accident: %s", seed, r.Name, g.Reason)
					}
					closed := r.OnFail != "warn" || r.OnError != "warn"
					last := w.tried(s, r.Name)
					broken := len(last) > 0 && last[len(last)-1].Result == work.ResultError
					if stands == gate.Passed && (gate.Required(r) || broken && closed) && g.Verdict != work.VerdictPass {
						t.Errorf("seed %d: the change passed, and gate %s is %s (%s)", seed, r.Name, g.Verdict, g.Reason)
					}
					if len(last) > 1+r.Retries {
						t.Errorf("seed %d: gate %s was tried %d times", seed, r.Name, len(last))
					}
				}
				if stands == gate.Passed {
					passed++
				}
			}
			w.panel.Release(t.Context())
			<-time.After(time.Hour) // of the bubble: nothing may be left that waits
			if live, _ := w.plugins.count(); live != 0 || w.trees.bases != w.trees.drops {
				t.Errorf("seed %d: %d validators are left, %d of %d bases", seed, live, w.trees.bases-w.trees.drops, w.trees.bases)
			}
		})
	}
	if passed < 50 || held < 50 {
		t.Errorf("of 3000 changes %d passed and %d are held: the test tests nothing", passed, held)
	}
}
