// Command drawspan-executor-replay performs a recorded attempt again: the events that its executor told, the
// change that it made to the tree, the claim that it ended with. It asks nobody and knows nothing of the
// step's text, and says of itself that it is a simulator.
//
//	executor "again" {
//		plugin  = "replay"
//		sandbox = "box"
//		config {
//			recording = "recordings/first" # in the tree, or absolute and visible by filesystem { read }
//		}
//	}
//
// README.md says how a recording is made.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

var manifest = sdk.Manifest{
	Name:      "replay",
	Version:   "0.1.0",
	Summary:   "tells the events of a recorded attempt again and makes its change; a simulator",
	Simulated: true,
	Config: []sdk.Attribute{
		{Name: "recording", Type: sdk.TypeString, Required: true, Doc: "directory with the attempt's events.jsonl, diff.patch and result.json: below the tree, or absolute"},
		{Name: "pace", Type: sdk.TypeNumber, Doc: "how fast: 1 as recorded, 2 twice as fast, 0 without pauses (the default)"},
		{Name: "ask", Type: sdk.TypeBool, Doc: "questions and permission requests are asked again instead of told (default false)"},
	},
}

func main() { plugin.Serve(manifest, executor{}) }

// settings are the config block.
type settings struct {
	Recording string  `json:"recording"`
	Pace      float64 `json:"pace"`
	Ask       bool    `json:"ask"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		return settings{}, &sdk.ConfigError{Message: "not an object"}
	}
	if s.Recording == "" || strings.ContainsRune(s.Recording, 0) {
		return settings{}, &sdk.ConfigError{Attribute: "recording", Message: "must name a directory"}
	}
	if s.Pace < 0 || s.Pace > 1e6 {
		return settings{}, &sdk.ConfigError{Attribute: "pace", Message: "must be between 0 and 1000000"}
	}
	return s, nil
}

type executor struct{}

// Configure refuses what could not be replayed.
func (executor) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Run replays. The whole recording is read before the first event is told.
func (executor) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	s, err := parse(a.Config)
	if err != nil {
		return sdk.Result{}, err
	}
	rec, err := open(a.Tree, s.Recording)
	if err != nil {
		return sdk.Result{}, err
	}
	defer rec.close()
	end, err := rec.claim()
	if err != nil {
		return sdk.Result{}, err
	}
	p := &player{attempt: a, settings: s}
	err = rec.each(func(line, sdk.Event) error { return nil })
	if err == nil {
		err = rec.each(func(l line, e sdk.Event) error { return p.play(ctx, l, e) })
	}
	if err == nil {
		err = p.note(ctx, rec.dropped)
	}
	if err == nil {
		err = rec.change(ctx, a.Tree, end.diff())
	}
	if ctx.Err() != nil {
		return sdk.Result{StopReason: "cancelled"}, nil
	}
	if err != nil {
		return sdk.Result{}, err
	}
	return end.result()
}

// bad is a recording that cannot be replayed.
func bad(format string, args ...any) error {
	return &sdk.Failure{Class: "protocol", Message: "bad recording: " + fmt.Sprintf(format, args...)}
}

// player tells recorded events.
type player struct {
	attempt  *sdk.Attempt
	settings settings
	last     time.Time
}

// maxPause bounds the pause between two events.
const maxPause = time.Minute

func (p *player) play(ctx context.Context, l line, e sdk.Event) error {
	if err := p.pause(ctx, l.Time); err != nil {
		return err
	}
	switch e.Type {
	case sdk.EventQuestionAsked:
		return p.question(ctx, e)
	case sdk.EventPermissionAsked:
		return p.permission(ctx, e)
	}
	return p.attempt.Host.Emit(ctx, e)
}

// pause waits as long as the recorded executor did, at the declared pace.
func (p *player) pause(ctx context.Context, at time.Time) error {
	before := p.last
	p.last = at
	if p.settings.Pace == 0 || before.IsZero() || !at.After(before) {
		return ctx.Err()
	}
	wait := time.Duration(float64(at.Sub(before)) / p.settings.Pace)
	select {
	case <-time.After(min(wait, maxPause)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// question asks again, or tells that it was asked: an answer changes nothing of what is recorded.
func (p *player) question(ctx context.Context, e sdk.Event) error {
	q, err := sdk.QuestionOf(e)
	if err != nil {
		return err
	}
	if !p.settings.Ask {
		return p.say(ctx, "The recorded executor asked: "+q.Text)
	}
	_, err = p.attempt.Host.Ask(ctx, q)
	return err
}

func (p *player) permission(ctx context.Context, e sdk.Event) error {
	q, err := sdk.PermissionOf(e)
	if err != nil {
		return err
	}
	if !p.settings.Ask {
		return p.say(ctx, "The recorded executor asked leave: "+q.Tool+": "+q.Title)
	}
	_, err = p.attempt.Host.Permit(ctx, q)
	return err
}

// note tells what of the recording is not told again.
func (p *player) note(ctx context.Context, dropped int) error {
	if dropped == 0 {
		return nil
	}
	return p.say(ctx, fmt.Sprintf("%d events of the recording are the host's own and were left out", dropped))
}

func (p *player) say(ctx context.Context, text string) error {
	text = strings.ToValidUTF8(text[:min(len(text), sdk.MaxText)], "")
	e, err := sdk.NewEvent(sdk.EventMessage, sdk.Text{Role: "assistant", Channel: "commentary", Text: text})
	if err != nil {
		return err
	}
	return p.attempt.Host.Emit(ctx, e)
}

var errNoFile = errors.New("no such file")
