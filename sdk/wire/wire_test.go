package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/wire"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// plugin is an executor and validator made of functions.
type plugin struct {
	run   func(context.Context, *sdk.Attempt) (sdk.Result, error)
	check func(context.Context, *sdk.Check) (sdk.Verdict, error)
}

func (p plugin) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) { return p.run(ctx, a) }

func (p plugin) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) { return p.check(ctx, c) }

var manifest = sdk.Manifest{
	Name: "test", Version: "1.2.3", Summary: "for tests", Simulated: true,
	Config: []sdk.Attribute{
		{Name: "words", Type: sdk.TypeListString, Doc: "what to say"},
		{Name: "limit", Type: sdk.TypeNumber},
	},
}

func serve(t *testing.T, p plugin, config string) *sdktest.Harness {
	t.Helper()
	h := sdktest.Serve(t, manifest, p)
	h.Configure(t, json.RawMessage(config))
	return h
}

func ptr[T any](v T) *T { return &v }

func TestAnAttemptArrivesAsItWasSent(t *testing.T) {
	sent := sdk.Attempt{
		ID: "att_1", RunID: "run_1", StepID: "step_1", Instruction: "do \x00 it, größer", Tree: "/tree", Base: "abc",
		Paths:    []sdk.Paths{{Write: []string{"a/**"}, Forbid: []string{"b"}}, {Write: []string{"c"}}},
		Deadline: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC),
	}
	var got sdk.Attempt
	h := serve(t, plugin{run: func(_ context.Context, a *sdk.Attempt) (sdk.Result, error) {
		got = *a
		return sdk.Result{}, nil
	}}, `{"words":["x"],"limit":1.5}`)
	if _, err := h.Execute(t, sent); err != nil {
		t.Fatal(err)
	}
	sent.Config = json.RawMessage(`{"words":["x"],"limit":1.5}`)
	got.Host = nil
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got  %+v\nwant %+v", got, sent)
	}
}

func TestEventsAndTheResultArriveAsTheyWereSent(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 123, time.UTC)
	events := []sdk.Event{
		sdk.Message("hello"),
		{Type: sdk.EventToolStarted, Time: at, ItemID: "i1", Parent: "p", Turn: 3, Data: json.RawMessage(`{"kind":"edit"}`)},
		sdk.Log("stderr", []byte{0xff, 0x00, 'x'}),
	}
	result := sdk.Result{
		StopReason: "max_turns", ExitCode: ptr(0), Signal: "killed", Summary: "s", Failed: true, Class: "quota",
		Message: "m", Retryable: true, Denied: true,
	}
	h := serve(t, plugin{run: func(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
		for _, e := range events {
			if err := a.Host.Emit(ctx, e); err != nil {
				return sdk.Result{}, err
			}
		}
		return result, nil
	}}, ``)
	got, err := h.Execute(t, sdk.Attempt{ID: "att_1"})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, result) {
		t.Errorf("result = %+v, want %+v", got, result)
	}
	all := h.Events.All()
	for i := range all {
		if i != 1 {
			if all[i].Time.IsZero() {
				t.Errorf("event %d has no time", i)
			}
			all[i].Time = time.Time{}
		}
	}
	for i := range events {
		// Absent bytes and empty bytes are the same on the wire.
		if fmt.Sprintf("%+v", all[i]) != fmt.Sprintf("%+v", events[i]) {
			t.Errorf("event %d = %+v, want %+v", i, all[i], events[i])
		}
	}
}

func TestALineThatTheWireCannotCarryIsTheNearestAndNoErrorOfTheVerdict(t *testing.T) {
	h := serve(t, plugin{check: func(context.Context, *sdk.Check) (sdk.Verdict, error) {
		return sdk.Verdict{Outcome: sdk.Fail, Findings: []sdk.Finding{{Rule: "r", Severity: "error", Line: -1, EndLine: 1 << 40}}}, nil
	}}, `{}`)
	v, err := h.Client.Check(t.Context(), sdk.Check{}, nil)
	if err != nil || v.Outcome != sdk.Fail || v.Findings[0].Line != 0 || v.Findings[0].EndLine != math.MaxInt32 {
		t.Errorf("verdict = %+v, %v", v, err)
	}
}

func TestACheckAndItsVerdictArriveAsTheyWereSent(t *testing.T) {
	sent := sdk.Check{
		AttemptID: "att_1", Gate: "g", Tree: "/t", Base: "b", TreeSum: "t",
		Changes: []sdk.Change{{
			Path: "odd\xff\nname", OldPath: "old", Op: "modify", OldMode: "100644", NewMode: "100755", Size: 9,
			Binary: true, Added: 1, Deleted: 2,
		}},
		Paths: []sdk.Paths{{Write: []string{"**"}}},
	}
	verdict := sdk.Verdict{
		Outcome: sdk.Warn, Message: "m",
		Findings: []sdk.Finding{{
			Rule: "r", Severity: "note", Path: "odd\xff", Line: 1, EndLine: 2, Message: "f", Help: "h", Fingerprint: "p",
		}},
		Ran: &sdk.Ran{Argv: []string{"go", "test"}, ExitCode: 1, Signal: "", Duration: time.Second},
	}
	var got sdk.Check
	h := serve(t, plugin{check: func(_ context.Context, c *sdk.Check) (sdk.Verdict, error) {
		got = *c
		return verdict, c.Output("stdout", bytes.Repeat([]byte("x"), 3*sdk.MaxLog+1))
	}}, `{}`)
	output := 0
	v, err := h.Client.Check(t.Context(), sent, func(stream string, p []byte) error {
		if stream != "stdout" || len(p) > sdk.MaxLog {
			t.Errorf("piece of %d bytes on %s", len(p), stream)
		}
		output += len(p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(v, verdict) || output != 3*sdk.MaxLog+1 {
		t.Errorf("verdict = %+v with %d bytes of output, want %+v", v, output, verdict)
	}
	got.Output = nil
	sent.Config = json.RawMessage(`{}`)
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("check = %+v, want %+v", got, sent)
	}
}

func TestAQuestionAndAPermissionAreAnswered(t *testing.T) {
	h := serve(t, plugin{run: func(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
		answer, err := a.Host.Ask(ctx, sdk.Question{ID: "q", Text: "which?", Options: []string{"a", "b"}})
		if err != nil {
			return sdk.Result{}, err
		}
		decision, err := a.Host.Permit(ctx, sdk.Permission{Tool: "execute", Title: "rm", Input: json.RawMessage(`{"x":1}`)})
		if err != nil {
			return sdk.Result{}, err
		}
		return sdk.Result{Summary: fmt.Sprintf("%+v %+v", answer, decision)}, nil
	}}, ``)
	h.Events.On = func(e sdk.Event) {
		answer, decision := sdk.Answer{Text: "b", Answered: true}, sdk.Decision{Allowed: true, Rule: "rule"}
		switch e.Type {
		case sdk.EventQuestionAsked:
			q, err := sdk.QuestionOf(e)
			if err != nil || q.Text != "which?" || len(q.Options) != 2 {
				t.Errorf("question = %+v, %v", q, err)
			}
		case sdk.EventPermissionAsked:
			p, err := sdk.PermissionOf(e)
			if err != nil || p.Tool != "execute" || string(p.Input) != `{"x":1}` {
				t.Errorf("permission = %+v, %v", p, err)
			}
		}
		if err := h.Client.Input(t.Context(), "att_1", e.ItemID, answer, decision); err != nil {
			t.Error(err)
		}
		err := h.Client.Input(t.Context(), "att_1", e.ItemID, answer, decision)
		sdktest.Refused(t, err, wire.CodeUnknownItem)
	}
	r, err := h.Execute(t, sdk.Attempt{ID: "att_1"})
	if want := "{Text:b Answered:true} {Allowed:true Rule:rule}"; err != nil || r.Summary != want {
		t.Errorf("result = %+v, %v, want the summary %q", r, err, want)
	}
}

func TestWhatRunReturnsBecomesOneResult(t *testing.T) {
	for name, c := range map[string]struct {
		run  func(context.Context, *sdk.Attempt) (sdk.Result, error)
		want sdk.Result
	}{
		"nothing said is the end of the turn": {
			func(context.Context, *sdk.Attempt) (sdk.Result, error) { return sdk.Result{}, nil },
			sdk.Result{StopReason: "end_turn"},
		},
		"an error is a failure": {
			func(context.Context, *sdk.Attempt) (sdk.Result, error) { return sdk.Result{}, errors.New("no") },
			sdk.Result{StopReason: "error", Failed: true, Class: "unknown", Message: "no"},
		},
		"a Failure keeps its class": {
			func(context.Context, *sdk.Attempt) (sdk.Result, error) {
				return sdk.Result{ExitCode: ptr(3)}, fmt.Errorf("call: %w", &sdk.Failure{Class: "auth", Message: "no key", Retryable: true})
			},
			sdk.Result{StopReason: "error", ExitCode: ptr(3), Failed: true, Class: "auth", Message: "call: no key", Retryable: true},
		},
		"words outside the sets are replaced": {
			func(context.Context, *sdk.Attempt) (sdk.Result, error) {
				return sdk.Result{StopReason: "bored", Failed: true, Class: "mood", Summary: "a\xffb"}, nil
			},
			sdk.Result{StopReason: "error", Failed: true, Class: "unknown", Summary: "a\uFFFDb"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := serve(t, plugin{run: c.run}, ``).Execute(t, sdk.Attempt{ID: "att_1"})
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("result = %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestAPanicOrALostGoroutineIsAFailedResult(t *testing.T) {
	for name, run := range map[string]func(context.Context, *sdk.Attempt) (sdk.Result, error){
		"panic":  func(context.Context, *sdk.Attempt) (sdk.Result, error) { panic("boom") },
		"goexit": func(context.Context, *sdk.Attempt) (sdk.Result, error) { goexit(); return sdk.Result{}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			p, err := wire.NewPlugin(manifest, plugin{run: run})
			if err != nil {
				t.Fatal(err)
			}
			crashes := make(chan any, 1)
			l, err := wire.NewLocal(wire.NewServer(p, wire.Hooks{Crash: func(_ string, v any, _ []byte) { crashes <- v }}), wire.ClientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := l.Client.Configure(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			r, err := l.Client.Execute(t.Context(), sdk.Attempt{ID: "att_1"}, (&sdktest.Recorder{}).Take)
			if err != nil || !r.Failed || r.Class != "crash" {
				t.Errorf("result = %+v, %v, want a failure of class crash", r, err)
			}
			if name == "panic" && <-crashes != "boom" {
				t.Error("the crash hook was not told the value")
			}
		})
	}
}

func TestAValidatorsErrorIsTheOutcomeError(t *testing.T) {
	h := serve(t, plugin{check: func(context.Context, *sdk.Check) (sdk.Verdict, error) {
		return sdk.Verdict{Outcome: sdk.Pass}, errors.New("no disk")
	}}, ``)
	v, err := h.Client.Check(t.Context(), sdk.Check{}, func(string, []byte) error { return nil })
	if err != nil || v.Outcome != sdk.Error || v.Message != "no disk" {
		t.Errorf("verdict = %+v, %v, want error: no disk", v, err)
	}
	h = serve(t, plugin{check: func(context.Context, *sdk.Check) (sdk.Verdict, error) {
		return sdk.Verdict{Outcome: "fine"}, nil
	}}, ``)
	if v, err = h.Client.Check(t.Context(), sdk.Check{}, nil); err != nil || v.Outcome != sdk.Error {
		t.Errorf("verdict = %+v, %v, want error for an unknown outcome", v, err)
	}
}

func TestTooManyFindingsAreCutAndCounted(t *testing.T) {
	h := serve(t, plugin{check: func(context.Context, *sdk.Check) (sdk.Verdict, error) {
		return sdk.Verdict{Outcome: sdk.Fail, Message: "bad", Findings: make([]sdk.Finding, sdk.MaxFindings+7)}, nil
	}}, ``)
	v, err := h.Client.Check(t.Context(), sdk.Check{}, nil)
	if err != nil || len(v.Findings) != sdk.MaxFindings || !strings.Contains(v.Message, "7 further findings") {
		t.Errorf("%d findings, message %q, %v", len(v.Findings), v.Message, err)
	}
}

func TestEmitRefusesDataThatIsTooLargeAndSplitsLogs(t *testing.T) {
	h := serve(t, plugin{run: func(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
		big := json.RawMessage(`{"text":"` + strings.Repeat("x", sdk.MaxData) + `"}`)
		err := a.Host.Emit(ctx, sdk.Event{Type: sdk.EventMessage, Data: big})
		if !errors.Is(err, sdk.ErrTooLarge) {
			return sdk.Result{}, fmt.Errorf("emit: %w", err)
		}
		return sdk.Result{}, a.Host.Emit(ctx, sdk.Log("stdout", bytes.Repeat([]byte("y"), 5*sdk.MaxLog/2)))
	}}, ``)
	if r, err := h.Execute(t, sdk.Attempt{ID: "att_1"}); err != nil || r.Failed {
		t.Fatalf("result = %+v, %v", r, err)
	}
	if pieces := h.Events.Of(sdk.EventLog); len(pieces) != 3 || len(h.Events.Output("stdout")) != 5*sdk.MaxLog/2 {
		t.Errorf("%d pieces with %d bytes", len(pieces), len(h.Events.Output("stdout")))
	}
}

func TestARequestThatDoesNotFitIsNotSentAndNotThePluginsFault(t *testing.T) {
	h := serve(t, plugin{}, ``)
	_, err := h.Client.Execute(t.Context(), sdk.Attempt{ID: "a", Instruction: strings.Repeat("x", wire.MaxMessage)}, nil)
	var tooMuch *wire.TooMuchError
	if !errors.As(err, &tooMuch) {
		t.Errorf("Execute = %v, want a TooMuchError", err)
	}
	_, err = h.Client.Check(t.Context(), sdk.Check{Changes: []sdk.Change{{Path: strings.Repeat("x", wire.MaxMessage)}}}, nil)
	if !errors.As(err, &tooMuch) {
		t.Errorf("Check = %v, want a TooMuchError", err)
	}
}

func TestTheSecretIsNeverPrintedAndRefusedWhenMalformed(t *testing.T) {
	s := wire.NewSecret()
	if text := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(text, string(s.Text())) {
		t.Errorf("printed as %s", text)
	}
	if again, err := wire.ParseSecret(s.Text()); err != nil || again != s {
		t.Errorf("ParseSecret(Text()) = %v, %v", again, err)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("g", 64), string(s.Text()) + "00", string(s.Text()) + "\n"} {
		if _, err := wire.ParseSecret([]byte(bad)); err == nil {
			t.Errorf("ParseSecret(%q) accepted it", bad)
		}
	}
}

func TestEveryCallNeedsTheOneSecret(t *testing.T) {
	secret, other := wire.NewSecret(), wire.NewSecret()
	p, err := wire.NewPlugin(manifest, plugin{})
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(secret.ServerOptions()...)
	wire.NewServer(p, wire.Hooks{}).Register(server)
	go server.Serve(listener) //nolint:errcheck // ends with Stop
	defer server.Stop()
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, values := range map[string][]string{
		"none": nil, "empty": {""}, "wrong": {string(other.Text())}, "short": {string(secret.Text()[:63])},
		"two":  {string(secret.Text()), string(secret.Text())},
		"case": {strings.ToUpper(string(secret.Text()))},
	} {
		ctx := t.Context()
		for _, v := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, "drawspan-session", v)
		}
		_, unary := pb.NewBaseClient(conn).Hello(ctx, &pb.HelloRequest{})
		attached, streamErr := pb.NewExecutorClient(conn).Attach(ctx, &pb.AttachRequest{AttemptId: "a"})
		if streamErr == nil {
			_, streamErr = attached.Recv()
		}
		for call, err := range map[string]error{"unary": unary, "stream": streamErr} {
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s secret, %s call: %v, want unauthenticated", name, call, err)
			}
		}
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "drawspan-session", string(secret.Text()))
	if _, err := pb.NewBaseClient(conn).Hello(ctx, &pb.HelloRequest{}); err != nil {
		t.Errorf("the secret itself: %v", err)
	}
}

func TestAnEmptySecretOpensNothing(t *testing.T) {
	if n := len(wire.Secret{}.ServerOptions()); n == 0 {
		t.Fatal("no interceptors")
	}
	if _, err := wire.NewPlugin(manifest, struct{}{}); err == nil {
		t.Error("a plugin without a face was accepted")
	}
	if _, err := wire.NewPlugin(sdk.Manifest{Name: "x"}, plugin{}); err == nil {
		t.Error("a manifest without a version was accepted")
	}
	if _, err := wire.NewPlugin(sdk.Manifest{Name: "x", Version: "1", Config: []sdk.Attribute{{Name: "a", Type: "set"}}}, plugin{}); err == nil {
		t.Error("an attribute of an unknown type was accepted")
	}
}
