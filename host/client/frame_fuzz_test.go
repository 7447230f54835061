package client

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// FuzzFrames holds, for any bytes that a daemon may send: reading ends, with a fault, and an event that
// is handed out always comes later than the one before.
func FuzzFrames(f *testing.F) {
	for _, s := range []string{
		"", "\n\n", "id: 1.2\ndata: {\"pos\":\"1.2\"}\n\n", ": beat\n\nretry: 1\nid: 1.0\n\n", "data: {\"pos\":\"1.3\"}\r\n\r\ndata: {\"pos\":\"1.3\"}\n\n",
		"event: fault\ndata: {\"error\":{\"code\":\"internal\"}}\n\n", "data: {\ndata: }\n\n", "id: nowhere\n\ndata: {\"pos\":\"1.1\"}\n\n", "data\n\n",
		strings.Repeat("x", 70_000) + "\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		s := &EventStream{}
		var last api.Position
		for seen := 0; ; {
			frame, err := readFrame(r)
			if err != nil {
				if fault.CodeOf(err) == fault.Internal {
					t.Fatalf("ends with %v", err)
				}
				return
			}
			e, ok, err := s.judge(frame)
			if err != nil || !ok {
				continue
			}
			pos, err := api.ParsePosition(e.Pos)
			if err != nil || seen > 0 && !pos.After(last) {
				t.Fatalf("event at %q after %v, %v", e.Pos, last, err)
			}
			s.took(e)
			last = pos
			seen++
		}
	})
}
