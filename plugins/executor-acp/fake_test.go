package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
)

// fakeVar makes the test binary play the named agent instead of testing.
const fakeVar = "ACP_TEST_PART"

func TestMain(m *testing.M) {
	if part := os.Getenv(fakeVar); part != "" {
		play(part)
		return
	}
	os.Exit(m.Run())
}

// fake is the agent's side of a conversation: raw lines, so that it can say what no library would.
type fake struct {
	in  *bufio.Scanner
	out *bufio.Writer
}

type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

func play(name string) {
	f := &fake{in: bufio.NewScanner(os.Stdin), out: bufio.NewWriterSize(os.Stdout, 1<<16)}
	f.in.Buffer(nil, 64<<20)
	part, ok := parts[name]
	if !ok {
		part, ok = hostile[name]
	}
	if !ok {
		panic("no part " + name)
	}
	part(f)
	f.out.Flush()
}

// next is the next message; the end of the input ends the agent.
func (f *fake) next() message {
	f.out.Flush()
	if !f.in.Scan() {
		f.out.Flush()
		os.Exit(0)
	}
	var m message
	if err := json.Unmarshal(f.in.Bytes(), &m); err != nil {
		panic(err)
	}
	return m
}

func (f *fake) say(format string, args ...any) {
	fmt.Fprintf(f.out, format+"\n", args...)
}

func (f *fake) update(body string) {
	f.say(`{"method":"session/update","jsonrpc":"2.0","params":{"update":%s,"sessionId":"ses_1"}}`, body)
}

func (f *fake) reply(m message, result string) {
	f.say(`{"jsonrpc":"2.0","result":%s,"id":%s}`, result, m.ID)
}

func (f *fake) fail(m message, code int, text string) {
	f.say(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, m.ID, code, text)
}

// want is the next message, which must be of a method.
func (f *fake) want(method string) message {
	m := f.next()
	if m.Method != method {
		panic(fmt.Sprintf("got %s, want %s", m.Method, method))
	}
	return m
}

const modes = `{"currentModeId":"default","availableModes":[{"id":"default","name":"D"},{"id":"careful","name":"C"}]}`

// prompted goes through the beginning of a conversation and returns the prompt.
func (f *fake) prompted() message {
	f.reply(f.want("initialize"), `{"protocolVersion":1,"agentInfo":{"name":"fake","version":"1.2.3"},"agentCapabilities":{"loadSession":true},"authMethods":[{"id":"key","name":"Key"}]}`)
	for {
		switch m := f.next(); m.Method {
		case "session/new":
			f.reply(m, `{"sessionId":"ses_1","modes":`+modes+`}`)
		case "session/load":
			f.update(`{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"from before"}}`)
			f.reply(m, `{"modes":`+modes+`}`)
		case "session/set_mode", "authenticate":
			f.reply(m, `{}`)
		case "session/prompt":
			return m
		default:
			panic("unexpected " + m.Method)
		}
	}
}

func (f *fake) chunk(text string) {
	raw, _ := json.Marshal(text)
	f.update(`{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":` + string(raw) + `}}`)
}

func (f *fake) end(m message, stop string) {
	f.reply(m, fmt.Sprintf(`{"stopReason":%q,"usage":{"inputTokens":80,"outputTokens":15,"cachedReadTokens":20,"thoughtTokens":5}}`, stop))
}

// ask asks leave and returns the answer's outcome.
func (f *fake) ask(id, tool, options string) string {
	f.say(`{"jsonrpc":"2.0","id":%s,"method":"session/request_permission","params":{"sessionId":"ses_1","toolCall":%s,"options":%s}}`, id, tool, options)
	m := f.next()
	return string(m.Result) + string(m.Error)
}

const (
	usual = `[{"optionId":"reject_once","name":"Always","kind":"allow_always"},{"optionId":"x1","name":"Yes","kind":"allow_once"},{"optionId":"allow_once","name":"No","kind":"reject_once"}]`
	edit  = `{"toolCallId":"t1","title":"Write a.txt","kind":"edit","locations":[{"path":"a.txt"}],"rawInput":{"file_path":"a.txt","content":"hi"},"content":[{"type":"diff","path":"a.txt","oldText":null,"newText":"hi"}]}`
)

// host is what an attempt with a fake agent has around it.
type host struct {
	*recorder
	home, tree string
	attempt    *sdk.Attempt
}

// with makes an attempt whose agent plays a part. More is added to the config block.
func with(t *testing.T, part string, more map[string]any) *host {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{recorder: newRecorder(true), home: t.TempDir(), tree: t.TempDir()}
	h.attempt = &sdk.Attempt{
		ID: "att_1", Instruction: "write a.txt", Tree: h.tree, Config: ownConfig(t, part, more), Host: h.recorder,
		Program: &sdk.Installed{Name: "fake", Path: exe},
	}
	return h
}

// ownConfig is a profile of an operator's own for a part.
func ownConfig(t *testing.T, part string, more map[string]any) json.RawMessage {
	t.Helper()
	config := map[string]any{
		"profile": "custom", "args": []string{"acp"}, "env": map[string]string{fakeVar: part, "FAKE_TREE": "{tree}"},
		"usage": map[string]string{
			"at": "response.usage", "input": "inputTokens", "output": "outputTokens", "cached_read": "cachedReadTokens",
			"reasoning": "thoughtTokens", "cached": "excluded", "thoughts": "excluded",
		},
	}
	for key, value := range more {
		config[key] = value
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (h *host) executor() executor {
	return executor{environ: func() []string {
		return []string{"HOME=" + h.home, "PATH=" + os.Getenv("PATH"), "OPENAI_API_KEY=another vendor's", "PLUGIN_SECRET=s"}
	}}
}

func (h *host) run(t *testing.T) sdk.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	return h.runIn(ctx, t)
}

func (h *host) runIn(ctx context.Context, t *testing.T) sdk.Result {
	t.Helper()
	r, err := h.executor().Run(ctx, h.attempt)
	return sdk.ResultOf(r, err)
}

// output is the bytes that were told of one stream.
func (h *host) output(stream string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, e := range h.events {
		if e.Type == sdk.EventLog && e.Stream == stream {
			b.Write(e.Log)
		}
	}
	return b.String()
}

func writeFile(name, content string) {
	if err := os.WriteFile(filepath.Join(os.Getenv("FAKE_TREE"), name), []byte(content), 0o600); err != nil {
		panic(err)
	}
}

// parts are what agents do.
var parts = map[string]func(*fake){
	"edit": func(f *fake) {
		m := f.prompted()
		f.update(`{"sessionUpdate":"agent_thought_chunk","content":{"type":"text","text":"hm"}}`)
		f.update(`{"sessionUpdate":"plan","entries":[{"content":"write it","status":"in_progress","priority":"high"}]}`)
		f.update(`{"sessionUpdate":"tool_call","toolCallId":"t1","title":"Write","kind":"edit","status":"pending","rawInput":{},"locations":[]}`)
		answer := f.ask("7", edit, usual)
		f.update(`{"sessionUpdate":"tool_call_update","toolCallId":"t1","status":"in_progress"}`)
		if strings.Contains(answer, `"x1"`) {
			writeFile("a.txt", "hi")
			f.update(`{"sessionUpdate":"tool_call_update","toolCallId":"t1","status":"completed"}`)
		} else {
			f.update(`{"sessionUpdate":"tool_call_update","toolCallId":"t1","status":"failed"}`)
		}
		f.update(`{"sessionUpdate":"usage_update","used":90,"size":1000,"cost":{"amount":0.5,"currency":"USD"}}`)
		f.chunk("do")
		f.chunk("ne, answer " + answer)
		f.end(m, "end_turn")
		f.next()
	},
	"silent permission": func(f *fake) { // asks before it says anything of the tool, and ends it without a word
		m := f.prompted()
		f.chunk(f.ask(`"p-1"`, `{"toolCallId":"c1","title":"rm -rf x","kind":"execute","rawInput":{"command":["bash","-lc","rm -rf x"]}}`, usual))
		f.end(m, "end_turn")
		f.next()
	},
	"plain": func(f *fake) {
		m := f.prompted()
		writeFile("a.txt", "hi")
		f.chunk("done")
		f.end(m, "end_turn")
		f.next()
	},
	"documented": func(f *fake) {
		m := f.prompted()
		dir := os.Getenv("OPENCLAW_STATE_DIR")
		settings, err := os.ReadFile(filepath.Join(dir, "openclaw.json"))
		if err != nil {
			panic(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "sessions"), 0o700); err != nil {
			panic(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "sessions", "ses_1.jsonl"), []byte("{}"), 0o600); err != nil {
			panic(err)
		}
		f.chunk(os.Getenv("ANTHROPIC_BASE_URL") + " " + os.Getenv("ANTHROPIC_API_KEY") + " " + dir + " " + string(settings))
		f.end(m, "end_turn")
		f.next()
	},
	"echo": func(f *fake) { // knows no session of before
		f.reply(f.want("initialize"), `{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}`)
		m := f.next()
		if m.Method == "session/load" {
			f.fail(m, -32002, "no such session")
			m = f.next()
		}
		f.reply(m, `{"sessionId":"ses_new"}`)
		m = f.want("session/prompt")
		var p struct {
			Prompt []struct{ Text string }
		}
		if err := json.Unmarshal(m.Params, &p); err != nil {
			panic(err)
		}
		f.chunk(p.Prompt[0].Text)
		f.end(m, "end_turn")
		f.next()
	},
	"for good only": func(f *fake) {
		m := f.prompted()
		f.chunk(f.ask("1", edit, `[{"optionId":"a","name":"Always","kind":"allow_always"},{"optionId":"r","name":"Never","kind":"reject_always"}]`))
		f.end(m, "end_turn")
		f.next()
	},
	"slow": func(f *fake) {
		m := f.prompted()
		f.update(`{"sessionUpdate":"tool_call","toolCallId":"t1","title":"sleep","kind":"execute","status":"in_progress","rawInput":{"command":"sleep 60"}}`)
		f.want("session/cancel")
		f.update(`{"sessionUpdate":"tool_call_update","toolCallId":"t1","status":"completed"}`)
		f.end(m, "cancelled")
		f.next()
	},
	"deaf": func(f *fake) { // neither cancels nor ends with its input
		f.prompted()
		f.chunk("working")
		f.out.Flush()
		io.Copy(io.Discard, os.Stdin)
		for {
			syscall.Pause() //nolint:errcheck // until a signal ends the agent
		}
	},
	"waits for leave": func(f *fake) {
		m := f.prompted()
		f.say(`{"jsonrpc":"2.0","id":1,"method":"session/request_permission","params":{"sessionId":"ses_1","toolCall":%s,"options":%s}}`, edit, usual)
		f.out.Flush()
		var got []string
		for range 2 { // the answer and the cancellation, in any order
			got = append(got, f.next().Method)
		}
		f.chunk(strings.Join(got, ","))
		f.end(m, "cancelled")
		f.next()
	},
}
