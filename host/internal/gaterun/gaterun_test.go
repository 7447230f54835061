package gaterun

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/report"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

func TestBothEndsComeFromTheSystemsEnvironment(t *testing.T) {
	zero := "0000000000000000000000000000000000000000"
	for _, row := range []struct {
		name       string
		env        map[string]string
		event      string
		system     string
		base, head []string
	}{
		{"a desk", nil, "", "", nil, []string{"HEAD"}},
		{"a pull request on GitHub", map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main", "GITHUB_SHA": "m", "GITHUB_EVENT_PATH": "e"},
			`{"pull_request":{"base":{"sha":"b"},"head":{"sha":"h"}}}`, "GitHub Actions", []string{"b", "refs/remotes/origin/main", "refs/heads/main"}, []string{"m", "h"}},
		{"the base's own job for one judges the head, not itself", map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_SHA": "b", "GITHUB_EVENT_PATH": "e"},
			`{"pull_request":{"base":{"sha":"b"},"head":{"sha":"h"}}}`, "GitHub Actions", []string{"b"}, []string{"h"}},
		{"a push of a new branch", map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_SHA": "h", "GITHUB_EVENT_PATH": "e"},
			`{"before":"` + zero + `","repository":{"default_branch":"trunk"}}`, "GitHub Actions", []string{"refs/remotes/origin/trunk", "refs/heads/trunk"}, []string{"h"}},
		{"a merge queue", map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "merge_group", "GITHUB_EVENT_PATH": "e"},
			`{"merge_group":{"base_sha":"b","head_sha":"h"}}`, "GitHub Actions", []string{"b"}, []string{"h"}},
		{"a review of a pull request", map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_review", "GITHUB_SHA": "m", "GITHUB_EVENT_PATH": "e"},
			`{"pull_request":{"base":{"sha":"b"},"head":{"sha":"h"}}}`, "GitHub Actions", []string{"b"}, []string{"m", "h"}},
		{"a comment on one, for which GitHub names the default branch's commit", map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "issue_comment", "GITHUB_SHA": "t", "GITHUB_EVENT_PATH": "e"},
			`{"repository":{"default_branch":"main"}}`, "GitHub Actions", []string{"refs/remotes/origin/main", "refs/heads/main"}, nil},
		{"an event that is no JSON", map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main", "GITHUB_EVENT_PATH": "e"},
			`{"pull_request":`, "GitHub Actions", []string{"refs/remotes/origin/main", "refs/heads/main"}, nil},
		{"a merge request on GitLab", map[string]string{"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_DIFF_BASE_SHA": "b", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_COMMIT_SHA": "h"},
			"", "GitLab CI", []string{"refs/remotes/origin/main", "refs/heads/main", "b"}, []string{"h"}},
		{"a pull request on Buildkite", map[string]string{"BUILDKITE": "true", "BUILDKITE_PULL_REQUEST": "3", "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main", "BUILDKITE_COMMIT": "HEAD"},
			"", "Buildkite", []string{"refs/remotes/origin/main", "refs/heads/main"}, []string{"HEAD"}},
		{"a push on Woodpecker", map[string]string{"CI": "woodpecker", "CI_PIPELINE_EVENT": "push", "CI_PREV_COMMIT_SHA": "b", "CI_COMMIT_SHA": "h", "CI_REPO_DEFAULT_BRANCH": "main", "CI_COMMIT_BRANCH": "main"},
			"", "Woodpecker", []string{"b", "refs/remotes/origin/main", "refs/heads/main"}, []string{"h"}},
	} {
		ci := Detect(func(name string) string { return row.env[name] }, func(string) ([]byte, error) { return []byte(row.event), nil })
		if ci.System != row.system || !slices.Equal(ci.Base, row.base) || !slices.Equal(ci.Head, row.head) {
			t.Errorf("%s: %+v", row.name, ci)
		}
	}
}

func TestF10_TheSecondOfTwoPushesIsNotJudgedByTheRulesOfTheFirst(t *testing.T) {
	trunk := []string{"refs/remotes/origin/main", "refs/heads/main"}
	before := append([]string{"b"}, trunk...)
	github := map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": "e", "GITHUB_SHA": "h"}
	gitlab := map[string]string{"GITLAB_CI": "true", "CI_COMMIT_BEFORE_SHA": "b", "CI_DEFAULT_BRANCH": "main", "CI_COMMIT_SHA": "h"}
	woodpecker := map[string]string{"CI": "woodpecker", "CI_PIPELINE_EVENT": "push", "CI_PREV_COMMIT_SHA": "b", "CI_REPO_DEFAULT_BRANCH": "main", "CI_COMMIT_SHA": "h"}
	for _, row := range []struct {
		env, with map[string]string
		want      []string
	}{
		{github, map[string]string{"GITHUB_REF": "refs/heads/main"}, before},
		{github, map[string]string{"GITHUB_REF": "refs/heads/release", "GITHUB_REF_PROTECTED": "true"}, before},
		{github, map[string]string{"GITHUB_REF": "refs/heads/mine", "GITHUB_REF_PROTECTED": "false"}, trunk},
		{github, map[string]string{"GITHUB_REF": "refs/tags/main"}, trunk},
		{gitlab, map[string]string{"CI_COMMIT_BRANCH": "main"}, before},
		{gitlab, map[string]string{"CI_COMMIT_BRANCH": "release", "CI_COMMIT_REF_PROTECTED": "true"}, before},
		{gitlab, map[string]string{"CI_COMMIT_BRANCH": "mine", "CI_COMMIT_REF_PROTECTED": "false"}, trunk},
		{gitlab, map[string]string{"CI_COMMIT_TAG": "main"}, trunk},
		{woodpecker, map[string]string{"CI_COMMIT_BRANCH": "main"}, before},
		{woodpecker, map[string]string{"CI_COMMIT_BRANCH": "mine"}, trunk},
	} {
		env := func(name string) string { return cmp.Or(row.with[name], row.env[name]) }
		event := func(string) ([]byte, error) {
			return []byte(`{"before":"b","repository":{"default_branch":"main"}}`), nil
		}
		if ci := Detect(env, event); !slices.Equal(ci.Base, row.want) {
			t.Errorf("%s, %v: the base is %q", ci.System, row.with, ci.Base)
		}
	}
}

// fake is a repository of names: commit m is a merge of b and h, whose common ancestor is a.
type fake struct {
	Repository
	revisions map[string]string
	ancestor  string
	files     map[string]map[string][]byte // by commit
}

var errNone = errors.New("there is none")

func (f fake) Revision(_ context.Context, name string) (string, error) {
	if id, ok := f.revisions[name]; ok {
		return id, nil
	}
	return "", errNone
}
func (f fake) MergeBase(context.Context, string, string) (string, error) { return f.ancestor, nil }
func (f fake) Bring(context.Context, ...string) error                    { return nil }
func (f fake) Files(_ context.Context, commit string, pick func(string) bool) (map[string][]byte, error) {
	out := map[string][]byte{}
	for p, data := range f.files[commit] {
		if pick(p) {
			out[p] = data
		}
	}
	return out, nil
}

func TestTheFirstNameThatIsThereIsTakenAndWhatIsOddIsSaid(t *testing.T) {
	repo := fake{revisions: map[string]string{"main": "b", "HEAD": "h", "old": "b"}, ancestor: "a"}
	r, err := Resolve(t.Context(), repo, []string{"gone", "main"}, nil)
	if err != nil || r.Asked != "b" || r.Base != "a" || r.Head != "h" || len(r.Notes) != 1 || r.Notes[0].Code != "base-moved-on" {
		t.Errorf("%+v, %v", r, err)
	}
	repo.ancestor = "h"
	if r, err = Resolve(t.Context(), repo, []string{"main"}, nil); err != nil || r.Notes[0].Code != "nothing-changed" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, ends := range [][2][]string{{{"gone", "main"}, nil}, {{"main"}, {"gone", "HEAD"}}} {
		if r, err = Resolve(t.Context(), repo, ends[0], ends[1]); !errors.Is(err, errNone) {
			t.Errorf("what was meant is not there, and what was taken instead judges nothing: %+v, %v", r, err)
		}
	}
	if _, err := Resolve(t.Context(), repo, nil, nil); !fault.Is(err, fault.InvalidRequest) {
		t.Errorf("a base was guessed: %v", err)
	}
	if _, err := Resolve(t.Context(), repo, []string{"gone", "lost"}, nil); !errors.Is(err, errNone) {
		t.Errorf("got %v", err)
	}
}

func TestF10_RulesInsideTheRepositoryAreTheBases(t *testing.T) {
	root := Real(t.TempDir())
	repo := fake{files: map[string]map[string][]byte{
		"b": {"ci/drawspan.hcl": []byte("base"), "ci/x.gates.hcl": []byte("gates")},
		"h": {"ci/drawspan.hcl": []byte("change"), "ci/more.hcl": []byte("change"), "known.json": []byte("{}")},
	}}
	s, err := NewSources(t.Context(), repo, root, Range{Asked: "b", Head: "h"}, root+"/known.json")
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.Expand([]string{root + "/ci"})
	if err != nil || !slices.Equal(files, []string{root + "/ci/drawspan.hcl"}) {
		t.Errorf("files %v, %v", files, err)
	}
	if data, err := s.Read(root + "/ci/drawspan.hcl"); err != nil || string(data) != "base" {
		t.Errorf("read %q, %v", data, err)
	}
	for _, p := range []string{"/ci/more.hcl", "/../" + root + "/ci/more.hcl", "/ci/../ci/more.hcl"} {
		if data, err := s.Read(root + p); err == nil {
			t.Errorf("%s: read %q of the change", p, data)
		}
	}
	if err := os.WriteFile(root+"/known.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(root + "/known.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a baseline that the base does not have is read: %v", err)
	}
	rules := s.Rules([]work.Change{{Path: "ci/drawspan.hcl"}, {Path: "ci/more.hcl"}, {Path: "src/a.go"}, {Path: "moved", OldPath: "ci/drawspan.hcl"}})
	if rules.From != report.FromBase || !slices.Equal(rules.Edited, []string{"ci/drawspan.hcl", "ci/more.hcl"}) {
		t.Errorf("%+v", rules)
	}
}

func TestF10_ALinkOfTheChangeLeadsItsJudgeNowhere(t *testing.T) {
	dir := Real(t.TempDir())
	root, away := dir+"/repo", dir+"/away"
	for _, d := range []string{root, away} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{away + "/rules.hcl", away + "/drawspan.hcl"} {
		if err := os.WriteFile(name, []byte("weak"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{root + "/drawspan.hcl": away + "/rules.hcl", root + "/ci": away, dir + "/way": root, dir + "/own.hcl": root + "/drawspan.hcl"} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	repo := fake{files: map[string]map[string][]byte{"b": {"drawspan.hcl": []byte("base"), "ci/drawspan.hcl": []byte("base")}}}
	s, err := NewSources(t.Context(), repo, root, Range{Asked: "b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/repo/drawspan.hcl", "/repo/ci/drawspan.hcl", "/way/drawspan.hcl", "/way/ci/drawspan.hcl", "/own.hcl"} {
		if data, err := s.Read(dir + name); string(data) != "base" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if data, err := s.Read(dir + "/repo/ci/rules.hcl"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("through a directory that is a link: %q, %v", data, err)
	}
	if data, err := s.Read(away + "/rules.hcl"); string(data) != "weak" {
		t.Errorf("the runner's own file: %q, %v", data, err)
	}
}

func TestAFloorLowersWhatIsAcceptedAndNothingElse(t *testing.T) {
	rule := func(level, shortfall, floor string) work.GateRule {
		return work.GateRule{Sandbox: &work.SandboxPolicy{Level: level, OnShortfall: shortfall, Floor: floor}}
	}
	for _, row := range []struct {
		rule             work.GateRule
		floor            string
		shortfall, lower string
	}{
		{rule("strict", "refuse", ""), "", "refuse", ""},
		{rule("strict", "refuse", ""), "guarded", "degrade", "guarded"},
		{rule("strict", "degrade", "isolated"), "guarded", "degrade", "guarded"},
		{rule("strict", "degrade", "guarded"), "isolated", "degrade", "guarded"},
		{rule("guarded", "refuse", ""), "guarded", "refuse", ""},
		{rule("guarded", "refuse", ""), "strict", "refuse", ""},
	} {
		before := *row.rule.Sandbox
		got := Floored([]work.GateRule{row.rule}, row.floor)[0].Sandbox
		if got.Level != before.Level || got.OnShortfall != row.shortfall || got.Floor != row.lower || row.rule.Sandbox.OnShortfall != before.OnShortfall {
			t.Errorf("%+v with floor %q: %+v", before, row.floor, got)
		}
	}
}

func TestLimitsThatWereLetGoAreSaid(t *testing.T) {
	vector := spec.Enforced{Required: "strict", Enforced: "strict", Floor: "guarded", Shortfall: []string{"net: a remark"}}
	vector.Lack("limits.memory")
	body, err := json.Marshal(vector)
	if err != nil {
		t.Fatal(err)
	}
	if l := levelsOf(body); l == nil || !slices.Equal(l.Missing, []string{"limits.memory"}) {
		t.Errorf("%+v", l)
	}
}

func TestGatesThatRanInLessAreSaidOnceForWhatTheyLacked(t *testing.T) {
	less := &report.Levels{Required: "strict", Enforced: "guarded", Missing: []string{"namespaces"}}
	notes := below([]report.Gate{
		{Name: "a", Sandbox: less}, {Name: "b", Sandbox: &report.Levels{Required: "strict", Enforced: "strict"}}, {Name: "c"}, {Name: "d", Sandbox: less},
		{Name: "e", Sandbox: &report.Levels{Required: "strict", Enforced: "strict", Missing: []string{"limits.memory"}}},
	})
	want := []string{"gates a, d ran at level guarded instead of strict, without: namespaces", "gate e ran without limits.memory, which is asked for"}
	if len(notes) != len(want) || notes[0].Text != want[0] || notes[1].Text != want[1] || notes[0].Level != "warning" {
		t.Errorf("%+v", notes)
	}
}

func TestARefusalNamesTheFloorWhereThatCouldHelp(t *testing.T) {
	refused := fault.New(fault.SandboxUnavailable, "no namespaces").Fix("allow them")
	for _, row := range []struct {
		policy *work.SandboxPolicy
		err    error
		hint   string
	}{
		{&work.SandboxPolicy{Level: "strict"}, refused, `allow them, or accept less: ci { floor = "guarded" }`},
		{&work.SandboxPolicy{Level: "strict", OnShortfall: "degrade", Floor: "isolated"}, refused, `allow them, or accept less: ci { floor = "guarded" }`},
		{&work.SandboxPolicy{Level: "strict", OnShortfall: "degrade", Floor: "guarded"}, refused, "allow them"},
		{&work.SandboxPolicy{Level: "strict"}, fault.New(fault.PluginStart, "it ended").Fix("look"), "look"},
	} {
		_, err := Advise(never{err: row.err}).Start(t.Context(), panel.Launch{Policy: row.policy})
		if f := fault.From(err); f.Hint != row.hint || !errors.Is(err, row.err) || refused.Hint != "allow them" {
			t.Errorf("%+v: %q, %v", row.policy, f.Hint, err)
		}
	}
}

// never is a host of validators that starts none.
type never struct{ err error }

func (n never) Start(context.Context, panel.Launch) (panel.Plugin, error) { return nil, n.err }

func TestNoGatesAreNoPassAndOnlyTakesWhatIsNeeded(t *testing.T) {
	ws := &work.Workspace{Name: "w", Gates: []work.GateRule{{Name: "a"}, {Name: "b", Needs: []string{"a"}}, {Name: "c", After: []string{"b"}}, {Name: "o", Optional: true}, {Name: "z"}}}
	rules, omitted, err := choose(ws, nil, []string{"c"}, work.DiffFacts{})
	if err != nil || len(rules) != 3 || !slices.Equal(omitted, []string{"z"}) {
		t.Errorf("%v, %v, %v", rules, omitted, err)
	}
	if rules, _, _ := choose(ws, nil, []string{"o"}, work.DiffFacts{}); len(rules) != 1 || rules[0].Name != "o" {
		t.Errorf("an optional gate that was asked for: %v", rules)
	}
	if _, _, err := choose(ws, nil, []string{"nothing"}, work.DiffFacts{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	if _, _, err := choose(&work.Workspace{Name: "w"}, nil, nil, work.DiffFacts{}); !fault.Is(err, fault.ConfigInvalid) {
		t.Errorf("nothing was judged, and that is %v", err)
	}
}

// saying is a validator that always says the same.
type saying struct {
	panel.Plugin
	verdict sdk.Verdict
	err     error
}

func (s saying) Start(context.Context, panel.Launch) (panel.Plugin, error) { return s, nil }
func (s saying) Check(context.Context, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
	return s.verdict, s.err
}

func TestABaselineLiftsOnlyAFailOfWhichAllIsKnown(t *testing.T) {
	known := sdk.Finding{Rule: "r", Severity: "error", Path: "p", Line: 3, Message: "old"}
	doc := report.Document{Schema: report.Schema, Gates: []report.Gate{{Name: "g", Findings: report.Settle("g", []report.Finding{findingOf(work.Finding(known))})}}}
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	b, err := report.ReadBaseline(data)
	if err != nil {
		t.Fatal(err)
	}
	moved, fresh := known, known
	moved.Line, fresh.Message = 90, "new"
	for name, row := range map[string]struct {
		said   saying
		lifted bool
	}{
		"all known":        {saying{verdict: sdk.Verdict{Outcome: sdk.Fail, Findings: []sdk.Finding{moved}}}, true},
		"one new":          {saying{verdict: sdk.Verdict{Outcome: sdk.Fail, Findings: []sdk.Finding{known, fresh}}}, false},
		"one twice":        {saying{verdict: sdk.Verdict{Outcome: sdk.Fail, Findings: []sdk.Finding{known, moved}}}, false},
		"nothing found":    {saying{verdict: sdk.Verdict{Outcome: sdk.Fail}}, false},
		"an error":         {saying{verdict: sdk.Verdict{Outcome: sdk.Error, Findings: []sdk.Finding{known}}}, false},
		"a crash":          {saying{verdict: sdk.Verdict{Outcome: sdk.Fail, Findings: []sdk.Finding{known}}, err: errNone}, false},
		"more than counts": {saying{verdict: sdk.Verdict{Outcome: sdk.Fail, Findings: slices.Repeat([]sdk.Finding{known}, maxFindings)}}, false},
	} {
		l := Lift(row.said, b)
		p, err := l.Start(t.Context(), panel.Launch{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := p.Check(t.Context(), sdk.Check{Gate: "g"}, nil)
		if (v.Outcome == sdk.Warn) != row.lifted || l.lifted["g"] != row.lifted || !errors.Is(err, row.said.err) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestExitCodesSayHowTheGatesStand(t *testing.T) {
	said := &report.Document{Verdict: "pass", Gates: []report.Gate{{Verdict: "pass", Result: "warn"}}}
	grave := &report.Document{Verdict: "pass", Gates: []report.Gate{{Verdict: "pass", Result: "warn", Findings: []report.Finding{{Severity: "error"}}}}}
	lifted := &report.Document{Verdict: "pass", Gates: []report.Gate{{Verdict: "pass", Result: "warn", Known: 1, Findings: []report.Finding{{Severity: "error", Known: true}}}}}
	warned := &report.Document{Verdict: "pass", Gates: []report.Gate{{Verdict: "pass", Findings: []report.Finding{{Severity: "warning"}}}}}
	for _, row := range []struct {
		doc    *report.Document
		failOn string
		want   int
	}{
		{&report.Document{Verdict: "pass"}, "error", fault.ExitOK},
		{&report.Document{Verdict: "fail"}, "error", fault.ExitGateFailed},
		{&report.Document{Verdict: "hold"}, "error", fault.ExitWaitsForHuman},
		{&report.Document{Verdict: ""}, "error", fault.ExitGateFailed},
		{warned, "error", fault.ExitOK},
		{warned, "warning", fault.ExitGateFailed},
		{said, "warning", fault.ExitGateFailed},
		{grave, "warning", fault.ExitGateFailed},
		{grave, "error", fault.ExitOK},
		{lifted, "warning", fault.ExitOK},
		{&report.Document{Verdict: "pass", Rules: report.Rules{Edited: []string{"x"}}}, "warning", fault.ExitGateFailed},
		{&report.Document{Verdict: "fail"}, "never", fault.ExitOK},
	} {
		if got := Exit(row.doc, row.failOn); got != row.want {
			t.Errorf("%+v, %s: %d, want %d", row.doc, row.failOn, got, row.want)
		}
	}
}

func FuzzDetect(f *testing.F) {
	f.Add([]byte(`{"pull_request":{"base":{"sha":"b"}}}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		env := map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_EVENT_PATH": "e"}
		ci := Detect(func(name string) string { return env[name] }, func(string) ([]byte, error) { return event, nil })
		if len(ci.Head) == 1 && ci.Head[0] == "HEAD" {
			t.Error("the base's own job fell back to judging itself")
		}
	})
}

// A tree is made beforehand where a validator is sure to open it. Results at hand spare it, of pure validators only.
func TestATreeIsMadeForThoseWhoOpenIt(t *testing.T) {
	fed, pure, other := work.GateRule{Validator: "diff", Resident: true}, work.GateRule{Validator: "license", Pure: true}, work.GateRule{Validator: "command"}
	for _, row := range []struct {
		rules  []work.GateRule
		reuses bool
		want   bool
	}{
		{[]work.GateRule{fed, {Builtin: true, Validator: "real-executor"}, {}}, false, false},
		{[]work.GateRule{fed, pure}, false, true},
		{[]work.GateRule{fed, pure}, true, false},
		{[]work.GateRule{pure, other}, true, true},
	} {
		j := &judgement{Options: Options{Reuses: row.reuses}, rules: row.rules}
		if got := j.opened(); got != row.want {
			t.Errorf("%+v, results at hand %v: %v", row.rules, row.reuses, got)
		}
	}
}
