package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The levels of SARIF.
const (
	levelError   = "error"
	levelWarning = "warning"
	levelNote    = "note"
	levelNone    = "none"
)

// rank orders the levels; -1 is no level.
func rank(level string) int {
	switch level {
	case levelNone:
		return 0
	case levelNote:
		return 1
	case levelWarning:
		return 2
	case levelError:
		return 3
	}
	return -1
}

// report is what a SARIF file says, as far as it is judged.
type report struct {
	results []result
}

// result is one result of an analyser.
type result struct {
	rule       string
	level      string // error, warning, note, none
	message    string
	uri        string   // resolved against the bases of the run; "" for none
	line, end  int      // 0 for none
	prints     []string // "name\x00value", of the analyser's own fingerprints
	suppressed []string // by kinds: external, inSource
}

var errNoReport = errors.New("it reported nothing")

// read reads a report. Anything that is not a whole SARIF 2.1.0 report of at least one run is an error.
func read(from io.Reader) (report, error) {
	in := bufio.NewReader(from)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\ufeff" {
		in.Discard(3) //nolint:errcheck // they were peeked at
	}
	if _, err := in.Peek(1); errors.Is(err, io.EOF) {
		return report{}, errNoReport
	}
	p := parser{walker: newWalker(in)}
	if err := p.document(); err != nil {
		return report{}, err
	}
	return report{p.results}, nil
}

// parser reads the parts of a report in any order.
type parser struct {
	*walker
	results []result
}

func (p *parser) document() error {
	version, runs := "", 0
	err := p.fields(map[string]func() error{
		"version": func() error { return p.text(&version, maxShort) },
		"runs": func() error {
			return p.list(maxRuns, "runs", func(int) error {
				runs++
				return p.run()
			})
		},
	})
	switch {
	case err != nil:
		return err
	case version != "2.1.0":
		return fmt.Errorf("the report is of version %q, and 2.1.0 is read", version)
	case runs == 0:
		return fmt.Errorf("the report has no run: %w", errNoReport)
	}
	return p.end()
}

// run is one run of a tool. What its results refer to may stand behind them.
type run struct {
	rules     [][]rule // of the driver, then of each extension
	named     map[string]rule
	bases     map[string]location
	artifacts []location
	raw       []raw
}

type rule struct {
	id, level string
	messages  map[string]string
}

// location is where an artifact is: relative to a named base, or one of the run's artifacts.
type location struct {
	uri, base string
	index     int
}

// raw is a result before what it refers to is looked up.
type raw struct {
	result
	kind      string
	state     string // baselineState
	messageID string
	arguments []string
	index     int // of the rule, -1 for none
	component int // 0 is the driver
	at        location
}

func (p *parser) run() error {
	r := run{rules: [][]rule{nil}, named: map[string]rule{}, bases: map[string]location{}}
	reported, failed := false, false
	err := p.fields(map[string]func() error{
		"tool": func() error { return p.tool(&r) },
		"results": func() (err error) {
			reported, err = p.array(func(int) error { return p.result(&r) })
			return err
		},
		"artifacts":          func() error { return p.list(maxArtifacts, "artifacts", func(int) error { return p.artifact(&r) }) },
		"originalUriBaseIds": func() error { return p.uriBases(&r) },
		"invocations": func() error {
			return p.list(maxResults, "invocations", func(int) error { return p.invocation(&failed) })
		},
	})
	switch {
	case err != nil:
		return err
	case failed:
		return errors.New("the analyser says itself that it did not succeed (executionSuccessful is false)")
	case !reported:
		return fmt.Errorf("a run has no results, not even an empty list: %w", errNoReport)
	}
	p.results = append(p.results, r.resolved()...)
	return nil
}

func (p *parser) uriBases(r *run) error {
	return p.object(func(name string) error {
		at := location{index: -1}
		err := p.location(&at)
		r.bases[clip(name, maxShort)] = at
		return err
	})
}

func (p *parser) invocation(failed *bool) error {
	return p.fields(map[string]func() error{"executionSuccessful": func() error {
		tok, err := p.token()
		if tok != true {
			*failed = true
		}
		return err
	}})
}

func (p *parser) tool(r *run) error {
	var extensions [][]rule
	err := p.fields(map[string]func() error{
		"driver": func() error { return p.component(&r.rules[0]) },
		"extensions": func() error {
			return p.list(maxRuns, "extensions", func(int) error {
				extensions = append(extensions, nil)
				return p.component(&extensions[len(extensions)-1])
			})
		},
	})
	r.rules = append(r.rules, extensions...)
	return err
}

func (p *parser) component(rules *[]rule) error {
	return p.fields(map[string]func() error{"rules": func() error {
		return p.list(maxRules, "rules", func(int) error {
			var one rule
			err := p.rule(&one)
			*rules = append(*rules, one)
			return err
		})
	}})
}

func (p *parser) rule(one *rule) error {
	return p.fields(map[string]func() error{
		"id": func() error { return p.text(&one.id, maxShort) },
		"messageStrings": func() error {
			one.messages = map[string]string{}
			return p.object(func(id string) error {
				var text string
				err := p.message(&text, nil, nil)
				one.messages[clip(id, maxShort)] = text
				return err
			})
		},
		"defaultConfiguration": func() error {
			return p.fields(map[string]func() error{"level": func() error { return p.level(&one.level) }})
		},
	})
}

// level reads a level; one that is not in the set would be compared with nothing.
func (p *parser) level(into *string) error {
	if err := p.text(into, maxShort); err != nil {
		return err
	}
	if *into != "" && rank(*into) < 0 {
		return p.wrong("%q is no level", *into)
	}
	return nil
}

// message reads a message: its text, or its markdown, or what is to be looked up.
func (p *parser) message(text, id *string, arguments *[]string) error {
	var plain, markdown string
	readers := map[string]func() error{
		"text":     func() error { return p.text(&plain, maxText) },
		"markdown": func() error { return p.text(&markdown, maxText) },
	}
	if id != nil {
		readers["id"] = func() error { return p.text(id, maxShort) }
		readers["arguments"] = func() error {
			return p.list(maxShort, "arguments", func(int) error {
				var one string
				err := p.text(&one, maxShort)
				*arguments = append(*arguments, one)
				return err
			})
		}
	}
	err := p.fields(readers)
	*text = firstOf(plain, markdown)
	return err
}

func (p *parser) artifact(r *run) error {
	at := location{index: -1}
	err := p.fields(map[string]func() error{"location": func() error { return p.location(&at) }})
	r.artifacts = append(r.artifacts, at)
	return err
}

func (p *parser) location(at *location) error {
	return p.fields(map[string]func() error{
		"uri":       func() error { return p.text(&at.uri, maxText) },
		"uriBaseId": func() error { return p.text(&at.base, maxShort) },
		"index":     func() error { return p.whole(&at.index) },
	})
}

// resolved are the results of the run, once all of it is known.
func (r *run) resolved() []result {
	for _, rules := range r.rules {
		for _, one := range rules {
			r.named[one.id] = one
		}
	}
	var all []result
	for _, raw := range r.raw {
		if one, ok := r.resolve(raw); ok {
			all = append(all, one)
		}
	}
	return all
}

// resolve looks up what a result refers to; false is something that is no result of this run.
func (r *run) resolve(raw raw) (result, bool) {
	one := raw.result
	found, described := r.find(raw)
	if one.rule == "" {
		one.rule = found.id
	}
	if one.message == "" {
		one.message = format(found.messages[raw.messageID], raw.arguments)
	}
	switch raw.kind {
	case "", "fail":
		one.level = firstOf(one.level, found.level)
		if one.level == "" && described {
			one.level = levelWarning
		}
		// Nobody described the rule: it may well be that the analysis itself went wrong.
		one.level = firstOf(one.level, levelError)
	case "open", "review":
		one.level = levelNote
	default: // pass, informational, notApplicable
		return result{}, false
	}
	one.uri = r.where(raw.at)
	return one, raw.state != "absent"
}

// find is the rule of a result, by its index where that agrees with its name, or by its name. A name like
// "CA1000/1" is one of the rule "CA1000".
func (r *run) find(raw raw) (rule, bool) {
	if one, ok := r.indexed(raw); ok && (raw.rule == "" || one.id == raw.rule || strings.HasPrefix(raw.rule, one.id+"/")) {
		return one, true
	}
	for id := raw.rule; id != ""; id = id[:max(0, strings.LastIndexByte(id, '/'))] {
		if one, ok := r.named[id]; ok {
			return one, true
		}
	}
	return rule{}, false
}

func (r *run) indexed(raw raw) (rule, bool) {
	if raw.component >= len(r.rules) || raw.index < 0 || raw.index >= len(r.rules[raw.component]) {
		return rule{}, false
	}
	return r.rules[raw.component][raw.index], true
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// format puts arguments into the places {0}, {1} of a message.
func format(text string, arguments []string) string {
	for i, a := range arguments {
		if len(text) > maxText {
			break
		}
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", a)
	}
	return clip(text, maxText)
}
