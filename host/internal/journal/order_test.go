package journal_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/journal"
	"github.com/drawspan/drawspan/sdk"
)

// open masks nothing.
type open struct{}

func (open) JSON(p []byte) []byte                { return p }
func (open) Stream(dst io.Writer) io.WriteCloser { return closer{dst} }

type closer struct{ io.Writer }

func (closer) Close() error { return nil }

// Whatever a plugin emits, of any type and any bytes: events.jsonl has it in the order of emission without
// a gap, unknown lines included, and the logs have exactly the bytes that were emitted.
func TestTheOrderIsThatOfEmissionAndTheBytesAreThoseEmitted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	j, err := journal.Create(journal.Options{Dir: dir, AttemptID: "att_1", Limit: 64 << 20, Mask: open{}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	logs := map[string]*bytes.Buffer{"stdout": {}, "stderr": {}}
	for i := range 2000 {
		types := sdk.EventTypes()
		e := sdk.Event{Type: types[i*13%len(types)], ItemID: fmt.Sprint(i), Data: fmt.Appendf(nil, `{"n":%d}`, i)}
		if e.Type == sdk.EventLog || i%3 == 0 {
			stream := []string{"stdout", "stderr"}[i%2]
			piece := bytes.Repeat([]byte{byte(i), 0xff, '\n', 0}, i%50+1)
			logs[stream].Write(piece)
			e = sdk.Log(stream, piece)
		}
		kinds = append(kinds, string(e.Type))
		if err := j.Append("executor", e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Seal(); err != nil {
		t.Fatal(err)
	}
	for stream, want := range logs {
		if got, err := os.ReadFile(filepath.Join(dir, stream+".log")); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s.log has %d bytes, want the %d emitted ones: %v", stream, len(got), want.Len(), err)
		}
	}
	file, err := os.Open(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for n := 0; ; n++ {
		if !lines.Scan() {
			if n != len(kinds) {
				t.Errorf("%d lines, want %d: %v", n, len(kinds), lines.Err())
			}
			return
		}
		var l struct {
			Seq  int64
			Type string
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Seq != int64(n+1) || n < len(kinds) && l.Type != kinds[n] {
			t.Fatalf("line %d: %+v, want %s: %v", n, l, kinds[n], err)
		}
	}
}
