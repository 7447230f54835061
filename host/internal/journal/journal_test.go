package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
)

// xMasker replaces the word "secret" and holds every stream back until Close, as a window would.
type xMasker struct{}

type heldStream struct {
	dst io.Writer
	buf bytes.Buffer
}

func (h *heldStream) Write(p []byte) (int, error) { return h.buf.Write(p) }
func (h *heldStream) Close() error {
	_, err := h.dst.Write(xMasker{}.JSON(h.buf.Bytes()))
	return err
}

func (xMasker) Stream(dst io.Writer) io.WriteCloser { return &heldStream{dst: dst} }
func (xMasker) JSON(p []byte) []byte                { return bytes.ReplaceAll(p, []byte("secret"), []byte("[x]")) }

func newJournal(t *testing.T, limit int64) *Journal {
	t.Helper()
	j, err := Create(Options{Dir: filepath.Join(t.TempDir(), "a"), AttemptID: "att_1", Limit: limit, Mask: xMasker{}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func read(t *testing.T, s Sealed, name string) []byte {
	t.Helper()
	for _, f := range s.Files {
		if f.Name == name {
			b, err := os.ReadFile(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no file %s in %+v", name, s.Files)
	return nil
}

func lines(t *testing.T, b []byte) []line {
	t.Helper()
	var out []line
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var l line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%v: %s", err, sc.Text())
		}
		out = append(out, l)
	}
	return out
}

func TestEventsAreSequencedAndLogBytesAreKeptRaw(t *testing.T) {
	j := newJournal(t, 1<<20)
	raw := []byte("out\xff\x00 secret\n")
	for _, e := range []sdk.Event{
		{Type: sdk.EventMessage, Data: json.RawMessage(`{"text":"a secret"}`)},
		{Type: sdk.EventLog, Stream: "stdout", Log: raw},
		{Type: sdk.EventLog, Stream: "stderr", Log: []byte("err\n")},
	} {
		if err := j.Append("executor", e); err != nil {
			t.Fatal(err)
		}
	}
	s, err := j.Seal()
	if err != nil {
		t.Fatal(err)
	}
	got := lines(t, read(t, s, EventsName))
	for i, l := range got {
		if l.Seq != int64(i+1) || l.AttemptID != "att_1" || l.Time.IsZero() {
			t.Errorf("line %d: %+v", i, l)
		}
	}
	if len(got) != 3 || !strings.Contains(string(got[0].Data), "[x]") {
		t.Errorf("got %+v", got)
	}
	if b := read(t, s, StdoutName); !bytes.Equal(b, []byte("out\xff\x00 [x]\n")) {
		t.Errorf("got %q", b)
	}
	if err := j.Append("executor", sdk.Event{Type: sdk.EventMessage}); err == nil {
		t.Error("a sealed journal took an event")
	}
	if again, err := j.Seal(); err != nil || again.Events != s.Events {
		t.Errorf("sealing again: %+v %v", again, err)
	}
}

func TestOutputBeyondTheCapIsCutAndMarked(t *testing.T) {
	j := newJournal(t, 10)
	if err := j.Append("executor", sdk.Event{Type: sdk.EventLog, Stream: "stdout", Log: []byte("12345678")}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err := j.Append("executor", sdk.Event{Type: sdk.EventLog, Stream: "stdout", Log: []byte("abcdef")})
		if !errors.Is(err, ErrFull) {
			t.Fatalf("got %v, want ErrFull", err)
		}
	}
	s, err := j.Seal()
	if err != nil {
		t.Fatal(err)
	}
	if b := read(t, s, StdoutName); string(b) != "12345678ab" || !s.Truncated || s.Output != 10 {
		t.Errorf("got %q, %+v", b, s)
	}
	marks := 0
	for _, l := range lines(t, read(t, s, EventsName)) {
		if l.Type == string(sdk.EventOutputTruncated) {
			marks++
		}
	}
	if marks != 1 {
		t.Errorf("%d truncation marks, want 1", marks)
	}
}

func TestDataThatMaskingBrokeIsKeptAsText(t *testing.T) {
	j := newJournal(t, 1<<20)
	if err := j.Append("executor", sdk.Event{Type: sdk.EventRaw, Data: json.RawMessage(`{broken`)}); err != nil {
		t.Fatal(err)
	}
	s, err := j.Seal()
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(t, read(t, s, EventsName)); string(got[0].Data) != `"{broken"` {
		t.Errorf("got %s", got[0].Data)
	}
}
