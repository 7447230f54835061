// Command drawspan-executor-script plays a declared part instead of doing a step: edits, output, delays,
// questions, failures and every kind of misbehaviour. It is for tests, demonstrations and dry runs, and
// says of itself that it is a simulator.
//
//	executor "play" {
//		plugin = "script"
//		config {
//			play = [
//				{ edit = { path = "hello.txt", content = "hello\n" } },
//				{ message = { text = "done" } },
//			]
//		}
//	}
//
// Each entry of play is an object with one key, the action; README.md lists them. With allow_text_play, a
// step whose text is a JSON object with the key play brings its own.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

var manifest = sdk.Manifest{
	Name:      "script",
	Version:   "0.1.0",
	Summary:   "plays a declared list of actions; a simulator for tests and demonstrations",
	Simulated: true,
	Config: []sdk.Attribute{
		{Name: "play", Type: sdk.TypeAny, Doc: "list of actions, each an object with one key"},
		{Name: "allow_text_play", Type: sdk.TypeBool, Doc: "a step's text that is {\"play\": [...]} is played instead"},
	},
}

func main() {
	if spawned() {
		return
	}
	plugin.Serve(manifest, script{})
}

// settings are the config block.
type settings struct {
	Play          []json.RawMessage `json:"play"`
	AllowTextPlay bool              `json:"allow_text_play"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, &sdk.ConfigError{Attribute: "play", Message: "must be a list of objects"}
		}
	}
	if s.Play == nil && !s.AllowTextPlay {
		return settings{}, &sdk.ConfigError{Attribute: "play", Message: "required, unless allow_text_play is true"}
	}
	return s, nil
}

// playOf is the play of an attempt: the declared one, or the text's own where it may bring one.
func (s settings) playOf(text string) []json.RawMessage {
	var own settings
	if s.AllowTextPlay && json.Unmarshal([]byte(text), &own) == nil && own.Play != nil {
		return own.Play
	}
	return s.Play
}

// acts reads a play; the error names the entry.
func acts(play []json.RawMessage) ([]act, error) {
	var all []act
	for n, raw := range play {
		a, err := readAct(raw)
		if err != nil {
			return nil, &sdk.ConfigError{Attribute: "play", Message: fmt.Sprintf("entry %d: %v", n+1, err)}
		}
		all = append(all, a)
	}
	return all, nil
}

// readAct reads one entry: an object with one key, the action, and its strictly read parameters.
func readAct(raw json.RawMessage) (act, error) {
	var entry map[string]json.RawMessage
	if err := json.Unmarshal(raw, &entry); err != nil || len(entry) != 1 {
		return nil, errors.New("must be an object with one key, the action")
	}
	for name, parameters := range entry {
		fresh, ok := actions[name]
		if !ok {
			return nil, fmt.Errorf("there is no action %q", name)
		}
		a := fresh()
		decoder := json.NewDecoder(bytes.NewReader(parameters))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(a); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if c, ok := a.(checked); ok {
			if err := c.check(); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		return a, nil
	}
	return nil, errors.New("must be an object with one key, the action")
}

type script struct{}

// Configure refuses a play that could not be played.
func (script) Configure(_ context.Context, config json.RawMessage) error {
	s, err := parse(config)
	if err != nil {
		return err
	}
	_, err = acts(s.Play)
	return err
}

// Run plays.
func (script) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	s, err := parse(a.Config)
	if err != nil {
		return sdk.Result{}, err
	}
	list, err := acts(s.playOf(a.Instruction))
	if err != nil {
		return sdk.Result{}, err
	}
	root, err := os.OpenRoot(a.Tree)
	if err != nil {
		return sdk.Result{}, fmt.Errorf("open the tree: %w", err)
	}
	defer root.Close()
	st := &stage{attempt: a, root: root, result: sdk.Result{StopReason: "end_turn", Summary: fmt.Sprintf("played %d actions", len(list))}}
	for n, act := range list {
		err := act.play(ctx, st)
		if errors.Is(err, errEnd) {
			return st.result, nil
		}
		if err != nil {
			return st.result, failed(n, err)
		}
	}
	return st.result, nil
}

// failed tells which entry failed, unless it failed as it was told to.
func failed(n int, err error) error {
	var failure *sdk.Failure
	if errors.As(err, &failure) {
		return err
	}
	return fmt.Errorf("play entry %d: %w", n+1, err)
}
