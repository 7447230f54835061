package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

var update = flag.Bool("update", false, "write the golden files")

type lineReader interface{ Line(line []byte) []sdk.Event }

func lines(t testing.TB, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(data), []byte("\n"))
}

// checked are the events of a line, which must be ones that the host takes.
func checked(t testing.TB, r lineReader, line []byte) []sdk.Event {
	t.Helper()
	before := string(line)
	events := r.Line(line)
	if string(line) != before {
		t.Errorf("the line was changed: %q", before)
	}
	for _, e := range events {
		if err := e.Validate(); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	return events
}

func TestRecordedStreamsBecomeTheseEvents(t *testing.T) {
	for name, r := range map[string]lineReader{"app-server": &reader{}, "rare": &reader{}, "exec": &printed{}} {
		var got strings.Builder
		for _, line := range lines(t, name+".jsonl") {
			for _, e := range checked(t, r, line) {
				fmt.Fprintf(&got, "%-20s turn=%d id=%q parent=%q %s\n", e.Type, e.Turn, e.ItemID, e.Parent, e.Data)
			}
		}
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got.String() != string(want) {
			t.Errorf("%s: %v; go test -update writes what it is now:\n%s", name, err, got.String())
		}
	}
}

func TestTheOrderOfKeysDoesNotMatter(t *testing.T) {
	for _, line := range lines(t, "app-server.jsonl") {
		var sorted any
		if err := json.Unmarshal(line, &sorted); err != nil {
			t.Fatal(err)
		}
		other, err := json.Marshal(sorted)
		if err != nil {
			t.Fatal(err)
		}
		a, b := (&reader{}).Line(line), (&reader{}).Line(other)
		if len(a) != len(b) {
			t.Errorf("%s: %d and %d events", line, len(a), len(b))
			continue
		}
		for i := range a {
			if a[i].Type != b[i].Type || !bytes.Equal(a[i].Data, b[i].Data) {
				t.Errorf("%s: %s %s and %s %s", line, a[i].Type, a[i].Data, b[i].Type, b[i].Data)
			}
		}
	}
}

func tokens(thread string, total, last int) string {
	return fmt.Sprintf(`{"method":"thread/tokenUsage/updated","params":{"threadId":%q,"turnId":"x","tokenUsage":{`+
		`"total":{"inputTokens":%d,"cachedInputTokens":%d,"outputTokens":7},"last":{"inputTokens":%d,"cachedInputTokens":%d,"outputTokens":7}}}}`,
		thread, total, total/2, last, last/2)
}

func TestUsageIsThatOfTheAttemptWhateverTheThreadSpentBefore(t *testing.T) {
	begun := []string{`{"id":2,"result":{"thread":{"id":"th_1"}}}`}
	turn := `{"method":"turn/started","params":{"threadId":"th_1","turn":{"id":"tu_1"}}}`
	for name, c := range map[string]struct {
		lines        []string
		input, calls int64
	}{
		"new thread":                          {[]string{turn, tokens("th_1", 100, 100), tokens("th_1", 250, 150)}, 250, 2},
		"resumed, and told so":                {[]string{tokens("th_1", 1000, 100), turn, tokens("th_1", 1100, 100)}, 100, 1},
		"resumed, and not told so":            {[]string{turn, tokens("th_1", 1100, 100), tokens("th_1", 1300, 200)}, 300, 2},
		"the same sum twice is one call":      {[]string{turn, tokens("th_1", 100, 100), tokens("th_1", 100, 100)}, 100, 1},
		"a sub-agent counts":                  {[]string{turn, tokens("th_1", 100, 100), tokens("th_2", 40, 40)}, 140, 2},
		"sums that fall are not taken for it": {[]string{turn, tokens("th_1", 100, 100), tokens("th_1", 0, 0)}, 0, 2},
	} {
		r := &reader{}
		for _, line := range append(begun[:1:1], c.lines...) {
			checked(t, r, []byte(line))
		}
		u := r.Usage()
		if u == nil || u.Input != c.input || u.CachedRead != c.input/2 || u.Calls != c.calls {
			t.Errorf("%s: %+v, want %d in %d calls", name, u, c.input, c.calls)
		}
	}
	if u := (&reader{}).Usage(); u != nil {
		t.Errorf("usage of nothing = %+v", u)
	}
}

func TestErrorsHaveAClassOfTheClosedList(t *testing.T) {
	for text, want := range map[string]trouble{
		`{"message":"m","codexErrorInfo":"contextWindowExceeded"}`:                                                   {class: "context"},
		`{"message":"m","codexErrorInfo":"usageLimitExceeded"}`:                                                      {class: "quota"},
		`{"message":"Please try again in 11.054s.","codexErrorInfo":"rateLimitExceeded"}`:                            {class: "rate_limit", retryable: true, after: 11054 * time.Millisecond},
		`{"message":"m","codexErrorInfo":"serverOverloaded"}`:                                                        {class: "overloaded", retryable: true},
		`{"message":"m","codexErrorInfo":"internalServerError"}`:                                                     {class: "overloaded", retryable: true},
		`{"message":"m","codexErrorInfo":"sessionBudgetExceeded"}`:                                                   {class: "budget"},
		`{"message":"m","codexErrorInfo":"cyberPolicy"}`:                                                             {class: "policy", refused: true},
		`{"message":"m","codexErrorInfo":"sandboxError"}`:                                                            {class: "sandbox"},
		`{"message":"m","codexErrorInfo":"unauthorized"}`:                                                            {class: "auth"},
		`{"message":"m","codexErrorInfo":"badRequest"}`:                                                              {class: "unknown"},
		`{"message":"m","codexErrorInfo":{"httpConnectionFailed":{"httpStatusCode":401}}}`:                           {class: "auth", status: 401},
		`{"message":"m","codexErrorInfo":{"httpConnectionFailed":{"httpStatusCode":null}}}`:                          {class: "network", retryable: true},
		`{"message":"m","codexErrorInfo":{"responseStreamDisconnected":{"httpStatusCode":null}}}`:                    {class: "network", retryable: true},
		`{"message":"m","codexErrorInfo":{"responseTooManyFailedAttempts":{"httpStatusCode":429}}}`:                  {class: "rate_limit", retryable: true, status: 429},
		`{"message":"stream disconnected before completion: x","codexErrorInfo":"other"}`:                            {class: "network", retryable: true},
		`{"message":"unexpected status 402 Payment Required: x","codexErrorInfo":"other"}`:                           {class: "quota", status: 402},
		`{"message":"m","codexErrorInfo":"aCodeOfTomorrow"}`:                                                         {class: "unknown"},
		`{"message":"try again in 999999d","codexErrorInfo":"rateLimitExceeded","additionalDetails":"and more"}`:     {class: "rate_limit", retryable: true, after: maxAfter},
		`{"message":"m","codexErrorInfo":{"responseStreamConnectionFailed":{"httpStatusCode":503}},"more":[1,2,{}]}`: {class: "overloaded", retryable: true, status: 503},
	} {
		got := troubleOf([]byte(text))
		got.message = ""
		if got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestF54_OnlyAnExactShellLineIsUnwrapped(t *testing.T) {
	for line, want := range map[string]string{
		`/bin/bash -lc 'go test ./...'`:             `go test ./...`,
		`bash -c "go test"`:                         `go test`,
		`/bin/zsh -lc ls`:                           `ls`,
		`/bin/bash -lc "a \\"'$i; b'`:               `a \$i; b`,
		`/bin/bash -lc "say \"hi\""`:                `say "hi"`,
		`/bin/bash -lc 'a'"'"'b'`:                   `a'b`,
		`/bin/bash -lc 'a' extra`:                   `/bin/bash -lc 'a' extra`,
		`/bin/bash -lc 'a'; rm -rf x`:               `/bin/bash -lc 'a'; rm -rf x`,
		`/bin/bash -lc 'a' && b`:                    `/bin/bash -lc 'a' && b`,
		`X=1 /bin/bash -lc 'a'`:                     `X=1 /bin/bash -lc 'a'`,
		"/bin/bash -lc \"$(evil)\"":                 "/bin/bash -lc \"$(evil)\"",
		"/bin/bash -lc \"`evil`\"":                  "/bin/bash -lc \"`evil`\"",
		`/bin/bash -lc 'open`:                       `/bin/bash -lc 'open`,
		`/bin/bash -ilc 'a'`:                        `/bin/bash -ilc 'a'`,
		`/tmp/bash2 -lc 'a'`:                        `/tmp/bash2 -lc 'a'`,
		"/bin/bash -lc 'a\nb'":                      "a\nb",
		"/bin/bash -lc a\nrm x":                     "/bin/bash -lc a\nrm x",
		`/bin/bash -lc ''`:                          `/bin/bash -lc ''`,
		`/bin/bash --rcfile evil -lc 'a'`:           `/bin/bash --rcfile evil -lc 'a'`,
		``:                                          ``,
		`go test`:                                   `go test`,
		`/bin/bash -lc a>b`:                         `/bin/bash -lc a>b`,
		`/bin/bash -lc "unclosed`:                   `/bin/bash -lc "unclosed`,
		`/bin/bash -lc a\ b`:                        `a b`,
		`/bin/bash -lc 'git status' #`:              `/bin/bash -lc 'git status' #`,
		`/bin/bash -lc 'printf "%s" "$HOME" | cat'`: `printf "%s" "$HOME" | cat`,
	} {
		if got := script(line); got != want {
			t.Errorf("script(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestTheGravestChangeOfAPatchIsItsKind(t *testing.T) {
	for text, want := range map[string]string{
		`[{"path":"a","kind":{"type":"add"}}]`:                                           "edit a",
		`[{"path":"a","kind":{"type":"update","move_path":"b"}}]`:                        "move b a",
		`[{"path":"a","kind":{"type":"delete"}},{"path":"b","kind":"add"}]`:              "delete a b",
		`[{"path":"a","kind":"update"},{"path":"b","kind":"delete"},{"path":1},{"x":2}]`: "delete a b",
		`{}`: "edit ",
	} {
		kind, paths := touched(changesOf([]byte(text)))
		if got := kind + " " + strings.Join(paths, " "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, name := range []string{"app-server.jsonl", "rare.jsonl", "exec.jsonl"} {
		for _, line := range lines(f, name) {
			f.Add(line)
		}
	}
	f.Add([]byte("{\"method\":\"item/agentMessage/delta\",\"params\":{\"delta\":\"\xff\xfe\"}}"))
	opening := lines(f, "rare.jsonl")[:2]
	f.Fuzz(func(t *testing.T, line []byte) {
		// As the second line it meets a thread and a turn that are under way.
		for _, r := range []lineReader{&reader{}, &printed{}} {
			for _, before := range opening {
				r.Line(before)
			}
			checked(t, r, line)
		}
	})
}

func FuzzScript(f *testing.F) {
	f.Add(`/bin/bash -lc 'go test ./...'`)
	f.Add(`"a\"b" 'c'"'"'d' e\ f`)
	f.Fuzz(func(t *testing.T, line string) {
		words, ok := split(line)
		if !ok {
			return
		}
		// What was taken apart and is quoted again means the same.
		var again strings.Builder
		for _, w := range words {
			again.WriteString(" '" + strings.ReplaceAll(w, "'", `'"'"'`) + "'")
		}
		twice, ok := split(again.String())
		if !ok || strings.Join(twice, "\x00") != strings.Join(words, "\x00") {
			t.Errorf("%q: %q, then %q", line, words, twice)
		}
	})
}

// BenchmarkNormalise reads a stream as a working agent prints it.
func BenchmarkNormalise(b *testing.B) {
	var stream [][]byte
	for _, line := range lines(b, "app-server.jsonl") {
		times := 1
		if bytes.Contains(line, []byte("elta\"")) {
			times = 20 // most of what is printed are pieces of texts
		}
		for range times {
			stream = append(stream, line)
		}
	}
	b.Run("events", func(b *testing.B) {
		events := 0
		b.ReportAllocs()
		for b.Loop() {
			r := &reader{}
			for _, line := range stream {
				events += len(r.Line(line))
			}
		}
		b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("scan", func(b *testing.B) { sdktest.Scan(b, stream) })
}
