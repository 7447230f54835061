package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

// This program is also the operator's.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "play" {
		play(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

func play(what []string) {
	switch what[0] {
	case "say": // whatever it is told
		io.Copy(io.Discard, os.Stdin)
		fmt.Print(what[1])
	case "deaf": // it does not read
		fmt.Print(`{"outcome":"pass"}`)
	case "fail":
		fmt.Print(`{"outcome":"pass"}`)
		fmt.Fprint(os.Stderr, "no such rule\n")
		os.Exit(3)
	case "killed":
		fmt.Print(`{"outcome":"pass"}`)
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "flood":
		for {
			fmt.Print(`{"outcome":"pass"}                                                            `)
		}
	case "hang":
		taken := make(chan os.Signal, 1)
		signal.Notify(taken, syscall.SIGINT)
		fmt.Fprint(os.Stderr, "started")
		<-taken
		fmt.Print(`{"outcome":"pass"}`)
	case "echo": // the check, as the message
		text, _ := io.ReadAll(os.Stdin) // a text that is cut off is no check
		json.NewEncoder(os.Stdout).Encode(map[string]string{"outcome": "warn", "message": string(text)})
	}
}

func played(what ...string) json.RawMessage {
	raw, err := json.Marshal(map[string]any{"run": append([]string{"/proc/self/exe", "play"}, what...), "settings": map[string]string{"depth": "4"}})
	if err != nil {
		panic(err)
	}
	return raw
}

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return program{} }, Config: played("say", `{"outcome":"pass"}`),
		Files: map[string]string{"a/b": "x"}, Want: sdk.Pass,
	})
}

func judged(t *testing.T, config json.RawMessage, c sdk.Check) sdk.Verdict {
	t.Helper()
	c.Tree = t.TempDir()
	return sdktest.Judge(t, manifest, program{}, string(config), c)
}

func TestAProgramsVerdictIsTaken(t *testing.T) {
	v := judged(t, played("say", `
		{"schema": "drawspan.verdict/1", "outcome": "fail", "message": "too deep", "metrics": {"depth": 5, "Rule": 1.5},
		 "findings": [{"rule": "house/depth", "severity": "error", "path": "a/b.go", "line": 3, "end_line": 4, "message": "m", "help": "h", "fingerprint": "f"}]}
	`), sdk.Check{})
	want := sdk.Verdict{
		Outcome: sdk.Fail, Message: "too deep", Metrics: map[string]float64{"depth": 5, "Rule": 1.5},
		Findings: []sdk.Finding{{Rule: "house/depth", Severity: "error", Path: "a/b.go", Line: 3, EndLine: 4, Message: "m", Help: "h", Fingerprint: "f"}},
	}
	if v.Ran == nil || v.Ran.Duration <= 0 || v.Ran.Argv[1] != "play" {
		t.Errorf("ran = %+v", v.Ran)
	}
	if v.Ran = nil; !reflect.DeepEqual(v, want) {
		t.Errorf("verdict = %+v, want %+v", v, want)
	}
	for _, outcome := range sdk.Outcomes() {
		if v := judged(t, played("say", fmt.Sprintf(`{"outcome":%q}`, outcome)), sdk.Check{}); v.Outcome != outcome {
			t.Errorf("%s became %+v", outcome, v)
		}
	}
}

// F10: whatever is not exactly one verdict is not a pass.
func TestF10_WhatIsNotOneVerdictIsAnError(t *testing.T) {
	deep := strings.Repeat(`[`, 10000) + strings.Repeat(`]`, 10000)
	many := strings.Repeat(`{"rule":"r","severity":"note"},`, sdk.MaxFindings)
	for name, said := range map[string]string{
		"nothing":              "",
		"blank":                " \n",
		"words":                "pass",
		"a text":               `"pass"`,
		"null":                 "null",
		"a list":               `[{"outcome":"pass"}]`,
		"two answers":          `{"outcome":"fail"}{"outcome":"pass"}`,
		"words after":          `{"outcome":"pass"} done`,
		"words before":         `ok {"outcome":"pass"}`,
		"half":                 `{"outcome":"pass"`,
		"no outcome":           `{"message":"fine"}`,
		"null outcome":         `{"outcome":null}`,
		"an unknown outcome":   `{"outcome":"ok"}`,
		"another case":         `{"Outcome":"pass"}`,
		"a key twice":          `{"outcome":"fail","outcome":"pass"}`,
		"an unknown key":       `{"outcome":"pass","ok":true}`,
		"another schema":       `{"schema":"drawspan.verdict/2","outcome":"pass"}`,
		"no UTF-8":             "{\"outcome\":\"pass\",\"message\":\"\xff\"}",
		"depth":                `{"outcome":"pass","findings":` + deep + `}`,
		"a pass with an error": `{"outcome":"pass","findings":[{"rule":"r","severity":"error"}]}`,
		"a severity":           `{"outcome":"warn","findings":[{"rule":"r","severity":"high"}]}`,
		"no rule":              `{"outcome":"warn","findings":[{"severity":"note"}]}`,
		"a line below zero":    `{"outcome":"warn","findings":[{"rule":"r","severity":"note","line":-1}]}`,
		"a line beyond":        `{"outcome":"warn","findings":[{"rule":"r","severity":"note","line":99999999999}]}`,
		"half a line":          `{"outcome":"warn","findings":[{"rule":"r","severity":"note","line":1.5}]}`,
		"an end before":        `{"outcome":"warn","findings":[{"rule":"r","severity":"note","line":3,"end_line":2}]}`,
		"a null finding":       `{"outcome":"pass","findings":[null]}`,
		"too many findings":    `{"outcome":"warn","findings":[` + many + `{"rule":"r","severity":"note"}]}`,
		"a long message":       `{"outcome":"pass","message":"` + strings.Repeat("x", sdk.MaxSummary+1) + `"}`,
		"a metric of words":    `{"outcome":"pass","metrics":{"a":"1"}}`,
		"a metric of null":     `{"outcome":"pass","metrics":{"a":null}}`,
		"an endless metric":    `{"outcome":"pass","metrics":{"a":1e999}}`,
		"a metric twice":       `{"outcome":"pass","metrics":{"a":1,"a":2}}`,
		"a metric, no name":    `{"outcome":"pass","metrics":{"":1}}`,
		"metrics of a list":    `{"outcome":"pass","metrics":[]}`,
	} {
		if v, err := read([]byte(said)); err == nil {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := judged(t, played("say", `{"outcome":"fail"}{"outcome":"pass"}`), sdk.Check{}); v.Outcome != sdk.Error || v.Message == "" {
		t.Errorf("verdict = %+v", v)
	}
}

func TestF10_AProgramThatDoesNotEndWellHasNoVerdict(t *testing.T) {
	for what, message := range map[string]string{
		"fail":   "exited with code 3: only 0 goes with a verdict\nno such rule",
		"killed": "was ended by SIGKILL",
		"flood":  "printed more than",
	} {
		if v := judged(t, played(what), sdk.Check{}); v.Outcome != sdk.Error || !strings.Contains(v.Message, message) {
			t.Errorf("%s: %+v", what, v)
		}
	}
	missing := json.RawMessage(`{"run":["/no/such/program"]}`)
	if v := judged(t, missing, sdk.Check{}); v.Outcome != sdk.Error || v.Message == "" {
		t.Errorf("a program that is not there: %+v", v)
	}
	ctx, cancel := context.WithCancel(t.Context())
	v, err := program{}.Check(ctx, &sdk.Check{Tree: t.TempDir(), Config: played("hang"), Output: func(string, []byte) error { cancel(); return nil }})
	if err != nil || v.Outcome != sdk.Error {
		t.Errorf("one that is stopped: %+v, %v", v, err)
	}
}

func TestAProgramNeedNotRead(t *testing.T) {
	big := sdk.Check{Patch: []byte(strings.Repeat("x", 1<<20))}
	if v := judged(t, played("deaf"), big); v.Outcome != sdk.Pass {
		t.Errorf("verdict = %+v", v)
	}
}

func TestTheProgramIsToldTheWholeCheck(t *testing.T) {
	c := sdk.Check{
		AttemptID: "att_1", Gate: "house", Base: "b", Head: "h", TreeSum: "t", BaseTree: "/base", Patch: []byte("diff --git\n+<é>"), PatchCut: true,
		Facts: &sdk.Facts{Diff: sdk.DiffFacts{Files: 2}}, Deadline: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		Changes: []sdk.Change{{Path: "a\xff", Op: "add", OldMode: "000000", NewMode: "120000", Link: "b", Size: 1, Added: 1}},
		Paths:   []sdk.Paths{{Write: []string{"a/**"}}},
	}
	v := judged(t, played("echo"), c)
	var q question
	decoder := json.NewDecoder(strings.NewReader(v.Message))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		t.Fatalf("%v in %+v", err, v)
	}
	if q.Tree == "" || !strings.HasPrefix(q.Deadline, "2030-01-02T03:04:05") {
		t.Errorf("tree %q, deadline %q", q.Tree, q.Deadline)
	}
	q.Tree, q.Deadline = "", ""
	want := question{
		Schema: checkSchema, Gate: "house", Attempt: "att_1", Base: "b", Head: "h", TreeSum: "t", BaseTree: "/base", PatchCut: true,
		Patch: "diff --git\n+<é>", Facts: c.Facts, Settings: map[string]string{"depth": "4"}, Paths: []scope{{[]string{"a/**"}, []string{}}},
		Changes: []change{{Path: "a\uFFFD", PathBase64: []byte("a\xff"), Op: "add", OldMode: "000000", NewMode: "120000", Link: "b", Size: 1, Added: 1}},
	}
	if !reflect.DeepEqual(q, want) {
		t.Errorf("check = %+v, want %+v", q, want)
	}
	text, err := ask(&sdk.Check{Patch: []byte("\xff")}, nil)
	if err != nil || !strings.Contains(string(text), `"patch":"","patch_base64":"/w=="`) || !strings.Contains(string(text), `"changes":[],"paths":[]`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestAConfigThatCannotRunIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"run":[]}`:                       "run",
		`{"run":[""]}`:                     "run",
		`{"run":["./judge"]}`:              "run",
		`{"run":["scripts/judge"]}`:        "run",
		"{\"run\":[\"a\\u0000\"]}":         "run",
		`{"run":["a"],"env":{"A=":"x"}}`:   "env",
		`{"run":["a"],"settings":{"a":1}}`: "settings",
		`{"run":["a"],"dir":"x"}`:          "dir",
		`{}`:                               "run",
	} {
		sdktest.RefusedFor(t, manifest, program{}, config, attribute)
	}
}

func FuzzVerdict(f *testing.F) {
	f.Add([]byte(`{"outcome":"pass"}`))
	f.Add([]byte(`{"outcome":"fail","outcome":"pass"}`))
	f.Add([]byte(`{"schema":"drawspan.verdict/1","outcome":"warn","message":"m","metrics":{"a":1e3},"findings":[{"rule":"r","severity":"note","line":1,"end_line":2}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := read(text)
		if err != nil {
			if v.Outcome != "" {
				t.Errorf("%q: %+v beside %v", text, v, err)
			}
			return
		}
		var exact map[string]json.RawMessage
		if jsonErr := json.Unmarshal(text, &exact); jsonErr != nil || string(exact["outcome"]) == "" {
			t.Errorf("%q is %+v, %v", text, v, errors.Join(jsonErr))
		}
	})
}
