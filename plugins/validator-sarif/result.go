package main

import (
	"fmt"
	"slices"
)

// result reads one result.
func (p *parser) result(r *run) error {
	if len(p.results)+len(r.raw) == maxResults {
		return fmt.Errorf("more than %d results: %w", maxResults, errTooMuch)
	}
	one := raw{index: -1, at: location{index: -1}}
	err := p.fields(map[string]func() error{
		"ruleId":              func() error { return p.text(&one.rule, maxShort) },
		"ruleIndex":           func() error { return p.whole(&one.index) },
		"rule":                func() error { return p.reference(&one) },
		"level":               func() error { return p.level(&one.level) },
		"kind":                func() error { return p.kind(&one.kind) },
		"baselineState":       func() error { return p.text(&one.state, maxShort) },
		"message":             func() error { return p.message(&one.message, &one.messageID, &one.arguments) },
		"locations":           func() error { return p.locations(&one) },
		"fingerprints":        func() error { return p.prints("fingerprints", &one) },
		"partialFingerprints": func() error { return p.prints("partialFingerprints", &one) },
		"suppressions":        func() error { return p.suppressions(&one) },
	})
	r.raw = append(r.raw, one)
	return err
}

// kind reads what a result is; of one that is not in the set nobody knows whether it counts.
func (p *parser) kind(into *string) error {
	if err := p.text(into, maxShort); err != nil {
		return err
	}
	if !slices.Contains([]string{"", "fail", "open", "review", "pass", "informational", "notApplicable"}, *into) {
		return p.wrong("%q is no kind of result", *into)
	}
	return nil
}

// reference reads which rule of which component a result is of.
func (p *parser) reference(one *raw) error {
	id, component := "", -1
	err := p.fields(map[string]func() error{
		"id":    func() error { return p.text(&id, maxShort) },
		"index": func() error { return p.whole(&one.index) },
		"toolComponent": func() error {
			return p.fields(map[string]func() error{"index": func() error { return p.whole(&component) }})
		},
	})
	one.component = component + 1 // the extensions stand behind the driver
	one.rule = firstOf(one.rule, id)
	return err
}

// locations reads the first location of a result.
func (p *parser) locations(one *raw) error {
	return p.list(maxResults, "locations", func(i int) error {
		if i > 0 {
			return p.skip()
		}
		return p.fields(map[string]func() error{"physicalLocation": func() error {
			return p.fields(map[string]func() error{
				"artifactLocation": func() error { return p.location(&one.at) },
				"region":           func() error { return p.region(one) },
			})
		}})
	})
}

func (p *parser) region(one *raw) error {
	err := p.fields(map[string]func() error{
		"startLine": func() error { return p.whole(&one.line) },
		"endLine":   func() error { return p.whole(&one.end) },
	})
	one.line = max(0, one.line)
	one.end = max(one.line, one.end)
	return err
}

// prints keeps the analyser's fingerprints that say something.
func (p *parser) prints(group string, one *raw) error {
	return p.object(func(name string) error {
		var value string
		err := p.text(&value, maxShort)
		if value != "" && len(one.prints) < maxPrints {
			one.prints = append(one.prints, clip(group+"."+name, maxShort)+"\x00"+value)
		}
		return err
	})
}

// suppressions keeps the kinds of suppression of a result; one that is not accepted suppresses nothing.
func (p *parser) suppressions(one *raw) error {
	open := false
	var kinds []string
	err := p.list(maxShort, "suppressions", func(int) error {
		var kind, status string
		err := p.fields(map[string]func() error{
			"kind":   func() error { return p.text(&kind, maxShort) },
			"status": func() error { return p.text(&status, maxShort) },
		})
		open = open || status != "" && status != "accepted"
		kinds = append(kinds, kind)
		return err
	})
	if !open {
		one.suppressed = kinds
	}
	return err
}
