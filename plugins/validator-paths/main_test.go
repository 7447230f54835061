package main

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/config/guide"
	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return paths{} }, Want: sdk.Fail,
		Config:  json.RawMessage(`{"forbid":["secret/**"]}`),
		Others:  []json.RawMessage{[]byte(`{"forbid":["a.go"]}`), []byte(`{"write":["["]}`)},
		Changes: []sdk.Change{{Path: "a.go", Op: "modify"}, {Path: "secret/\xff\n", Op: "add"}},
	})
}

func TestTheExampleOfTheGuideIsAccepted(t *testing.T) {
	sdktest.Serve(t, manifest, paths{}).Configure(t, guide.Config(t, guide.Validator(t, "paths", "hcl")))
}

func judged(t *testing.T, config string, c sdk.Check) sdk.Verdict {
	t.Helper()
	return sdktest.Judge(t, manifest, paths{}, config, c)
}

// offences are the findings as "rule path".
func offences(v sdk.Verdict) []string {
	var all []string
	for _, f := range v.Findings {
		all = append(all, strings.TrimPrefix(f.Rule, "paths/")+" "+f.Path)
	}
	return all
}

func TestF2b_EveryChangedPathIsHeldToEveryRule(t *testing.T) {
	for name, c := range map[string]struct {
		config  string
		rules   []sdk.Paths
		changes []sdk.Change
		want    []string
	}{
		"no change":                 {`{"write":["a"]}`, nil, nil, nil},
		"no rules":                  {`{}`, nil, sdktest.Modified("a", "b/c"), nil},
		"a star does not cross":     {`{"write":["src/*"]}`, nil, sdktest.Modified("src/a.go", "src/b/c.go", "src"), []string{"write src/b/c.go", "write src"}},
		"two stars do":              {`{"write":["src/**"]}`, nil, sdktest.Modified("src/a.go", "src/b/c.go", "srcs/x"), []string{"write srcs/x"}},
		"a directory's rule":        {`{"forbid":[".github/**"]}`, nil, sdktest.Modified(".github", ".github/workflows/x.yml", "docs/.github/x"), []string{"forbid .github", "forbid .github/workflows/x.yml"}},
		"an extension":              {`{"forbid":["**/*.pem"]}`, nil, sdktest.Modified("a.pem", "x/y/b.pem", "c.pem.txt"), []string{"forbid a.pem", "forbid x/y/b.pem"}},
		"forbid wins":               {`{"write":["**"],"forbid":["go.mod"]}`, nil, sdktest.Modified("go.mod", "x/go.mod"), []string{"forbid go.mod"}},
		"forbid ignores case":       {`{"forbid":[".github/**","Makefile"]}`, nil, sdktest.Modified(".GitHub/x", "makefile", "MAKEFILE"), []string{"forbid .GitHub/x", "forbid makefile", "forbid MAKEFILE"}},
		"write does not":            {`{"write":["src/**"]}`, nil, sdktest.Modified("SRC/x"), []string{"write SRC/x"}},
		"every set must be content": {`{"write":["a/**","b/**"]}`, []sdk.Paths{{Write: []string{"a/**"}}, {Forbid: []string{"a/x"}}}, sdktest.Modified("a/1", "b/1", "a/x"), []string{"write b/1", "forbid a/x"}},
		"the workspace's alone":     {``, []sdk.Paths{{Write: []string{"a/**"}, Forbid: []string{"**/b"}}}, sdktest.Modified("a/b", "c"), []string{"forbid a/b", "write c"}},
		"a rename has two paths":    {`{"write":["a/**"]}`, nil, []sdk.Change{{Path: "a/x", OldPath: "b/x", Op: "rename"}}, []string{"write b/x"}},
		"a deletion counts":         {`{"forbid":["a"]}`, nil, []sdk.Change{{Path: "a", Op: "delete", OldMode: "100644", NewMode: "000000"}}, []string{"forbid a"}},
		"names are bytes":           {`{"write":["ok/**"]}`, nil, sdktest.Modified("ok/\xff\xfe", "o\nk", "ok/..", "{ok}"), []string{"write o\nk", "write {ok}"}},
		"alternatives":              {`{"write":["{cmd,pkg}/**"]}`, nil, sdktest.Modified("cmd/x", "pkg/y", "src/z"), []string{"write src/z"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := judged(t, c.config, sdk.Check{Changes: c.changes, Paths: c.rules})
			want := sdk.Pass
			if len(c.want) > 0 {
				want = sdk.Fail
			}
			got := offences(v)
			slices.Sort(got)
			slices.Sort(c.want)
			if v.Outcome != want || !slices.Equal(got, c.want) {
				t.Errorf("%s with %q, want %q", v.Outcome, got, c.want)
			}
			if want == sdk.Fail && (v.Message == "" || v.Findings[0].Severity != "error") {
				t.Errorf("verdict = %+v", v)
			}
		})
	}
}

// F10: a baseline knows findings by their fingerprints: no path can be made to have that of another.
func TestF10_NoTwoPathsShareAFingerprint(t *testing.T) {
	long := strings.Repeat("a/", 200)
	v := judged(t, `{"write":["src/**"]}`, sdk.Check{Changes: sdktest.Modified("\xff", "\xfe", long+"b", long+"c")})
	prints := map[string]bool{}
	for _, f := range v.Findings {
		prints[f.Fingerprint] = true
	}
	if len(v.Findings) != 4 || len(prints) != 4 {
		t.Errorf("%d findings with the fingerprints %v", len(v.Findings), prints)
	}
}

// A change must not be able to make the gate run out of time by its size.
func TestAFloodOfOffencesIsJudgedInOneGo(t *testing.T) {
	names := make([]string, 50_000)
	for i := range names {
		names[i] = fmt.Sprintf("dir/file%d", i)
	}
	v := judged(t, `{"write":["src/**"]}`, sdk.Check{Changes: sdktest.Modified(names...)})
	if v.Outcome != sdk.Fail || len(v.Findings) != sdk.MaxFindings || !strings.Contains(v.Message, "and 49999 more") {
		t.Errorf("%s with %d findings: %s", v.Outcome, len(v.Findings), v.Message)
	}
}

func TestSymbolicLinksMustStayInside(t *testing.T) {
	links := map[string]string{
		"inside": "a/b", "up": "a/../sub", "a/b/deep": "../../sub", "dangling": "not/there", "self": "self-not", "here": ".",
		"absolute": "/etc/passwd", "parent": "..", "a/climb": "../../x", "a/home": "/home", "proc": "/proc/self/root",
		"hop": "a/hop/../../x", "a/hop": "../sub", "top": "a/top", "a/top": "..", "over": "a/top/../x", "loop": "loop",
		"later": "not/../../x", "chain": "chained/..", "chained": "a/b", "long": strings.Repeat("x/", 3000), "slashes": "a//./b/",
		"unknown": "c/../a", "climbed": "top/..",
	}
	var changes []sdk.Change
	for name, target := range links {
		changes = append(changes, sdk.Change{Path: name, Op: "add", OldMode: "000000", NewMode: "120000", Link: target})
	}
	// A link that was there, and is none any more, is not followed; one without a target cannot be judged.
	changes = append(changes, sdk.Change{Path: "c", Op: "delete", OldMode: "120000", NewMode: "000000"})
	changes = append(changes, sdk.Change{Path: "missing", Op: "add", NewMode: "120000"})
	v := judged(t, `{}`, sdk.Check{Changes: changes})
	got := offences(v)
	slices.Sort(got)
	want := []string{
		"symlink-out a/climb", "symlink-out a/home", "symlink-out absolute", "symlink-out climbed", "symlink-out hop", "symlink-out later",
		"symlink-out long", "symlink-out loop", "symlink-out missing", "symlink-out over", "symlink-out parent", "symlink-out proc", "symlink-out unknown",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if v := judged(t, `{"refuse":[]}`, sdk.Check{Changes: changes}); v.Outcome != sdk.Pass {
		t.Errorf("with nothing refused: %+v", v)
	}
}

func TestKindsOfChangeAreRefusedAsDeclared(t *testing.T) {
	changes := []sdk.Change{
		{Path: "module", Op: "add", OldMode: "000000", NewMode: "160000"},
		{Path: "script", Op: "mode", OldMode: "100644", NewMode: "100755"},
		{Path: "new", Op: "add", OldMode: "000000", NewMode: "100755"},
		{Path: "was", Op: "modify", OldMode: "100755", NewMode: "100755"},
		{Path: "gone", Op: "delete", OldMode: "160000", NewMode: "000000"},
	}
	for config, want := range map[string][]string{
		`{}`:                             {"gitlink module"},
		`{"refuse":["exec"]}`:            {"exec script", "exec new"},
		`{"refuse":["gitlinks","exec"]}`: {"gitlink module", "exec script", "exec new"},
		`{"refuse":[]}`:                  nil,
	} {
		if got := offences(judged(t, config, sdk.Check{Changes: changes})); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", config, got, want)
		}
	}
}

func TestAGlobThatCouldNotMatchIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"write":["["]}`:         "write",
		`{"forbid":["a{b"]}`:      "forbid",
		`{"write":["docs/"]}`:     "write",
		`{"write":["./docs"]}`:    "write",
		`{"forbid":["/etc/**"]}`:  "forbid",
		`{"forbid":["../x"]}`:     "forbid",
		`{"forbid":[".."]}`:       "forbid",
		`{"forbid":["a//b"]}`:     "forbid",
		`{"write":[""]}`:          "write",
		`{"refuse":["symlinks"]}`: "refuse",
		`{"wirte":["a"]}`:         "wirte",
		`{"write":"a"}`:           "write",
	} {
		sdktest.RefusedFor(t, manifest, paths{}, config, attribute)
	}
}

func TestRulesThatAreNoGlobsAreNotEvaluated(t *testing.T) {
	v := judged(t, `{}`, sdk.Check{Changes: sdktest.Modified("a"), Paths: []sdk.Paths{{Forbid: []string{"["}}}})
	if v.Outcome != sdk.Error {
		t.Errorf("verdict = %+v, want error", v)
	}
}

func FuzzScope(f *testing.F) {
	f.Add("src/**", "src/a.go")
	f.Add("**/*.pem", "a.pem")
	f.Add("{a,b}/[c-d]?", "a/cx")
	f.Add("a\\*", "a*")
	f.Fuzz(func(t *testing.T, glob, name string) {
		if checkGlob(glob) != "" {
			return
		}
		allow := newJudge([]sdk.Paths{{Write: []string{glob}}}, nil, nil)
		allow.change(sdk.Change{Path: name, Op: "modify"})
		forbid := newJudge([]sdk.Paths{{Forbid: []string{glob}}}, nil, nil)
		forbid.change(sdk.Change{Path: name, Op: "modify"})
		// What may be written by a glob is forbidden by the same glob.
		if len(allow.findings) == 0 && len(forbid.findings) == 0 {
			t.Errorf("%q both allows %q and does not forbid it", glob, name)
		}
	})
}

func FuzzLinks(f *testing.F) {
	f.Add("a/b", "../c", "c", "d/..")
	f.Add("l", "l", "x", "/")
	f.Add("a/hop", "../sub", "hop", "a/hop/../../x")
	f.Fuzz(func(t *testing.T, one, to, other, too string) {
		all := linksOf([]sdk.Change{
			{Path: one, Op: "add", NewMode: modeLink, Link: to}, {Path: other, Op: "add", NewMode: modeLink, Link: too}, {Path: "d/e/f", Op: "add", NewMode: "100644"},
		})
		for _, name := range []string{one, other} {
			target := all.targets[name]
			if (path.IsAbs(target) || target == "" || !strings.Contains(name, "/") && strings.HasPrefix(target, "../")) && !all.leadsOut(name) {
				t.Errorf("%q -> %q stays", name, target)
			}
		}
	})
}
