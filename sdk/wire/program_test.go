package wire_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/wire"
	"google.golang.org/grpc"
)

// driver is an executor that drives a program.
type driver struct {
	plugin
	probe func(context.Context, sdk.ProbeRequest) (sdk.Probe, error)
}

func (d driver) Probe(ctx context.Context, r sdk.ProbeRequest) (sdk.Probe, error) {
	return d.probe(ctx, r)
}

func TestTheProgramTheGatewayAndTheSessionArriveAsTheyWereSent(t *testing.T) {
	sent := sdk.Attempt{
		ID:      "att_1",
		Program: &sdk.Installed{Name: "claude", Path: "/opt/claude", Digest: "sha256:00", Interpreter: "/usr/bin/node"},
		Gateway: &sdk.Gateway{URL: "http://127.0.0.1:1", Key: "k", Wire: sdk.WireMessages},
		Resume:  &sdk.Resume{Session: "s", Summary: "so far", State: []sdk.StateFile{{Path: "a/b", Data: []byte{0, 0xff}}}},
	}
	var got sdk.Attempt
	h := serve(t, plugin{run: func(_ context.Context, a *sdk.Attempt) (sdk.Result, error) {
		got = *a
		return sdk.Result{}, nil
	}}, `{}`)
	if _, err := h.Execute(t, sent); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Program, sent.Program) || !reflect.DeepEqual(got.Gateway, sent.Gateway) || !reflect.DeepEqual(got.Resume, sent.Resume) {
		t.Errorf("got %+v %+v %+v", got.Program, got.Gateway, got.Resume)
	}
}

func TestTheSessionAndTheUsageOfAResultArriveAsTheyWereSent(t *testing.T) {
	sent := sdk.Result{
		StopReason: "end_turn", Session: "s", Version: "2.1.197", RetryAfter: 90 * time.Second,
		State: []sdk.StateFile{{Path: "a/b.jsonl", Data: []byte("x")}},
		Usage: &sdk.Usage{Input: 1, CachedRead: 2, CachedWrite: 3, Output: 4, Reasoning: 5, Calls: 6, Cost: 0.5, Currency: "USD", Scope: "session", Basis: "reported"},
	}
	h := serve(t, plugin{run: func(context.Context, *sdk.Attempt) (sdk.Result, error) { return sent, nil }}, `{}`)
	if got, err := h.Execute(t, sdk.Attempt{ID: "a"}); err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAStateThatMayNotTravelIsNotSent(t *testing.T) {
	for name, state := range map[string][]sdk.StateFile{
		"too large":      {{Path: "a", Data: make([]byte, sdk.MaxState+1)}},
		"too many":       make([]sdk.StateFile, sdk.MaxStates+1),
		"a path outside": {{Path: "../a"}},
	} {
		h := serve(t, plugin{run: func(context.Context, *sdk.Attempt) (sdk.Result, error) {
			return sdk.Result{StopReason: "end_turn", Session: "s", State: state}, nil
		}}, `{}`)
		if got, err := h.Execute(t, sdk.Attempt{ID: "a"}); err != nil || got.State != nil || got.Session != "s" {
			t.Errorf("%s: %d files, %v", name, len(got.State), err)
		}
	}
}

func performed(t *testing.T, r *pb.Result) (sdk.Result, error) {
	t.Helper()
	c := hostile{attach: func(s grpc.ServerStreamingServer[pb.AttachReply]) error {
		return s.Send(result(1, r))
	}}.serve(t, wire.ClientOptions{})
	return c.Execute(t.Context(), sdk.Attempt{ID: "a"}, (&sdktest.Recorder{}).Take)
}

func TestAHostileSessionOfAResultIsAViolation(t *testing.T) {
	long := strings.Repeat("x", sdk.MaxName+1)
	many := make([]*pb.StateFile, sdk.MaxStates+1)
	for i := range many {
		many[i] = &pb.StateFile{Path: "a"}
	}
	for name, r := range map[string]*pb.Result{
		"a long session":   {StopReason: "end_turn", Session: long},
		"a long version":   {StopReason: "end_turn", Version: long},
		"a path upwards":   {StopReason: "end_turn", State: []*pb.StateFile{{Path: "../x"}}},
		"an absolute path": {StopReason: "end_turn", State: []*pb.StateFile{{Path: "/etc/x"}}},
		"no path":          {StopReason: "end_turn", State: []*pb.StateFile{{}}},
		"the directory":    {StopReason: "end_turn", State: []*pb.StateFile{{Path: "."}}},
		"a long path":      {StopReason: "end_turn", State: []*pb.StateFile{{Path: long}}},
		"an empty file":    {StopReason: "end_turn", State: []*pb.StateFile{nil}},
		"too many files":   {StopReason: "end_turn", State: many},
		"too much of it": {StopReason: "end_turn", State: []*pb.StateFile{
			{Path: "a", Data: make([]byte, sdk.MaxState)}, {Path: "b", Data: []byte("x")},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var v *wire.Violation
			if got, err := performed(t, r); !errors.As(err, &v) {
				t.Errorf("Execute = %+v, %v, want a violation", got, err)
			}
		})
	}
}

func TestNumbersOfAResultThatCannotBeAreNone(t *testing.T) {
	got, err := performed(t, &pb.Result{
		StopReason: "end_turn", RetryAfterMs: math.MaxInt64,
		Usage: &pb.Usage{Input: -1, CachedRead: -1, CachedWrite: -1, Output: -1, Reasoning: -1, Calls: -1, Cost: math.NaN(), Basis: "gateway", Currency: strings.Repeat("X", 100)},
	})
	want := sdk.Usage{Scope: "session", Basis: "reported"}
	if err != nil || got.Usage == nil || len(got.Usage.Currency) > 8 || got.RetryAfter != 24*time.Hour {
		t.Fatalf("got %+v, %v", got, err)
	}
	want.Currency = got.Usage.Currency
	if *got.Usage != want {
		t.Errorf("usage = %+v, want %+v", *got.Usage, want)
	}
	for _, cost := range []float64{math.Inf(1), math.Inf(-1), -1} {
		if got, err := performed(t, &pb.Result{StopReason: "end_turn", RetryAfterMs: -5, Usage: &pb.Usage{Cost: cost}}); err != nil || got.Usage.Cost != 0 || got.RetryAfter != 0 {
			t.Errorf("cost %v: %+v, %v", cost, got, err)
		}
	}
}

func TestAPluginLooksAtItsProgram(t *testing.T) {
	request := sdk.ProbeRequest{
		Program: &sdk.Installed{Name: "claude", Path: "/opt/claude"}, Gateway: &sdk.Gateway{URL: "http://127.0.0.1:1", Wire: "messages"},
	}
	var got sdk.ProbeRequest
	found := sdk.Probe{Version: "1.2.3", Tested: true, Login: "ready", Notes: []string{"one", "two"}}
	h := sdktest.Serve(t, manifest, driver{probe: func(_ context.Context, r sdk.ProbeRequest) (sdk.Probe, error) {
		got = r
		return found, nil
	}})
	_, err := h.Client.Probe(t.Context(), request)
	sdktest.Refused(t, err, wire.CodeNotConfigured)
	h.Configure(t, json.RawMessage(`{"limit":1}`))
	p, err := h.Client.Probe(t.Context(), request)
	if err != nil || !reflect.DeepEqual(p, found) {
		t.Errorf("Probe = %+v, %v", p, err)
	}
	request.Config = json.RawMessage(`{"limit":1}`)
	if !reflect.DeepEqual(got, request) {
		t.Errorf("got %+v, want %+v", got, request)
	}
}

func TestAProbeThatFailsSaysWhy(t *testing.T) {
	h := sdktest.Serve(t, manifest, driver{probe: func(context.Context, sdk.ProbeRequest) (sdk.Probe, error) {
		return sdk.Probe{}, errors.New("no such program")
	}})
	h.Configure(t, nil)
	if p, err := h.Client.Probe(t.Context(), sdk.ProbeRequest{}); err != nil || p.Login != "unknown" || !reflect.DeepEqual(p.Notes, []string{"no such program"}) {
		t.Errorf("Probe = %+v, %v", p, err)
	}
}

func TestAPluginThatDrivesNothingRefusesToBeProbed(t *testing.T) {
	h := serve(t, plugin{}, `{}`)
	_, err := h.Client.Probe(t.Context(), sdk.ProbeRequest{})
	sdktest.Refused(t, err, wire.CodeUnsupported)
}

func TestAHostileProbeIsAViolation(t *testing.T) {
	long := strings.Repeat("x", sdk.MaxSummary+1)
	for name, p := range map[string]*pb.ProbeReply{
		"an unknown login": {Login: "maybe"},
		"no login":         {},
		"a long version":   {Login: "ready", Version: long},
		"many notes":       {Login: "ready", Notes: make([]string, 17)},
		"a long note":      {Login: "ready", Notes: []string{long}},
	} {
		c := hostile{probe: p}.serve(t, wire.ClientOptions{})
		var v *wire.Violation
		if got, err := c.Probe(t.Context(), sdk.ProbeRequest{}); !errors.As(err, &v) {
			t.Errorf("%s: Probe = %+v, %v, want a violation", name, got, err)
		}
	}
	p := wireProbe(t, &pb.ProbeReply{Login: "missing", Version: "1.0", Notes: []string{"n"}})
	if want := (sdk.Probe{Login: "missing", Version: "1.0", Notes: []string{"n"}}); !reflect.DeepEqual(p, want) {
		t.Errorf("Probe = %+v, want %+v", p, want)
	}
}

func wireProbe(t *testing.T, reply *pb.ProbeReply) sdk.Probe {
	t.Helper()
	p, err := hostile{probe: reply}.serve(t, wire.ClientOptions{}).Probe(t.Context(), sdk.ProbeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheProgramsOfAManifestAreJudged(t *testing.T) {
	long := strings.Repeat("x", sdk.MaxName+1)
	describe := func(programs ...*pb.Program) (sdk.Manifest, error) {
		m := &pb.Manifest{Name: "x", Version: "1", Kinds: []string{"executor"}, Programs: programs}
		return hostile{tells: &pb.DescribeReply{Manifest: m}}.serve(t, wire.ClientOptions{}).Describe(t.Context())
	}
	for name, programs := range map[string][]*pb.Program{
		"no name":        {{}},
		"nothing":        {nil},
		"a long name":    {{Name: long}},
		"a long profile": {{Name: "a", Profile: long}},
		"too many":       make([]*pb.Program, 65),
	} {
		var v *wire.Violation
		if got, err := describe(programs...); !errors.As(err, &v) {
			t.Errorf("%s: Describe = %+v, %v, want a violation", name, got, err)
		}
	}
	m, err := describe(&pb.Program{Name: "claude", Profile: "p", Tested: ">=1", Install: "npm"}, &pb.Program{Name: "b", Tested: long})
	want := sdk.Program{Name: "claude", Profile: "p", Tested: ">=1", Install: "npm"}
	if err != nil || len(m.Programs) != 2 || m.Programs[0] != want || len(m.Programs[1].Tested) > sdk.MaxName {
		t.Errorf("Describe = %+v, %v", m.Programs, err)
	}
}
