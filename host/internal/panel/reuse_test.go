package panel

import (
	"encoding/json"
	"testing"

	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

func pure(name string) work.GateRule {
	r := rule(name)
	r.Pure, r.Config = true, json.RawMessage(`{"max":1}`)
	return r
}

func TestAPureResultIsUsedAgainForEqualInputsAlone(t *testing.T) {
	b := newBench(t)
	first := b.subject(pure("g"))
	b.judge(first)
	again := b.subject(pure("g"))
	_, stands := b.judge(again)
	was, is := b.tried(first, "g")[0], b.tried(again, "g")[0]
	if stands != gate.Passed || len(b.plugins.launches) != 1 || is.Reused != was.ID || is.ID == was.ID || is.Inputs != was.Inputs || is.Plugin != was.Plugin ||
		is.AttemptID != again.AttemptID || string(is.Enforced) != string(was.Enforced) || is.Stdout != "" {
		t.Fatalf("%v, %d launches: %+v", stands, len(b.plugins.launches), is)
	}
	for what, change := range map[string]func(*Subject){
		"tree": func(s *Subject) { s.TreeSum = "other" }, "base": func(s *Subject) { s.Base = "other" },
		"paths": func(s *Subject) { s.Paths = []sdk.Paths{{Forbid: []string{"x"}}} }, "config": func(s *Subject) { s.Rules[0].Config = json.RawMessage(`{"max":2}`) },
		"program": func(s *Subject) { s.Rules[0].Digest = "sha256:11" }, "sandbox": func(s *Subject) { s.Rules[0].Sandbox.Level = "guarded" },
		"toolchain": func(s *Subject) {
			s.Rules[0].Sandbox.Toolchains = []work.Toolchain{{Name: "go", Read: []string{"/usr/lib/go"}}}
		},
		"not pure": func(s *Subject) { s.Rules[0].Pure = false }, "a variable": func(s *Subject) { s.Rules[0].Sandbox.Pass = []string{"HOME"} },
		"network":   func(s *Subject) { s.Rules[0].Sandbox.Network.Mode = work.NetworkHost },
		"provision": func(s *Subject) { s.Provision.Ports = 1 },
		"feeds":     func(s *Subject) { s.Rules[0].Feeds = []string{sdk.FeedFacts} },
	} {
		s := b.subject(pure("g"))
		change(s)
		if b.judge(s); b.tried(s, "g")[0].Reused != "" {
			t.Errorf("another %s: the result was used again", what)
		}
	}
}

// What lies beside the commit is in no digest of inputs, so a second evaluation may see another.
func TestAResultOfWhatLiesBesideTheCommitIsNotUsedAgain(t *testing.T) {
	for what, open := range map[string]func(s *Subject){
		"provisioned":   func(s *Subject) { s.Provision.Ports = 1 },
		"a toolchain":   func(s *Subject) { s.Rules[0].Sandbox.Toolchains = []work.Toolchain{{Name: "go"}} },
		"host paths":    func(s *Subject) { s.Rules[0].Sandbox.Read = []string{"/srv/baseline"} },
		"writable":      func(s *Subject) { s.Rules[0].Sandbox.Write = []string{"/srv/state"} },
		"nothing shuts": func(s *Subject) { s.Rules[0].Sandbox.Level = "off" },
	} {
		b := newBench(t)
		for range 2 {
			s := b.subject(pure("g"))
			open(s)
			if b.judge(s); b.tried(s, "g")[0].Reused != "" {
				t.Errorf("%s: the result was used again", what)
			}
		}
	}
	b := newBench(t)
	for i := range 2 {
		r := stays("a")
		r.Pure = true
		s := b.subject(r)
		s.Provision.Ports = 1
		if b.judge(s); (b.tried(s, "a")[0].Reused != "") != (i == 1) {
			t.Errorf("one that sees no tree, evaluation %d: %+v", i, b.tried(s, "a")[0])
		}
	}
}

func TestWhereARuleIsWrittenDoesNotMatter(t *testing.T) {
	b := newBench(t)
	b.judge(b.subject(pure("g")))
	moved := b.subject(pure("g"))
	moved.Rules[0].Declared, moved.Rules[0].Sandbox.Declared = "y.hcl:9", "y.hcl:1"
	if b.judge(moved); b.tried(moved, "g")[0].Reused == "" {
		t.Error("it was evaluated again")
	}
}

func TestAnErrorIsNotUsedAgain(t *testing.T) {
	b := newBench(t)
	b.plugins.plays["g"] = []play{crashes, says(sdk.Error), says(sdk.Pass)}
	for range 2 {
		b.judge(b.subject(pure("g")))
	}
	if len(b.results.kept) != 0 {
		t.Errorf("kept %+v", b.results.kept)
	}
	if _, stands := b.judge(b.subject(pure("g"))); stands != gate.Passed {
		t.Errorf("stands %v", stands)
	}
}

func TestF10_AKeptResultThatDoesNotFitIsNotUsed(t *testing.T) {
	for what, forge := range map[string]func(*work.Validation){
		"result": func(v *work.Validation) { v.Result = "fine" }, "an error": func(v *work.Validation) { v.Result = work.ResultError },
		"inputs": func(v *work.Validation) { v.Inputs = "sha256:other" }, "program": func(v *work.Validation) { v.Plugin.Digest = "sha256:other" },
		"name": func(v *work.Validation) { v.Plugin.Name = "other" }, "gate": func(v *work.Validation) { v.Gate = "other" }, "id": func(v *work.Validation) { v.ID = "x" },
		"findings": func(v *work.Validation) { v.Findings = make([]work.Finding, maxFindings+1) },
	} {
		b := newBench(t)
		b.plugins.plays["g"] = []play{says(sdk.Fail)}
		first := b.subject(pure("g"))
		b.judge(first)
		v := b.tried(first, "g")[0]
		v.Result, v.ID = work.ResultPass, ident.New(ident.Validation)
		forge(&v)
		b.results.kept[b.tried(first, "g")[0].Inputs] = v
		if _, stands := b.judge(b.subject(pure("g"))); stands != gate.Rejected {
			t.Errorf("another %s: %v", what, stands)
		}
	}
}
