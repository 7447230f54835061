package gateway

import (
	"encoding/json"
	"strings"
	"testing"
)

// The meter is the same however the bytes are cut.
func TestTheMeterDoesNotDependOnTheCuts(t *testing.T) {
	for _, e := range examples {
		for _, text := range []string{e.json, e.stream, "\xef\xbb\xbf " + e.json, ": comment\n\n" + e.stream, strings.ReplaceAll(strings.ReplaceAll(e.stream, "\r\n", "\n"), "\n", "\r")} {
			for size := 1; size < 40; size++ {
				m := newMeter(wireOf(e.wire))
				for rest := text; rest != ""; {
					n := min(size, len(rest))
					_, _ = m.Write([]byte(rest[:n])) // never fails
					rest = rest[n:]
				}
				if got := m.usage(0, 0); got != e.want || m.model != e.model {
					t.Fatalf("%s in pieces of %d: %+v, %s\n%s", e.wire, size, got, m.model, text)
				}
			}
		}
	}
}

func FuzzMeter(f *testing.F) {
	for i, e := range examples {
		f.Add(uint8(i), uint8(7), []byte(e.json))
		f.Add(uint8(i), uint8(3), []byte(e.stream))
	}
	f.Add(uint8(0), uint8(1), []byte("data: [{\n\ndata: ]}\r\r\n\\\"{\"a\\u00"))
	f.Fuzz(func(t *testing.T, which, size uint8, text []byte) {
		e := examples[int(which)%len(examples)]
		whole, cut := newMeter(wireOf(e.wire)), newMeter(wireOf(e.wire))
		_, _ = whole.Write(text) // never fails
		for rest := text; len(rest) > 0; {
			n := min(int(size)+1, len(rest))
			_, _ = cut.Write(rest[:n]) // never fails
			rest = rest[n:]
		}
		a, b := whole.usage(10, 10), cut.usage(10, 10)
		if a != b || whole.model != cut.model {
			t.Fatalf("%+v %q in one piece, %+v %q in pieces of %d", a, whole.model, b, cut.model, size+1)
		}
		if a.Input < 0 || a.Output < 0 || a.Input > 5*maxTokens || len(whole.model) > 128 {
			t.Fatalf("%+v %q", a, whole.model)
		}
		if m := &whole.walker; len(m.path) > maxPath+maxName || len(m.text) > maxScalar+maxName {
			t.Fatalf("it holds %d and %d bytes", len(m.path), len(m.text))
		}
	})
}

// What the gateway takes for the model is what any reader of the body does.
func FuzzTheModelOfABody(f *testing.F) {
	for _, s := range []string{`{"model":"m"}`, `{"a":[{"model":1}],"model":"\u006d"}`, `{"model":"m","model":"n"}`, `{"mod\u0065l":"m"}`, `[]`, `{"model":{}}`, `{"":"","model":"m" }`} {
		f.Add([]byte(s))
	}
	g, err := New(Options{Wire: "chat", Upstream: "https://a.example", Key: "k"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := &call{body: body}
		if no := g.inspect(c); no != nil {
			return
		}
		var got struct{ Model any } // reads it without regard to case, the last one counts
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%q was let through: %v", body, err)
		}
		if s, _ := got.Model.(string); s != c.model {
			t.Fatalf("%q: the gateway reads %q, another reader %q", body, c.model, s)
		}
	})
}

func BenchmarkMeter(b *testing.B) {
	text := []byte(strings.Repeat(examples[2].stream, 1000))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		m := newMeter(wireOf("chat"))
		_, _ = m.Write(text) // never fails
	}
}
