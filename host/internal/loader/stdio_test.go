package loader

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

func FuzzJudgeHandshake(f *testing.F) {
	f.Add("1|1|unix|/run/plugin/plugin|grpc")
	f.Add("1|1|unix|/run/plugin/plugin|grpc|" + selfSigned)
	f.Add("1|2|tcp|127.0.0.1:1|netrpc||true")
	f.Add("panic: no")
	f.Fuzz(func(t *testing.T, line string) {
		canonical, failure := judgeHandshake(line)
		if (failure == nil) == (canonical == "") {
			t.Fatalf("%q: %q and %v", line, canonical, failure)
		}
		if failure == nil {
			if !strings.HasPrefix(line, canonical) || strings.Count(canonical, "|") != 4 {
				t.Fatalf("%q became %q", line, canonical)
			}
			return
		}
		for _, r := range failure.Detail + failure.Line {
			if unicode.IsControl(r) {
				t.Fatalf("%q: a control character in %q", line, failure.Detail)
			}
		}
	})
}

// maskOf masks one credential.
type maskOf string

func (m maskOf) Stream(dst io.Writer) io.WriteCloser { panic("no stream is masked here") }
func (m maskOf) Text(s string) string                { return strings.ReplaceAll(s, string(m), "***") }

// A credential that holds a separator, written into the handshake by the plugin that it was given to, must
// not make a refused line one that is in order.
func TestAHandshakeThatOnlyMaskingPutsInOrderIsRefused(t *testing.T) {
	const secret = "sk|canary"
	h := newHandshake(maskOf(secret))
	h.named = func(network, address string) *StartError {
		t.Errorf("%s %s was taken as an address", network, address)
		return nil
	}
	told := make(chan []byte)
	go func() {
		line, _ := io.ReadAll(h.reader) //nolint:errcheck // a pipe that the handshake closes
		told <- line
	}()
	h.run(strings.NewReader("1|1|" + secret + "|/run/plugin/plugin|grpc\n"))
	if line := <-told; len(line) > 0 {
		t.Errorf("go-plugin was told %q", line)
	}
	if failure, _ := h.verdict(); failure == nil || strings.Contains(failure.Error(), secret) {
		t.Errorf("got %v", failure)
	}
}

func TestLogLinesAreTakenApartAndCannotBeForged(t *testing.T) {
	var out bytes.Buffer
	l := &tailLog{log: hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Debug, DisableTime: true}), ended: make(chan struct{})}
	l.run(strings.NewReader(strings.Join([]string{
		`{"@level":"warn","@message":"disk is\nnearly full","@timestamp":"x","free":12,"path":"/a\u001b[31m"}`,
		"plain \x1b]0;title\x07 text",
		`{"@level":"nonsense","@message":"what"}`,
		`{"not":"hclog`,
		strings.Repeat("long ", 5000),
		"last without an end",
	}, "\n")))
	got := out.String()
	for _, want := range []string{
		`[WARN]  disk is\nnearly full: `, "plugin.free=12", `[DEBUG] plain \x1b]0;title\a text`, "[DEBUG] what", "last without an end",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the log does not hold %q:\n%.2000s", want, got)
		}
	}
	if n := strings.Count(got, "\n"); n != 6 || strings.ContainsAny(got, "\x1b\x07") {
		t.Errorf("%d lines:\n%.2000q", n, got)
	}
}

func TestOnlyTheEndOfStandardErrorIsKept(t *testing.T) {
	l := &tailLog{log: hclog.NewNullLogger(), ended: make(chan struct{})}
	r, w := io.Pipe()
	go func() {
		for n := range 100000 {
			fmt.Fprintf(w, "line %d\n", n)
		}
		w.Close()
	}()
	l.run(r)
	if tail := l.final(); len(tail) > maxTail || !bytes.HasSuffix(tail, []byte("line 99999\n")) || cap(l.kept) > 4*maxTail {
		t.Errorf("%d bytes kept, ending in %.50q, room for %d", len(tail), tail[max(0, len(tail)-50):], cap(l.kept))
	}
}

func TestTheLogRateIsBoundedAndTheDroppedAreCounted(t *testing.T) {
	now := time.Now()
	b := bucket{tokens: logBurst, last: now}
	logged := 0
	for range 10 * logBurst {
		if ok, _ := b.take(now); ok {
			logged++
		}
	}
	if logged != logBurst || b.dropped != 9*logBurst {
		t.Errorf("%d logged, %d dropped", logged, b.dropped)
	}
	if ok, dropped := b.take(now.Add(time.Second)); !ok || dropped != 9*logBurst {
		t.Errorf("after a second: %t, %d dropped before", ok, dropped)
	}
}

func TestOnlyWhoDescendsFromTheLaunchIsOfIt(t *testing.T) {
	self := os.Getpid()
	for name, c := range map[string]struct {
		pid, leader int
		want        bool
	}{
		"the first process itself": {self, self, true},
		"its child":                {self, os.Getppid(), true},
		"its parent":               {os.Getppid(), self, false},
		"nobody":                   {0, self, false},
		"init":                     {1, self, false},
		"a process that is gone":   {1 << 30, self, false},
	} {
		if got := descends(c.pid, c.leader); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
