package modelserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Script is what the model will have said. The steps after the last are texts, so that every agent ends.
type Script struct {
	Steps    []Step            `json:"steps"`
	Attempts map[string][]Step `json:"attempts,omitempty"` // the steps of /a/ID, where they are not Steps
	Usage    *Usage            `json:"usage,omitempty"`    // of every reply whose step has none
	Dir      string            `json:"dir,omitempty"`      // makes paths absolute where a tool wants that; "" reads it from the request
	Key      string            `json:"key,omitempty"`      // requests with another credential are refused with 401; "" accepts any
	Models   []string          `json:"models,omitempty"`   // what GET .../models lists; default "scripted"

	// On is called with every request before it is answered, and may hold the answer back.
	On func(Request) `json:"-"`
}

// Step is one reply: one intent, or a fault alone, which the request for the next step meets first.
type Step struct {
	Write    *File   `json:"write,omitempty"`
	Edit     *Change `json:"edit,omitempty"`
	Shell    string  `json:"shell,omitempty"` // a command line
	Patch    string  `json:"patch,omitempty"` // for agents with an apply_patch tool, in its own format
	Read     string  `json:"read,omitempty"`  // a path
	Ask      *Choice `json:"ask,omitempty"`
	Call     *Call   `json:"call,omitempty"`
	Parallel []Step  `json:"parallel,omitempty"` // several calls in one reply
	Text     string  `json:"text,omitempty"`     // the end of a turn; beside another intent, what is said before the call

	Repeat int    `json:"repeat,omitempty"` // it is met this many times; negative for ever
	Fault  *Fault `json:"fault,omitempty"`
	Usage  *Usage `json:"usage,omitempty"`
}

// File is a file to be written as a whole.
type File struct {
	Path    string `json:"path"`
	Content string `json:"content"`
	Times   int    `json:"times,omitempty"` // the content this many times over
}

// Change replaces a text in a file.
type Change struct {
	Path string `json:"path"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// Choice is a question to a person.
type Choice struct {
	Question string   `json:"question"`
	Options  []string `json:"options"`
}

// Call is a call of a tool by name, with arguments as they stand: the tool need not exist and the arguments
// need not be JSON.
type Call struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// Fault is what goes wrong with a reply.
type Fault struct {
	Status       int           `json:"status,omitempty"`        // answer with this HTTP status and the wire's form of an error
	RetryAfter   time.Duration `json:"retry_after,omitempty"`   // with Status: the header of that name, in whole seconds
	Silence      bool          `json:"silence,omitempty"`       // say nothing (more) until the client leaves
	Cut          bool          `json:"cut,omitempty"`           // break the connection
	After        int           `json:"after,omitempty"`         // records that are sent before Silence or Cut
	NoTerminal   bool          `json:"no_terminal,omitempty"`   // leave out the record that ends the reply
	SplitRunes   bool          `json:"split_runes,omitempty"`   // end a write inside of every character of several bytes
	Trickle      bool          `json:"trickle,omitempty"`       // one byte per write
	BadArguments bool          `json:"bad_arguments,omitempty"` // arguments that are not a JSON object
	Times        int           `json:"times,omitempty"`         // requests that meet it; 0 for every one
}

// Usage is what a reply says that it cost. Input includes what was cached, on every wire.
type Usage struct {
	Input       int `json:"input"`
	CachedRead  int `json:"cached_read,omitempty"`
	CachedWrite int `json:"cached_write,omitempty"`
	Output      int `json:"output"`
	Reasoning   int `json:"reasoning,omitempty"`
}

// usual is the usage where the script is silent.
var usual = Usage{Input: 100, CachedRead: 20, Output: 10}

// Write makes the agent write a file.
func Write(path, content string) Step { return Step{Write: &File{Path: path, Content: content}} }

// Edit makes the agent replace a text in a file.
func Edit(path, old, new string) Step { return Step{Edit: &Change{path, old, new}} }

// Shell makes the agent run a command line.
func Shell(command string) Step { return Step{Shell: command} }

// Patch makes an agent that has an apply_patch tool use it.
func Patch(text string) Step { return Step{Patch: text} }

// Read makes the agent read a file.
func Read(path string) Step { return Step{Read: path} }

// Ask makes the agent put a question to a person.
func Ask(question string, options ...string) Step { return Step{Ask: &Choice{question, options}} }

// Text ends the turn.
func Text(text string) Step { return Step{Text: text} }

// Tool makes the agent call a tool by its name, with arguments as they stand.
func Tool(name, arguments string) Step { return Step{Call: &Call{name, arguments}} }

// Parallel makes the agent call several tools at once.
func Parallel(steps ...Step) Step { return Step{Parallel: steps} }

// Fail is a fault alone: what the request for the next step meets first.
func Fail(f Fault) Step { return Step{Fault: &f} }

// With is the step with a fault.
func (s Step) With(f Fault) Step { s.Fault = &f; return s }

// Costs is the step with a usage.
func (s Step) Costs(u Usage) Step { s.Usage = &u; return s }

// Endless is the step, met for ever.
func (s Step) Endless() Step { s.Repeat = -1; return s }

// ParseScript reads a script from JSON.
func ParseScript(text []byte) (Script, error) {
	var s Script
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("parse the script: %w", err)
	}
	return s, s.check()
}

// check refuses what no request could be answered from.
func (s Script) check() error {
	lists := map[string][]Step{"": s.Steps}
	for id, steps := range s.Attempts {
		lists["attempt "+id+": "] = steps
	}
	for where, steps := range lists {
		for i, step := range steps {
			if err := step.check(); err != nil {
				return fmt.Errorf("%sstep %d %w", where, i, err)
			}
		}
	}
	return nil
}

func (s Step) check() error {
	if n := s.intents(); n > 1 || n == 0 && s.Text == "" && s.Fault == nil {
		return fmt.Errorf("names %d intents, want one", n)
	}
	for _, p := range s.Parallel {
		if p.intents() != 1 || p.Parallel != nil || p.Fault != nil {
			return errors.New("holds in parallel what is no single call without a fault")
		}
	}
	return nil
}

// intents counts what the step wants done. A text alone ends the turn and is none.
func (s Step) intents() int {
	n := 0
	for _, set := range []bool{s.Write != nil, s.Edit != nil, s.Shell != "", s.Patch != "", s.Read != "", s.Ask != nil,
		s.Call != nil, s.Parallel != nil} {
		if set {
			n++
		}
	}
	return n
}

// answered is how many results (or texts) a request holds more once the step is over.
func (s Step) answered() int {
	times := s.Repeat
	if times == 0 {
		times = 1
	}
	if len(s.Parallel) > 0 {
		return times * len(s.Parallel)
	}
	return times
}

// stage is a step with the faults that stand before it.
type stage struct {
	Step
	before []*Fault
}

// stages joins faults that stand alone to the step that they stand before.
func stages(steps []Step) []stage {
	var list []stage
	var waiting []*Fault
	for _, s := range steps {
		if s.intents() == 0 && s.Text == "" {
			waiting = append(waiting, s.Fault)
			continue
		}
		if s.Fault != nil {
			waiting = append(waiting, s.Fault)
		}
		list = append(list, stage{s, waiting})
		waiting = nil
	}
	return append(list, stage{Text("done"), waiting})
}

// at is the index of the stage that a request meets which holds so many results.
func at(list []stage, results int) int {
	for i, s := range list {
		n := s.answered()
		if n < 0 || results < n {
			return i
		}
		results -= n
	}
	return len(list) - 1
}
