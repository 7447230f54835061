package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

// hostile parts end in one way or another; what is expected is in the test.
var hostile = map[string]func(*fake){
	"nothing":     func(*fake) {},
	"crash":       func(f *fake) { f.prompted(); fmt.Fprintln(os.Stderr, "boom: out of luck"); os.Exit(7) },
	"no end":      func(f *fake) { f.prompted(); f.chunk("I did it all"); f.out.Flush() },
	"end at once": func(f *fake) { f.end(f.prompted(), "end_turn"); f.out.Flush() },
	"late crash":  func(f *fake) { f.end(f.prompted(), "end_turn"); f.out.Flush(); os.Exit(9) },
	"version 2":   func(f *fake) { f.reply(f.want("initialize"), `{"protocolVersion":2}`); f.next() },
	"no version":  func(f *fake) { f.reply(f.want("initialize"), `[]`); f.next() },
	"no session": func(f *fake) {
		f.reply(f.want("initialize"), `{"protocolVersion":1}`)
		f.reply(f.want("session/new"), `{}`)
		f.next()
	},
	"odd stop": func(f *fake) { f.reply(f.prompted(), `{"stopReason":"tea_time"}`); f.next() },
	"tokens":   func(f *fake) { f.end(f.prompted(), "max_tokens"); f.next() },
	"requests": func(f *fake) { f.end(f.prompted(), "max_turn_requests"); f.next() },
	"refusal":  func(f *fake) { f.end(f.prompted(), "refusal"); f.next() },
	"401": func(f *fake) {
		f.fail(f.prompted(), -32603, "Internal error: API Error: 401 invalid api key")
		f.next()
	},
	"429":       func(f *fake) { f.fail(f.prompted(), 429, "rate limited"); f.next() },
	"login":     func(f *fake) { f.fail(f.prompted(), -32000, "Authentication required"); f.next() },
	"500":       func(f *fake) { f.fail(f.prompted(), -32603, "500 oops"); f.next() },
	"long news": func(f *fake) { f.longLine(`{"jsonrpc":"2.0","method":"session/update","params":{"x":"`, 100<<20) },
	"long words": func(f *fake) {
		f.longLine("", 20<<20)
	},
	"long request": func(f *fake) {
		f.prompted()
		f.longAfter(`{"jsonrpc":"2.0","id":1,"method":"session/request_permission","params":{"x":"`, 9<<20)
		f.next()
	},
	"flood": func(f *fake) {
		m := f.prompted()
		for i := range 20000 {
			f.update(fmt.Sprintf(`{"sessionUpdate":"tool_call_update","toolCallId":"t%d","status":"in_progress"}`, i))
		}
		f.end(m, "end_turn")
		f.next()
	},
	"many requests": func(f *fake) {
		m := f.prompted()
		for i := range 200 {
			f.say(`{"jsonrpc":"2.0","id":%d,"method":"session/request_permission","params":{"toolCall":{"toolCallId":"t%d"},"options":[]}}`, i+100, i)
		}
		refused := 0
		for range 200 - maxAsked {
			if a := f.next(); len(a.Error) > 0 {
				refused++
			}
		}
		f.chunk(fmt.Sprintf("%d refused", refused))
		f.end(m, "end_turn")
		f.next()
	},
	"garbage": func(f *fake) {
		m := f.prompted()
		f.say("not JSON at all")
		f.say("\xff\xfe\x00{}")
		f.say(`{"jsonrpc":"2.0","id":99,"result":{}}`)
		f.say(`{"jsonrpc":"2.0","id":{"a":1},"method":"session/request_permission","params":{}}`)
		f.say(`{"jsonrpc":"2.0","id":5,"method":"terminal/create","params":{"command":"sh"}}`)
		if a := f.next(); !strings.Contains(string(a.Error), "-32601") && !strings.Contains(string(a.Error), "-32602") {
			panic(string(a.Error))
		}
		f.update(`{"sessionUpdate":"brand_new","x":1}`)
		f.update(`{"sessionUpdate":"tool_call","title":"without an id"}`)
		f.update(`{"sessionUpdate":"tool_call","toolCallId":"t1","kind":"teleport","title":"` + "\xff" + `","rawInput":{"a":"` + strings.Repeat("y", 100000) + `"},"locations":5,"content":{}}`)
		f.update(`null`)
		f.say(`{"method":"_vendor/news","params":{}}`)
		f.chunk("and done")
		f.end(m, "end_turn")
		f.next()
	},
}

func (f *fake) longLine(beginning string, n int) {
	m := f.prompted()
	f.longAfter(beginning, n)
	f.chunk("done")
	f.end(m, "end_turn")
	f.next()
}

func (f *fake) longAfter(beginning string, n int) {
	f.out.WriteString(beginning)
	piece := strings.Repeat("z", 1<<16)
	for range n >> 16 {
		f.out.WriteString(piece)
	}
	f.out.WriteString("\n")
}

func TestF54_AnEndIsJudgedByItsRecordAndTheProgram(t *testing.T) {
	for _, c := range []struct {
		part, class, stop, message string
		retryable                  bool
	}{
		{part: "nothing", class: "protocol", stop: "error", message: "without a terminal record"},
		{part: "no end", class: "protocol", stop: "error", message: "without a terminal record"},
		{part: "crash", class: "crash", stop: "error", message: "exited with code 7: boom: out of luck"},
		{part: "end at once", stop: "end_turn"},
		{part: "late crash", class: "crash", stop: "error", message: "called itself done"},
		{part: "version 2", class: "protocol", stop: "error", message: "version 2 of the protocol"},
		{part: "no version", class: "protocol", stop: "error", message: "version 0 of the protocol"},
		{part: "no session", class: "protocol", stop: "error", message: "without an id"},
		{part: "odd stop", class: "protocol", stop: "error", message: `"tea_time"`},
		{part: "tokens", class: "context", stop: "max_tokens", message: "limit of tokens"},
		{part: "requests", class: "budget", stop: "max_turns", message: "limit of requests"},
		{part: "refusal", class: "policy", stop: "refusal", message: "refused to go on"},
		{part: "401", class: "auth", stop: "error", message: "invalid api key"},
		{part: "login", class: "auth", stop: "error", message: "Authentication required"},
		{part: "429", class: "rate_limit", stop: "error", message: "rate limited", retryable: true},
		{part: "500", class: "overloaded", stop: "error", message: "oops", retryable: true},
	} {
		t.Run(c.part, func(t *testing.T) {
			h := with(t, c.part, nil)
			r := h.run(t)
			if r.Failed != (c.class != "") || r.Class != c.class || r.StopReason != c.stop || r.Retryable != c.retryable || !strings.Contains(r.Message, c.message) {
				t.Errorf("result = %+v\n%s", r, h.dump())
			}
			h.has(t, sdk.EventSessionEnded, `"stop_reason":"`+c.stop+`"`)
		})
	}
}

func TestF55_OutputOfAnyFormAndSizeIsKeptAndEndsTyped(t *testing.T) {
	t.Run("a notification of 100 MB", func(t *testing.T) {
		h := with(t, "long news", nil)
		kept := 0
		h.on = func(e sdk.Event) {
			if e.Type == sdk.EventLog {
				kept += len(e.Log)
				h.mu.Lock()
				h.events = h.events[:len(h.events)-1] // the test need not keep it
				h.mu.Unlock()
			}
		}
		if r := h.run(t); r.Failed || r.Summary != "done" || kept < 100<<20 {
			t.Errorf("%d bytes kept, result = %+v", kept, r)
		}
		h.has(t, sdk.EventRaw, `"bytes":1048`)
	})
	t.Run("words without an end", func(t *testing.T) {
		h := with(t, "long words", nil)
		if r := h.run(t); r.Failed {
			t.Errorf("result = %+v", r)
		}
		h.has(t, sdk.EventRaw, `"bytes":20971520`)
	})
	t.Run("a request that nobody can read", func(t *testing.T) {
		h := with(t, "long request", nil)
		if r := h.run(t); r.Class != "protocol" || !strings.Contains(r.Message, "at most 8388608 are read") {
			t.Errorf("result = %+v", r)
		}
	})
	t.Run("a flood of notifications", func(t *testing.T) {
		h := with(t, "flood", nil)
		if r := h.run(t); r.Failed {
			t.Errorf("result = %+v", r)
		}
		if n := len(h.of(sdk.EventToolStarted)); n != 20000 {
			t.Errorf("%d tools were told, want all 20000", n)
		}
	})
	t.Run("what is not of the protocol", func(t *testing.T) {
		h := with(t, "garbage", nil)
		if r := h.run(t); r.Failed || r.Summary != "and done" {
			t.Errorf("result = %+v\n%s", r, h.dump())
		}
		if n := len(h.of(sdk.EventRaw)); n != 9 {
			t.Errorf("%d lines were told as not understood, want 9:\n%s", n, h.dump())
		}
		h.has(t, sdk.EventToolStarted, "t1 ", `"kind":"other"`)
	})
}

func TestMoreRequestsThanPeopleCanAnswerAreRefused(t *testing.T) {
	h := with(t, "many requests", nil)
	release := make(chan struct{})
	h.permit = func(sdk.Permission) (sdk.Decision, error) {
		<-release
		return sdk.Decision{}, nil
	}
	h.on = func(e sdk.Event) {
		if e.Type == sdk.EventMessageDelta {
			close(release)
		}
	}
	if r := h.run(t); r.Summary != fmt.Sprintf("%d refused", 200-maxAsked) {
		t.Errorf("result = %+v", r)
	}
}
