package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/config/guide"
	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return command{} },
		Config: json.RawMessage(`{"run":["ls"]}`), Files: map[string]string{"a/b": "x"}, Want: sdk.Pass,
	})
}

func TestTheExampleOfTheGuideIsAccepted(t *testing.T) {
	sdktest.Serve(t, manifest, command{}).Configure(t, guide.Config(t, guide.Validator(t, "command", "hcl")))
}

func check(t *testing.T, ctx context.Context, config, tree string) (sdk.Verdict, string) {
	t.Helper()
	h := sdktest.Serve(t, manifest, command{})
	h.Configure(t, json.RawMessage(config))
	var out strings.Builder
	v, err := h.Client.Check(ctx, sdk.Check{Tree: tree, Gate: "g"}, func(_ string, p []byte) error { out.Write(p); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return v, out.String()
}

func TestTheExitCodeDecides(t *testing.T) {
	for config, want := range map[string]struct {
		outcome sdk.Outcome
		code    int
		signal  string
		message string
	}{
		`{"run":["true"]}`:                                  {sdk.Pass, 0, "", ""},
		`{"run":["false"]}`:                                 {sdk.Fail, 1, "", "false exited with code 1"},
		`{"run":["false"],"ok_codes":[1]}`:                  {sdk.Pass, 1, "", ""},
		`{"run":["true"],"ok_codes":[1]}`:                   {sdk.Fail, 0, "", "true exited with code 0"},
		`{"run":["sh","-c","echo why; exit 3"]}`:            {sdk.Fail, 3, "", "why"},
		`{"run":["/no/such/program"]}`:                      {sdk.Error, 0, "", ""},
		`{"run":["true"],"dir":"no/such/dir"}`:              {sdk.Error, 0, "", ""},
		`{"run":["test","-e","here"],"dir":"sub"}`:          {sdk.Pass, 0, "", ""},
		`{"run":["sh","-c","test $A = b"],"env":{"A":"b"}}`: {sdk.Pass, 0, "", ""},
	} {
		tree := t.TempDir()
		if err := os.MkdirAll(filepath.Join(tree, "sub", "here"), 0o755); err != nil {
			t.Fatal(err)
		}
		v, _ := check(t, t.Context(), config, tree)
		if v.Outcome != want.outcome || want.outcome != sdk.Error && v.Message != want.message {
			t.Errorf("%s: verdict = %+v, want %+v", config, v, want)
		}
		if want.outcome == sdk.Error {
			if v.Message == "" {
				t.Errorf("%s: an error without a message", config)
			}
			continue
		}
		var declared struct{ Run []string }
		if err := json.Unmarshal([]byte(config), &declared); err != nil {
			t.Fatal(err)
		}
		if v.Ran == nil || v.Ran.ExitCode != want.code || v.Ran.Signal != want.signal || v.Ran.Duration <= 0 ||
			!slices.Equal(v.Ran.Argv, declared.Run) {
			t.Errorf("%s: ran = %+v", config, v.Ran)
		}
	}
}

// F9: who can make the program die has not made it say no, nor yes. The gate's on_error decides, and the evaluation may
// be tried again.
func TestF9_AProgramThatIsEndedByASignalHasNotJudged(t *testing.T) {
	for name, config := range map[string]string{
		"its exit code": `{"run":["sh","-c","echo why; kill -11 $$"]}`,
		"go's report":   `{"run":["sh","-c","cat said; echo why >&2; kill -11 $$"],"report":"go-test-json"}`,
		"JUnit's":       `{"run":["sh","-c","cp said r.xml; echo why; kill -11 $$"],"report":"junit","report_files":["r.xml"]}`,
	} {
		tree := t.TempDir()
		said := goodReport
		if name == "go's report" {
			said = event("run", "TestA", "") + "\n" + event("pass", "TestA", "") + "\n" + event("pass", "", "") + "\n"
		}
		if err := os.WriteFile(filepath.Join(tree, "said"), []byte(said), 0o644); err != nil {
			t.Fatal(err)
		}
		v, _ := check(t, t.Context(), config, tree)
		if v.Outcome != sdk.Error || v.Message != "sh was ended by SIGSEGV\nwhy" || v.Ran == nil || v.Ran.Signal != "SIGSEGV" || v.Ran.ExitCode != -1 {
			t.Errorf("%s: verdict = %+v, ran %+v", name, v, v.Ran)
		}
	}
}

func TestTheOutputIsStreamedWhole(t *testing.T) {
	v, out := check(t, t.Context(), `{"run":["seq","1","50000"]}`, t.TempDir())
	if v.Outcome != sdk.Pass || !strings.HasSuffix(out, "49999\n50000\n") || strings.Count(out, "\n") != 50000 {
		t.Errorf("verdict = %+v, %d bytes of output", v, len(out))
	}
}

func TestAProgramThatIsStoppedIsNotEvaluated(t *testing.T) {
	c := command{}
	ctx, cancel := context.WithCancel(t.Context())
	v, err := c.Check(ctx, &sdk.Check{
		Tree: t.TempDir(), Config: json.RawMessage(`{"run":["sh","-c","echo started; sleep 60"],"ok_codes":[0,130]}`),
		Output: func(string, []byte) error { cancel(); return nil },
	})
	if err != nil || v.Outcome != sdk.Error {
		t.Errorf("verdict = %+v, %v, want error", v, err)
	}
}

// F9: a command line is not split, and no shell reads it.
func TestF9_ArgumentsAreTakenAsTheyAreDeclared(t *testing.T) {
	v, out := check(t, t.Context(), `{"run":["printf","%s|","a b","| grep x","$HOME","'q'"]}`, t.TempDir())
	if v.Outcome != sdk.Pass || out != "a b|| grep x|$HOME|'q'|" {
		t.Errorf("verdict = %+v, output %q", v, out)
	}
}

func TestAConfigThatCannotRunIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"run":[]}`:                     "run",
		`{"run":"go test"}`:              "run",
		`{"run":["a"],"dir":"../x"}`:     "dir",
		`{"run":["a"],"dir":"/x"}`:       "dir",
		`{"run":["a"],"env":{"A=":"x"}}`: "env",
		`{"run":["a"],"ok_codes":[0.5]}`: "ok_codes",
		`{"run":["a"],"shell":true}`:     "shell",
		"{\"run\":[\"a\\u0000\"]}":       "run",
	} {
		sdktest.RefusedFor(t, manifest, command{}, config, attribute)
	}
}
