package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/wire"
)

// attended is the executor with a person who says done, unless the note is "wait": then nobody answers.
type attended struct{ executor }

func (p *attended) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	if s, err := parse(a.Config); err == nil && s.Note != "wait" {
		a.Host = person{a.Host}
	}
	return p.executor.Run(ctx, a)
}

type person struct{ sdk.Host }

func (person) Ask(context.Context, sdk.Question) (sdk.Answer, error) {
	return sdk.Answer{Text: "done", Answered: true}, nil
}

func TestContract(t *testing.T) {
	sdktest.RunExecutor(t, sdktest.ExecutorSuite{
		Manifest: manifest, New: func() any { return &attended{} }, Config: json.RawMessage(`{}`), Text: "anything",
		SlowConfig: json.RawMessage(`{"note":"wait"}`),
	})
}

// perform performs an attempt and gives the answers, in order; the last one again and again. "-" is silence.
func perform(t *testing.T, config, text string, answers ...string) (sdk.Result, []sdk.Question) {
	t.Helper()
	h := sdktest.Serve(t, manifest, executor{})
	h.Configure(t, json.RawMessage(config))
	var asked []sdk.Question
	h.Events.On = func(e sdk.Event) {
		q, err := sdk.QuestionOf(e)
		if err != nil {
			t.Error(err)
		}
		answer := answers[min(len(asked), len(answers)-1)]
		asked = append(asked, q)
		if err := h.Client.Input(t.Context(), "att_1", e.ItemID, sdk.Answer{Text: answer, Answered: answer != "-"}, sdk.Decision{}); err != nil {
			t.Error(err)
		}
	}
	r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Instruction: text, Tree: "/somewhere/trees/att_1/tree"})
	if err != nil {
		t.Fatal(err)
	}
	return r, asked
}

func TestThePersonIsToldWhereAndWhat(t *testing.T) {
	_, asked := perform(t, `{"note":"The rules are in CONTRIBUTING.md."}`, "Rename the flag.", "done")
	if len(asked) != 1 || strings.Join(asked[0].Options, ",") != "done,give up" {
		t.Fatalf("asked %+v", asked)
	}
	for _, want := range []string{"/somewhere/trees/att_1/tree", "Rename the flag.", "CONTRIBUTING.md", `"done"`, `"give up: why"`} {
		if !strings.Contains(asked[0].Text, want) {
			t.Errorf("the question does not hold %q:\n%s", want, asked[0].Text)
		}
	}
	_, asked = perform(t, `{}`, strings.Repeat("ä", 200_000), "done")
	if n := len(asked[0].Text); n > 12<<10 || !strings.Contains(asked[0].Text, "/somewhere/trees") {
		t.Errorf("a question of %d bytes", n)
	}
}

func TestTheAnswerDecidesWhatIsClaimed(t *testing.T) {
	for answer, want := range map[string]struct{ class, text string }{
		"done":                       {"", "a person says that it is done"},
		" Done ":                     {"", "a person says that it is done"},
		"done: moved it to flags.go": {"", "moved it to flags.go"},
		"give up":                    {"policy", "given up by a person: no reason was given"},
		"Give  up: the flag is gone: see git log": {"policy", "given up by a person: the flag is gone: see git log"},
		"-":     {"policy", "nobody answered by the deadline"},
		"maybe": {"policy", `5 answers were neither done nor give up; the last was "maybe"`},
		"donee": {"policy", "neither done nor give up"},
	} {
		r, asked := perform(t, `{}`, "x", answer)
		if r.Failed != (want.class != "") || r.Class != want.class || !strings.Contains(r.Summary+r.Message, want.text) {
			t.Errorf("%q: result = %+v, want %+v", answer, r, want)
		}
		if r.Denied != (answer == "-") || r.Retryable != (answer == "-") {
			t.Errorf("%q: denied %t, retryable %t", answer, r.Denied, r.Retryable)
		}
		if n := len(asked); strings.Contains(want.text, "neither") != (n == maxTries) {
			t.Errorf("%q: %d questions", answer, n)
		}
	}
}

func TestAnotherAnswerIsAskedAgain(t *testing.T) {
	r, asked := perform(t, `{}`, "x", "what do you mean?", "done")
	if r.Failed || len(asked) != 2 || asked[0].ID == asked[1].ID || !strings.HasPrefix(asked[1].Text, `"what do you mean?" is neither done nor give up.`) {
		t.Errorf("result = %+v, asked %+v", r, asked)
	}
	if !strings.Contains(asked[1].Text, "/somewhere/trees/att_1/tree") {
		t.Errorf("the second question does not say where:\n%s", asked[1].Text)
	}
}

func TestANoteThatDoesNotFitIsRefused(t *testing.T) {
	h := sdktest.Serve(t, manifest, executor{})
	err := h.Client.Configure(t.Context(), json.RawMessage(`{"note":"`+strings.Repeat("x", maxNote+1)+`"}`))
	if refusal := sdktest.Refused(t, err, wire.CodeConfig); refusal.Config[0].Attribute != "note" {
		t.Errorf("refusal = %+v", refusal)
	}
}

func FuzzAnAnswerIsAVerbOrNone(f *testing.F) {
	for _, seed := range []string{"done", "give up: x", "", ":", "done:", "DONE : \x00", "give\nup"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		verb, rest := read(answer)
		if verb != "" && verb != done && verb != giveUp || verb == "" && rest != "" {
			t.Errorf("read(%q) = %q, %q", answer, verb, rest)
		}
	})
}
