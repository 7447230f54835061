package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/drawspan/drawspan/sdk"
)

// act is one entry of a play.
type act interface {
	play(ctx context.Context, s *stage) error
}

// checked is an act whose parameters can be wrong in ways that decoding does not see.
type checked interface{ check() error }

// stage is what acts work on.
type stage struct {
	attempt *sdk.Attempt
	root    *os.Root
	result  sdk.Result
}

// errEnd ends the play before its last entry.
var errEnd = errors.New("end of the play")

func (s *stage) say(ctx context.Context, format string, args ...any) error {
	return s.attempt.Host.Emit(ctx, sdk.Message(fmt.Sprintf(format, args...)))
}

// actions are the words of a play.
var actions = map[string]func() act{
	"edit":    func() act { return &edit{} },
	"output":  func() act { return &output{} },
	"message": func() act { return &message{} },
	"delay":   func() act { return &delay{} },
	"ask":     func() act { return &ask{} },
	"permit":  func() act { return &permit{} },
	"exit":    func() act { return &exit{} },
	"fail":    func() act { return &fail{} },
	"result":  func() act { return &claim{} },
	"crash":   func() act { return &crash{} },
	"hang":    func() act { return &hang{} },
	"spawn":   func() act { return &spawn{} },
	"read":    func() act { return &read{} },
	"write":   func() act { return &write{} },
	"connect": func() act { return &connect{} },
	"environ": func() act { return &environ{} },
	"event":   func() act { return &event{} },
	"flood":   func() act { return &flood{} },
}

// edit changes one path of the tree, and never leaves it: write does that.
type edit struct {
	Path    string  `json:"path"`
	Content *string `json:"content"` // the file becomes this
	Append  string  `json:"append"`
	Delete  bool    `json:"delete"`
	Mode    string  `json:"mode"`    // octal
	Symlink string  `json:"symlink"` // the path becomes a link to this, wherever it leads
}

func (e *edit) check() error {
	if e.Path == "" {
		return errors.New("path is required")
	}
	if _, err := strconv.ParseUint(e.mode(), 8, 9); err != nil {
		return errors.New("mode must be octal, like 0755")
	}
	return nil
}

func (e *edit) mode() string {
	if e.Mode == "" {
		return "0644"
	}
	return e.Mode
}

func (e *edit) play(_ context.Context, s *stage) error {
	mode, err := strconv.ParseUint(e.mode(), 8, 9)
	if err != nil {
		return err
	}
	if e.Delete {
		return s.root.RemoveAll(e.Path)
	}
	if dir := path.Dir(e.Path); dir != "." {
		if err := s.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if e.Symlink != "" {
		return s.root.Symlink(e.Symlink, e.Path)
	}
	if e.Content != nil {
		if err := s.root.WriteFile(e.Path, []byte(*e.Content), os.FileMode(mode)); err != nil {
			return err
		}
	}
	if e.Append != "" {
		if err := e.append(s.root); err != nil {
			return err
		}
	}
	if e.Mode != "" {
		return s.root.Chmod(e.Path, os.FileMode(mode))
	}
	return nil
}

func (e *edit) append(root *os.Root) error {
	f, err := root.OpenFile(e.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(e.Append)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// output prints, as a program would.
type output struct {
	Stream string `json:"stream"` // stdout (default) or stderr
	Text   string `json:"text"`
	Repeat int    `json:"repeat"`
}

func (o *output) check() error {
	if o.Stream == "" {
		o.Stream = "stdout"
	}
	if o.Stream != "stdout" && o.Stream != "stderr" || o.Repeat < 0 {
		return errors.New("stream must be stdout or stderr, repeat not negative")
	}
	return nil
}

func (o *output) play(ctx context.Context, s *stage) error {
	for range max(1, o.Repeat) {
		if err := s.attempt.Host.Emit(ctx, sdk.Log(o.Stream, []byte(o.Text))); err != nil {
			return err
		}
	}
	return nil
}

// flood prints without end, or up to a number of bytes.
type flood struct {
	Bytes int64 `json:"bytes"` // 0 = until stopped
}

func (f *flood) play(ctx context.Context, s *stage) error {
	block := bytes.Repeat([]byte("flood of output from a simulated executor, sixty-four bytes long\n"), 1000)[:64000]
	for left := f.Bytes; f.Bytes == 0 || left > 0; left -= int64(len(block)) {
		piece := block
		if f.Bytes > 0 && left < int64(len(piece)) {
			piece = piece[:left]
		}
		if err := s.attempt.Host.Emit(ctx, sdk.Log("stdout", piece)); err != nil {
			return err
		}
	}
	return nil
}

type message struct {
	Text string `json:"text"`
}

func (m *message) play(ctx context.Context, s *stage) error { return s.say(ctx, "%s", m.Text) }

// duration is "1.5s" in JSON.
type duration time.Duration

func (d *duration) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return errors.New("a duration is a text like 1.5s")
	}
	parsed, err := time.ParseDuration(text)
	*d = duration(parsed)
	return err
}

type delay struct {
	Duration duration `json:"duration"`
}

func (d *delay) play(ctx context.Context, _ *stage) error {
	select {
	case <-time.After(time.Duration(d.Duration)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask opens a question and tells what came.
type ask struct {
	ID      string   `json:"id"`
	Text    string   `json:"text"`
	Options []string `json:"options"`
}

func (q *ask) play(ctx context.Context, s *stage) error {
	answer, err := s.attempt.Host.Ask(ctx, sdk.Question{ID: q.ID, Text: q.Text, Options: q.Options})
	if err != nil {
		return err
	}
	if !answer.Answered {
		return s.say(ctx, "the question was not answered")
	}
	return s.say(ctx, "the answer was: %s", answer.Text)
}

// permit asks leave and tells what came; where it is needed, a denial ends the attempt.
type permit struct {
	ID     string `json:"id"`
	Tool   string `json:"tool"`
	Title  string `json:"title"`
	Needed bool   `json:"needed"`
}

func (p *permit) play(ctx context.Context, s *stage) error {
	d, err := s.attempt.Host.Permit(ctx, sdk.Permission{ID: p.ID, Tool: p.Tool, Title: p.Title})
	if err != nil {
		return err
	}
	word := "denied"
	if d.Allowed {
		word = "allowed"
	}
	if err := s.say(ctx, "the request was %s by %s", word, d.Rule); err != nil {
		return err
	}
	if p.Needed && !d.Allowed {
		return &sdk.Failure{Class: "policy", Message: "a needed permission was denied", Denied: true}
	}
	return nil
}

// exit claims that a program was run and exited.
type exit struct {
	Code int `json:"code"`
}

func (e *exit) play(_ context.Context, s *stage) error {
	s.result.ExitCode = &e.Code
	if e.Code != 0 {
		s.result.StopReason, s.result.Failed, s.result.Class = "error", true, "unknown"
		s.result.Message = fmt.Sprintf("the simulated program exited with code %d", e.Code)
	}
	return errEnd
}

// fail ends the attempt with an error.
type fail struct {
	Class     string `json:"class"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
	Denied    bool   `json:"denied"`
}

func (f *fail) play(context.Context, *stage) error {
	return &sdk.Failure{Class: f.Class, Message: f.Message, Retryable: f.Retryable, Denied: f.Denied}
}

// claim ends the attempt with any claim at all, true or not.
type claim struct {
	StopReason string `json:"stop_reason"`
	ExitCode   *int   `json:"exit_code"`
	Signal     string `json:"signal"`
	Summary    string `json:"summary"`
	Failed     bool   `json:"failed"`
	Class      string `json:"class"`
	Message    string `json:"message"`
	Retryable  bool   `json:"retryable"`
	Denied     bool   `json:"denied"`
}

func (c *claim) play(_ context.Context, s *stage) error {
	s.result = sdk.Result{
		StopReason: c.StopReason, ExitCode: c.ExitCode, Signal: c.Signal, Summary: c.Summary, Failed: c.Failed,
		Class: c.Class, Message: c.Message, Retryable: c.Retryable, Denied: c.Denied,
	}
	return errEnd
}

// environ tells which variables the plugin has, with their values.
type environ struct{}

func (environ) play(ctx context.Context, s *stage) error {
	return s.say(ctx, "%s", strings.Join(os.Environ(), "\n"))
}
