package main

import (
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// mostTokens is beyond any session: more than that is no number of tokens.
const mostTokens = 1 << 40

// account is what a session used, as the agent says.
type account struct {
	sum      sdk.Usage // of updates
	last     sdk.Usage // the last update
	cost     float64
	currency string
}

// add takes the usage of one session/update, where it has one.
func (a *account) add(u usageMap, update []byte) bool {
	object := at(update, strings.TrimPrefix(u.At, "update."))
	if object == nil {
		return false
	}
	a.last = u.read(object)
	a.last.Scope, a.last.Calls = "call", 1
	a.sum.Input += a.last.Input
	a.sum.Output += a.last.Output
	a.sum.CachedRead += a.last.CachedRead
	a.sum.CachedWrite += a.last.CachedWrite
	a.sum.Reasoning += a.last.Reasoning
	a.sum.Calls++
	return true
}

// total is what the turn used, or nil where the agent does not say.
func (a *account) total(u usageMap, response []byte) *sdk.Usage {
	var t sdk.Usage
	switch path, inResponse := strings.CutPrefix(u.At, "response."); {
	case inResponse:
		object := at(response, path)
		if object == nil {
			return nil
		}
		t = u.read(object)
		t.Scope = u.Scope
	case a.sum.Calls == 0:
		return nil
	default:
		t = a.sum
		t.Scope, t.Basis = "turn", "reported"
	}
	if t.Scope == "" {
		t.Scope = "turn"
	}
	t.Cost, t.Currency = a.cost, a.currency
	return &t
}

// read makes a usage whose input includes what was cached and whose output includes thoughts.
func (u usageMap) read(object []byte) sdk.Usage {
	var m [5][]byte
	agent.Pick(object, []string{u.Input, u.Output, u.CachedRead, u.CachedWrite, u.Reasoning}, m[:])
	n := [5]int64{}
	for i, raw := range m {
		if v := agent.Int(raw); v > 0 && v <= mostTokens {
			n[i] = v
		}
	}
	t := sdk.Usage{Input: n[0], Output: n[1], CachedRead: n[2], CachedWrite: n[3], Reasoning: n[4], Basis: "reported"}
	if u.Cached == "excluded" {
		t.Input += t.CachedRead + t.CachedWrite
	}
	if u.Thoughts == "excluded" {
		t.Output += t.Reasoning
	}
	return t
}

// at is the object at a path of members, or nil.
func at(object []byte, path string) []byte {
	for name := range strings.SplitSeq(path, ".") {
		var m [1][]byte
		if !agent.Pick(object, []string{name}, m[:]) {
			return nil
		}
		object = m[0]
	}
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	return object
}
