package panel

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

func stays(name string) work.GateRule {
	r := rule(name)
	r.Resident = true
	return r
}

func TestAResidentValidatorIsOneProcessWithoutATree(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.judge(b.subject(stays("a"), stays("b")))
	}
	if len(b.plugins.launches) != 1 || b.plugins.live != 1 || len(b.plugins.checks) != 6 || b.plugins.launches[0].Head.Path != "" || b.plugins.checks[0].Tree != "" {
		t.Fatalf("%d launches, %d checks: %+v", len(b.plugins.launches), len(b.plugins.checks), b.plugins.launches[0])
	}
	other := stays("a")
	other.Config = json.RawMessage(`{"max":2}`)
	b.judge(b.subject(other))
	if len(b.plugins.launches) != 2 {
		t.Errorf("another configuration: %d launches", len(b.plugins.launches))
	}
	b.panel.Release(t.Context())
	if b.plugins.live != 0 {
		t.Errorf("%d are left", b.plugins.live)
	}
	if _, stands := b.judge(b.subject(stays("a"))); stands != gate.Passed || len(b.plugins.launches) != 3 {
		t.Errorf("after a release: %v, %d launches", stands, len(b.plugins.launches))
	}
}

func TestF10_AResidentThatCrashesIsAnErrorOfThatCheckAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plugins.plays["a"] = []play{says(sdk.Pass), crashes, says(sdk.Pass), hangs, says(sdk.Pass)}
		for i, want := range []gate.Standing{gate.Passed, gate.Rejected, gate.Passed, gate.Rejected, gate.Passed} {
			if _, stands := b.judge(b.subject(stays("a"))); stands != want {
				t.Errorf("check %d: %v, want %v", i, stands, want)
			}
		}
		if len(b.plugins.launches) != 3 || b.plugins.live != 1 {
			t.Errorf("%d launches, %d live", len(b.plugins.launches), b.plugins.live)
		}
		b.panel.Release(t.Context())
	})
}

// That a process has gone is seen when it goes: the next check need not be the one that finds out.
func TestF10_AResidentThatDiesBetweenChecksCostsNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.judge(b.subject(stays("a")))
		b.plugins.last.die()
		synctest.Wait()
		if len(b.panel.residents.live) != 0 || b.plugins.stops != 1 || !strings.Contains(b.logged.String(), "died between checks") {
			t.Errorf("it is not cleared away: %d, %d stops; %s", len(b.panel.residents.live), b.plugins.stops, &b.logged)
		}
		if gates, stands := b.judge(b.subject(stays("a"))); stands != gate.Passed || len(b.plugins.launches) != 2 {
			t.Errorf("%v, %d launches: %+v", stands, len(b.plugins.launches), gates["a"])
		}
		b.plugins.last.die() // and the next check may come before anybody has cleared away
		if gates, stands := b.judge(b.subject(stays("a"))); stands != gate.Passed || len(b.plugins.launches) != 3 {
			t.Errorf("at once: %v, %d launches: %+v", stands, len(b.plugins.launches), gates["a"])
		}
		b.panel.Release(t.Context())
	})
}

func TestF10_AResidentThatDiesDuringACheckIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plugins.plays["a"] = []play{func(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
			b.plugins.last.die()
			return sdk.Verdict{}, fault.New(fault.PluginCrashed, "the plugin died")
		}, says(sdk.Pass)}
		if _, stands := b.judge(b.subject(stays("a"))); stands != gate.Rejected {
			t.Errorf("the check: %v", stands)
		}
		if _, stands := b.judge(b.subject(stays("a"))); stands != gate.Passed {
			t.Errorf("the next: %v", stands)
		}
		b.panel.Release(t.Context())
		synctest.Wait()
		if b.plugins.live != 0 || len(b.plugins.launches) != 2 {
			t.Errorf("%d live, %d launches", b.plugins.live, len(b.plugins.launches))
		}
	})
}

func TestAResidentGoesWhenNobodyUsesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.judge(b.subject(stays("a")))
		<-time.After(residentIdle + time.Second)
		synctest.Wait()
		if b.plugins.live != 0 {
			t.Errorf("%d live", b.plugins.live)
		}
	})
}

func TestThereAreNeverTooManyResidents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		for i := range 3 * maxResidents {
			r := stays("a")
			r.Config = json.RawMessage{byte('0' + i)}
			b.judge(b.subject(r))
		}
		synctest.Wait()
		if b.plugins.live > maxResidents {
			t.Errorf("%d live", b.plugins.live)
		}
		b.panel.Release(context.Background())
		if b.plugins.live != 0 {
			t.Errorf("%d left", b.plugins.live)
		}
	})
}
