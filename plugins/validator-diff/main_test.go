package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/config/guide"
	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return diff{} }, Want: sdk.Fail,
		Config: json.RawMessage(`{"max_files":1}`),
		Others: []json.RawMessage{[]byte(`{"max_files":9,"hidden_character":"ignore"}`), []byte(`{"max_files":-1}`)},
		Changes: []sdk.Change{
			{Path: "a.go", Op: "mode", OldMode: "100644", NewMode: "100755"}, {Path: "b\xff\n", Op: "delete"},
			{Path: "c.go", Op: "modify", OldMode: "100644", NewMode: "100644", Size: 9, Added: 1},
		},
		Patch: "diff --git a/c.go b/c.go\n--- a/c.go\n+++ b/c.go\n@@ -1 +1,2 @@\n x\n+// \u202e\n",
	})
}

func TestTheExampleOfTheGuideIsAccepted(t *testing.T) {
	sdktest.Serve(t, manifest, diff{}).Configure(t, guide.Config(t, guide.Validator(t, "diff", "hcl")))
}

const greet = "package greet\n\nfunc Greet() string { return \"hello\" }\n"

func TestEachRuleFindsWhatItIsFor(t *testing.T) {
	for name, c := range map[string]struct {
		config        string
		before, after files
		want          sdk.Outcome
		told          []string
	}{
		"an ordinary change":         {`{}`, files{"a.go": greet}, files{"a.go": greet + "// more\n", "b.md": "text\n"}, sdk.Pass, nil},
		"nothing":                    {`{"max_files":1}`, files{"a": "x"}, files{"a": "x"}, sdk.Pass, nil},
		"too many files":             {`{"max_files":1}`, nil, files{"a": "x", "b": "y"}, sdk.Fail, []string{"max-files"}},
		"as many as may be":          {`{"max_files":2,"max_lines":2,"max_file_bytes":1}`, nil, files{"a": "x", "b": "y"}, sdk.Pass, nil},
		"too many lines":             {`{"max_lines":2}`, files{"a": "1\n2\n"}, files{"a": "1\n3\n4\n"}, sdk.Fail, []string{"max-lines"}},
		"lines that do not count":    {`{"max_lines":2,"except":{"max_lines":"gen/**"}}`, nil, files{"gen/a": "1\n2\n3\n"}, sdk.Pass, nil},
		"too large a file":           {`{"max_file_bytes":3}`, files{"gone": "12345"}, files{"a": "1234"}, sdk.Fail, []string{"max-file-bytes a"}},
		"a binary file":              {`{"binary":"fail"}`, nil, files{"a.png": "\x89PNG\x00\x01"}, sdk.Fail, []string{"binary a.png"}},
		"a binary file is a warning": {`{}`, nil, files{"a.png": "\x89PNG\x00\x01"}, sdk.Warn, []string{"binary a.png"}},
		"a binary file goes":         {`{"binary":"fail"}`, files{"a.png": "\x00"}, nil, sdk.Pass, nil},
		"binaries in their place":    {`{"binary":"fail","except":{"binary":"{docs,assets}/**"}}`, nil, files{"docs/a.png": "\x00", "b.png": "\x00"}, sdk.Fail, []string{"binary b.png"}},
		"source that is binary":      {`{}`, nil, files{"a.go": greet + "\x00"}, sdk.Fail, []string{"hidden-character a.go", "binary a.go"}},
		"a new executable":           {`{"executable":"fail"}`, nil, files{"run": "exec:x"}, sdk.Fail, []string{"executable run"}},
		"one that becomes one":       {`{"executable":"fail","mode":"fail"}`, files{"run": "x"}, files{"run": "exec:x"}, sdk.Fail, []string{"executable run"}},
		"one that is none any more":  {`{"executable":"fail","mode":"fail"}`, files{"run": "exec:x"}, files{"run": "x"}, sdk.Fail, []string{"mode run"}},
		"one that stays one":         {`{"executable":"fail","mode":"fail"}`, files{"run": "exec:x\n"}, files{"run": "exec:y\n"}, sdk.Pass, nil},
		"a link":                     {`{"symlink":"fail"}`, nil, files{"l": "link:a"}, sdk.Fail, []string{"symlink l"}},
		"a file that becomes a link": {`{"symlink":"fail","mode":"fail"}`, files{"l": "x\n"}, files{"l": "link:a"}, sdk.Fail, []string{"symlink l"}},
		"a link that goes":           {`{"symlink":"fail"}`, files{"l": "link:a"}, nil, sdk.Pass, nil},
		"a link becomes a file":      {`{"symlink":"fail","mode":"fail"}`, files{"l": "link:a"}, files{"l": "x\n"}, sdk.Fail, []string{"mode l"}},
		"a workflow":                 {`{"ci_file":"fail"}`, nil, files{".github/workflows/x.yml": "on: push\n", "src/.github/workflows.go": "x\n"}, sdk.Fail, []string{"ci-file .github/workflows/x.yml"}},
		"in another case":            {`{"ci_file":"fail"}`, files{".GitHub/Workflows/x.yml": "on: push\n", "JENKINSFILE": "x\n"}, nil, sdk.Fail, []string{"ci-file .GitHub/Workflows/x.yml", "ci-file JENKINSFILE"}},
		"the judge's own files":      {`{"ci_file":"fail"}`, nil, files{"drawspan.hcl": "x\n", "a/drawspan.lock.hcl": "x\n"}, sdk.Fail, []string{"ci-file a/drawspan.lock.hcl", "ci-file drawspan.hcl"}},
		"a lock file alone":          {`{}`, files{"go.sum": "a\n"}, files{"go.sum": "b\n", "a/go.mod": "module a\n"}, sdk.Fail, []string{"lock-file go.sum"}},
		"a lock file and its own":    {`{}`, files{"go.sum": "a\n"}, files{"go.sum": "b\n", "go.mod": "module a\n"}, sdk.Pass, nil},
		"a workspace's package":      {`{}`, files{"package-lock.json": "{}\n"}, files{"package-lock.json": "{1}\n", "packages/a/package.json": "{}\n"}, sdk.Pass, nil},
		"a package beside it":        {`{}`, files{"web/yarn.lock": "a\n"}, files{"web/yarn.lock": "b\n", "package.json": "{}\n"}, sdk.Fail, []string{"lock-file web/yarn.lock"}},
		"a lock file that goes":      {`{}`, files{"Cargo.lock": "a\n"}, nil, sdk.Fail, []string{"lock-file Cargo.lock"}},
		"a pattern of manifests":     {`{}`, files{".terraform.lock.hcl": "a\n"}, files{".terraform.lock.hcl": "b\n", "main.tf": "x\n"}, sdk.Pass, nil},
		"all is ignored": {`{"binary":"ignore","hidden_character":"ignore","lock_file":"ignore","deleted_test":"ignore"}`,
			files{"go.sum": "a\n", "a_test.go": "x\n"}, files{"go.sum": "b\n", "a.bin": "\x00"}, sdk.Pass, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := judged(t, c.config, changed(t, c.before, c.after))
			if got := told(v); v.Outcome != c.want || !slices.Equal(got, c.told) {
				t.Errorf("%s %q (%s), want %s %q", v.Outcome, got, v.Message, c.want, c.told)
			}
			if v.Outcome != sdk.Pass && v.Message == "" {
				t.Error("no message")
			}
		})
	}
}

func TestASubmoduleIsFoundWhetherItComesOrGoes(t *testing.T) {
	v := judged(t, `{"deleted_test":"ignore","hidden_character":"ignore"}`, sdk.Check{Changes: []sdk.Change{
		{Path: "in", Op: "add", OldMode: "000000", NewMode: "160000"}, {Path: "out", Op: "delete", OldMode: "160000", NewMode: "000000"},
	}})
	if got := told(v); v.Outcome != sdk.Fail || !slices.Equal(got, []string{"gitlink in", "gitlink out"}) {
		t.Errorf("%s %q", v.Outcome, got)
	}
}

func TestMetricsSayHowLargeAChangeIs(t *testing.T) {
	v := judged(t, `{}`, changed(t, files{"a_test.go": "func TestA(t *testing.T) {\n}\n"}, files{"b": "1\u200b\n2\n", "c.bin": "\x00"}))
	want := map[string]float64{"files": 3, "lines": 4, "binary": 1, "largest": 7, "hidden_characters": 1, "deleted_tests": 1}
	for name, n := range want {
		if v.Metrics[name] != n {
			t.Errorf("%s = %v, want %v", name, v.Metrics[name], n)
		}
	}
}

// What was not judged does not pass.
func TestF10_APatchThatIsNotWholeDoesNotPass(t *testing.T) {
	c := changed(t, nil, files{"a": "x\n"})
	for name, spoil := range map[string]func(*sdk.Check){
		"cut":              func(c *sdk.Check) { c.PatchCut = true },
		"missing":          func(c *sdk.Check) { c.Patch = nil },
		"of another":       func(c *sdk.Check) { c.Patch = []byte(strings.ReplaceAll(string(c.Patch), "b/a", "b/b")) },
		"ended":            func(c *sdk.Check) { c.Patch = c.Patch[:len(c.Patch)-4] },
		"no patch":         func(c *sdk.Check) { c.Patch = []byte("what is this?\n") },
		"with words after": func(c *sdk.Check) { c.Patch = append(c.Patch[:len(c.Patch):len(c.Patch)], "+hidden\n"...) },
	} {
		spoiled := c
		spoil(&spoiled)
		if v := judged(t, `{}`, spoiled); v.Outcome != sdk.Error || v.Message == "" {
			t.Errorf("%s: %+v", name, v)
		}
		if v := judged(t, `{"hidden_character":"ignore","deleted_test":"ignore"}`, spoiled); v.Outcome != sdk.Pass {
			t.Errorf("%s, although no rule needs it: %+v", name, v)
		}
		if v := judged(t, `{"max_file_bytes":1}`, spoiled); v.Outcome != sdk.Fail {
			t.Errorf("%s, and something else is wrong: %+v", name, v)
		}
	}
}

func TestAConfigThatMeansNothingIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"max_files":0}`:                   "max_files",
		`{"max_lines":-1}`:                  "max_lines",
		`{"max_file_bytes":1.5}`:            "max_file_bytes",
		`{"binary":"deny"}`:                 "binary",
		`{"deleted_test":"Fail"}`:           "deleted_test",
		`{"except":{"nothing":"**"}}`:       "except",
		`{"except":{"binary":"["}}`:         "except",
		`{"except":{"binary":""}}`:          "except",
		`{"max_file":1}`:                    "max_file",
		`{"hidden_character":["fail"]}`:     "hidden_character",
		`{"symlink":"fail","modes":"fail"}`: "modes",
	} {
		sdktest.RefusedFor(t, manifest, diff{}, config, attribute)
	}
}

// Failing findings are not crowded out by warnings, and no number of them breaks the answer.
func TestTheWorstIsToldFirst(t *testing.T) {
	var all []sdk.Change
	for i := range 3 * sdk.MaxFindings {
		all = append(all, sdk.Change{Path: fmt.Sprint("x", i), Op: "add", NewMode: "100755"})
	}
	all = append(all, sdk.Change{Path: "go.sum", Op: "modify", OldMode: "100644", NewMode: "100644"})
	v := judged(t, `{}`, sdk.Check{Changes: all})
	if v.Outcome != sdk.Fail || len(v.Findings) != sdk.MaxFindings || v.Findings[0].Rule != "diff/lock-file" ||
		!strings.HasSuffix(v.Message, fmt.Sprintf("and %d more", 3*sdk.MaxFindings)) {
		t.Errorf("%s %q, %d findings, first %+v", v.Outcome, v.Message, len(v.Findings), v.Findings[0])
	}
}

func TestAFingerprintOutlivesAMoveOfLines(t *testing.T) {
	print := func(after string) string {
		v := judged(t, `{}`, changed(t, nil, files{"a.go": after}))
		if len(v.Findings) != 1 {
			t.Fatalf("findings = %+v", v.Findings)
		}
		return v.Findings[0].Fingerprint
	}
	first := print("x := 1 // \u202e\n")
	if moved := print("\n\n\tx := 1  // \u202e\n"); moved != first {
		t.Errorf("%s and then %s", first, moved)
	}
	if other := print("y := 1 // \u202e\n"); other == first {
		t.Error("another line has the same")
	}
}
