package modelserver_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk/sdktest/modelserver"
)

// agents are what the requests of real agent programs look like: the path, and the body around the tools and
// the results so far.
var agents = map[string]struct {
	path  string
	wire  string
	tools string
	write string // the tool that a file is written with, and its path
	shell string
}{
	"codex": {"/v1/responses", "responses", `[{"type":"function","name":"exec_command","parameters":{"properties":{"cmd":{}}}},{"type":"custom","name":"apply_patch"}]`,
		"apply_patch *** Begin Patch\n*** Add File: a.txt\n+hi\n*** End Patch\n", `exec_command {"cmd":"ls"}`},
	"codex without a patch tool": {"/v1/responses", "responses", `[{"type":"function","name":"exec_command","parameters":{"properties":{"cmd":{}}}}]`,
		`exec_command {"cmd":"mkdir -p '.' && printf %s 'hi\n' > 'a.txt'"}`, `exec_command {"cmd":"ls"}`},
	"codex of old": {"/v1/responses", "responses", `[{"type":"function","name":"shell","parameters":{"properties":{"command":{}}}}]`,
		`shell {"command":["bash","-lc","mkdir -p '.' && printf %s 'hi\n' > 'a.txt'"]}`, `shell {"command":["bash","-lc","ls"]}`},
	"claude": {"/v1/messages", "messages", `[{"name":"Write","input_schema":{"properties":{"file_path":{},"content":{}}}},{"name":"Bash","input_schema":{"properties":{"command":{},"description":{}}}}]`,
		`Write {"content":"hi\n","file_path":"/tree/a.txt"}`, `Bash {"command":"ls","description":"scripted"}`},
	"claude, bare": {"/v1/messages", "messages", `[{"name":"Bash","input_schema":{"properties":{"command":{}}}}]`,
		`Bash {"command":"mkdir -p '.' && printf %s 'hi\n' > 'a.txt'"}`, `Bash {"command":"ls"}`},
	"qwen": {"/v1/chat/completions", "chat", functions(`"write_file","parameters":{"properties":{"file_path":{},"content":{}}}`, `"run_shell_command","parameters":{"properties":{"command":{},"is_background":{}}}`),
		`write_file {"content":"hi\n","file_path":"/tree/a.txt"}`, `run_shell_command {"command":"ls","is_background":false}`},
	"opencode": {"/v1/chat/completions", "chat", functions(`"write","parameters":{"properties":{"filePath":{},"content":{}}}`, `"bash","parameters":{"properties":{"command":{},"description":{}}}`),
		`write {"content":"hi\n","filePath":"/tree/a.txt"}`, `bash {"command":"ls","description":"scripted"}`},
	"copilot": {"/v1/chat/completions", "chat", functions(`"create","parameters":{"properties":{"path":{},"file_text":{}}}`, `"bash","parameters":{"properties":{"command":{}}}`),
		`create {"file_text":"hi\n","path":"/tree/a.txt"}`, `bash {"command":"ls"}`},
	"copilot with a patch tool": {"/v1/chat/completions", "chat", `[{"type":"custom","custom":{"name":"apply_patch"}},{"type":"function","function":{"name":"bash","parameters":{"properties":{"command":{}}}}}]`,
		"apply_patch *** Begin Patch\n*** Add File: a.txt\n+hi\n*** End Patch\n", `bash {"command":"ls"}`},
	"pi": {"/v1/chat/completions", "chat", functions(`"write","parameters":{"properties":{"path":{},"content":{}}}`, `"bash","parameters":{"properties":{"command":{}}}`),
		`write {"content":"hi\n","path":"/tree/a.txt"}`, `bash {"command":"ls"}`},
	"cline": {"/v1/chat/completions", "chat", functions(`"editor","parameters":{"properties":{"path":{},"new_text":{}}}`, `"run_commands","parameters":{"properties":{"commands":{}}}`),
		`editor {"new_text":"hi\n","path":"/tree/a.txt"}`, `run_commands {"commands":["ls"]}`},
	"gemini": {"/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", "gemini", `[{"functionDeclarations":[{"name":"write_file","parametersJsonSchema":{"properties":{"file_path":{},"content":{}}}},{"name":"run_shell_command","parameters":{"properties":{"command":{}}}}]}]`,
		`write_file {"content":"hi\n","file_path":"/tree/a.txt"}`, `run_shell_command {"command":"ls"}`},
}

func functions(list ...string) string {
	for i := range list {
		list[i] = `{"type":"function","function":{"name":` + list[i] + `}}`
	}
	return "[" + strings.Join(list, ",") + "]"
}

// request is a body with so many results of tools, and with what the model said without a tool.
func request(wire, tools string, stream bool, results int, said ...string) string {
	var items []string
	add := func(form string, v ...any) { items = append(items, fmt.Sprintf(form, v...)) }
	switch wire {
	case "responses":
		add(`{"type":"message","role":"user","content":[{"type":"input_text","text":"<cwd>/tree</cwd>"}]}`)
		for i := range results {
			add(`{"type":"function_call","call_id":"c%d","name":"x","arguments":"{}"},{"type":"function_call_output","call_id":"c%d","output":"r%d"}`, i, i, i)
		}
		for _, text := range said {
			add(`{"type":"message","role":"assistant","content":[{"type":"output_text","text":%q}]}`, text)
		}
		return fmt.Sprintf(`{"model":"m","stream":%v,"tools":%s,"input":[%s]}`, stream, tools, strings.Join(items, ","))
	case "messages":
		add(`{"role":"user","content":"Primary working directory: /tree\n"}`)
		for i := range results {
			add(`{"role":"assistant","content":[{"type":"text","text":"t"},{"type":"tool_use","id":"c%d","name":"x","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c%d","content":[{"type":"text","text":"r%d"}]}]}`, i, i, i)
		}
		for _, text := range said {
			add(`{"role":"assistant","content":[{"type":"text","text":%q}]}`, text)
		}
		return fmt.Sprintf(`{"model":"m","max_tokens":9,"stream":%v,"tools":%s,"messages":[%s]}`, stream, tools, strings.Join(items, ","))
	case "chat":
		add(`{"role":"system","content":"in the working directory.</description> Current working directory: /tree\n"},{"role":"user","content":[{"type":"text","text":"do it"}]}`)
		for i := range results {
			add(`{"role":"assistant","content":null,"tool_calls":[{"id":"c%d","type":"function","function":{"name":"x","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c%d","content":"r%d"}`, i, i, i)
		}
		for _, text := range said {
			add(`{"role":"assistant","content":%q}`, text)
		}
		return fmt.Sprintf(`{"model":"m","stream":%v,"tools":%s,"messages":[%s]}`, stream, tools, strings.Join(items, ","))
	}
	add(`{"role":"user","parts":[{"text":"I'm currently working in the directory: /tree\n"}]}`)
	for i := range results {
		add(`{"role":"model","parts":[{"functionCall":{"name":"x","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"x","response":{"output":"r%d"}}}]}`, i)
	}
	for _, text := range said {
		add(`{"role":"model","parts":[{"text":%q}]}`, text)
	}
	return fmt.Sprintf(`{"tools":%s,"contents":[%s]}`, tools, strings.Join(items, ","))
}

func post(t *testing.T, url, body string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, b
}

// reply is what a client of each wire understands of an answer.
type reply struct {
	text   string
	calls  []string // "name arguments"
	stop   string
	events []string // the types of a stream's records
	ended  bool     // the wire's terminal record came
}

// data lists the payloads of a stream, and fails on anything else in it.
func data(t *testing.T, stream []byte) (events, payloads []string) {
	t.Helper()
	scanner := bufio.NewScanner(bytes.NewReader(stream))
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		switch line := scanner.Text(); {
		case strings.HasPrefix(line, "event: "):
			events = append(events, line[7:])
		case strings.HasPrefix(line, "data: "):
			payloads = append(payloads, line[6:])
		case line != "":
			t.Errorf("a line that is no part of a stream: %.80q", line)
		}
	}
	return events, payloads
}

func unmarshal[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	return v
}

type block struct {
	Type, Name, Text string
	Input            json.RawMessage
}

type item struct {
	Type, Name, Arguments, Input string
	CallID                       string `json:"call_id"`
	Content                      []struct{ Type, Text string }
}

type candidates struct {
	Candidates []struct {
		Content struct {
			Role  string
			Parts []struct {
				Text         string
				FunctionCall *struct {
					Name string
					Args json.RawMessage
				}
			}
		}
		FinishReason string
	}
	UsageMetadata map[string]int
}

// read understands a streamed reply as the wire's clients do.
func read(t *testing.T, wire string, stream []byte) reply {
	t.Helper()
	events, payloads := data(t, stream)
	r := reply{events: events}
	var parts strings.Builder
	name := ""
	for i, p := range payloads {
		switch wire {
		case "responses":
			e := unmarshal[struct {
				Type string
				Seq  int `json:"sequence_number"`
				Item item
			}](t, p)
			if e.Type != events[i] || e.Seq != i {
				t.Errorf("record %d is %s number %d under event %s", i, e.Type, e.Seq, events[i])
			}
			r.ended = e.Type == "response.completed"
			if e.Type == "response.output_item.done" {
				r.take(e.Item)
			}
		case "messages":
			e := unmarshal[struct {
				Type  string
				Block block `json:"content_block"`
				Delta struct {
					Text string
					JSON string `json:"partial_json"`
					Stop string `json:"stop_reason"`
				}
			}](t, p)
			switch e.Type {
			case "content_block_start":
				name = e.Block.Name
				parts.Reset()
			case "content_block_delta":
				r.text += e.Delta.Text
				parts.WriteString(e.Delta.JSON)
			case "content_block_stop":
				if name != "" {
					r.calls = append(r.calls, name+" "+parts.String())
				}
			case "message_delta":
				r.stop = e.Delta.Stop
			}
			r.ended = e.Type == "message_stop"
		case "chat":
			if p == "[DONE]" {
				r.ended = i == len(payloads)-1
				continue
			}
			c := unmarshal[struct {
				Choices []struct {
					Delta  chatMessage
					Finish string `json:"finish_reason"`
				}
			}](t, p)
			for _, choice := range c.Choices {
				r.chat(choice.Delta)
				r.stop += choice.Finish
			}
		case "gemini":
			r.gemini(unmarshal[candidates](t, p))
		}
	}
	return r
}

type chatMessage struct {
	Content string
	Calls   []struct {
		ID       string
		Function struct{ Name, Arguments string }
		Custom   struct{ Name, Input string }
	} `json:"tool_calls"`
}

func (r *reply) take(i item) {
	switch i.Type {
	case "message":
		r.text += i.Content[0].Text
	case "custom_tool_call":
		r.calls = append(r.calls, i.Name+" "+i.Input)
	default:
		r.calls = append(r.calls, i.Name+" "+i.Arguments)
	}
}

func (r *reply) chat(m chatMessage) {
	r.text += m.Content
	for _, c := range m.Calls {
		r.calls = append(r.calls, c.Function.Name+c.Custom.Name+" "+c.Function.Arguments+c.Custom.Input)
	}
}

func (r *reply) gemini(c candidates) {
	for _, p := range c.Candidates[0].Content.Parts {
		r.text += p.Text
		if p.FunctionCall != nil {
			r.calls = append(r.calls, p.FunctionCall.Name+" "+string(p.FunctionCall.Args))
		}
	}
	r.stop += c.Candidates[0].FinishReason
	r.ended = r.stop != ""
}

func TestEveryAgentGetsTheIntentInItsOwnTools(t *testing.T) {
	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{
		modelserver.Write("a.txt", "hi\n"), modelserver.Shell("ls"), modelserver.Parallel(modelserver.Shell("ls"), modelserver.Shell("ls")), modelserver.Text("done: ü"),
	}})
	for name, a := range agents {
		t.Run(name, func(t *testing.T) {
			for _, step := range []struct {
				results int
				text    string
				calls   []string
			}{
				{0, "", []string{a.write}}, {1, "", []string{a.shell}}, {2, "", []string{a.shell, a.shell}}, {3, "", []string{a.shell, a.shell}},
				{4, "done: ü", nil}, {9, "done", nil},
			} {
				_, b := post(t, s.URL+a.path, request(a.wire, a.tools, true, step.results))
				r := read(t, a.wire, b)
				if r.text != step.text || !slices.Equal(r.calls, step.calls) || !r.ended {
					t.Errorf("after %d results: %+v\nwant %q %q", step.results, r, step.text, step.calls)
				}
			}
		})
	}
	for _, q := range s.Requests() {
		if q.Unmet != "" || q.Wire == "" || len(q.Tools) == 0 || q.Status != 200 {
			t.Errorf("a request is logged as %+v", q)
		}
	}
}

func TestTheRecordsOfAStreamComeInTheOrderOfTheirWire(t *testing.T) {
	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{modelserver.Shell("ls"), modelserver.Text("done")}})
	for name, want := range map[string][2]string{
		"codex": {"response.created response.output_item.added response.function_call_arguments.delta response.function_call_arguments.done response.output_item.done response.completed",
			"response.created response.output_item.added response.content_part.added response.output_text.delta response.output_text.done response.content_part.done response.output_item.done response.completed"},
		"claude": {"message_start content_block_start content_block_delta content_block_stop message_delta message_stop",
			"message_start content_block_start content_block_delta content_block_stop message_delta message_stop"},
		"qwen": {}, "gemini": {},
	} {
		stops := map[string][2]string{"codex": {"", ""}, "claude": {"tool_use", "end_turn"}, "qwen": {"tool_calls", "stop"}, "gemini": {"STOP", "STOP"}}[name]
		for results := range 2 {
			_, b := post(t, s.URL+agents[name].path, request(agents[name].wire, agents[name].tools, true, results))
			if r := read(t, agents[name].wire, b); strings.Join(r.events, " ") != want[results] || r.stop != stops[results] {
				t.Errorf("%s: %+v, want %s and %s", name, r, want[results], stops[results])
			}
		}
	}
}

func TestAReplyThatIsNotStreamedIsOneDocument(t *testing.T) {
	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{modelserver.Shell("ls").Costs(modelserver.Usage{Input: 50, CachedRead: 20, CachedWrite: 5, Output: 7, Reasoning: 2})}})
	ask := func(name, path string) string {
		_, b := post(t, s.URL+path, request(agents[name].wire, agents[name].tools, false, 0))
		return string(b)
	}
	var r reply
	whole := unmarshal[struct {
		Status string
		Output []item
		Usage  map[string]any
	}](t, ask("codex", "/v1/responses"))
	r.take(whole.Output[0])
	if whole.Status != "completed" || r.calls[0] != agents["codex"].shell || whole.Usage["input_tokens"] != 50. || whole.Usage["total_tokens"] != 57. {
		t.Errorf("responses: %+v", whole)
	}
	message := unmarshal[struct {
		Type, Role string
		Stop       string `json:"stop_reason"`
		Content    []block
		Usage      map[string]int
	}](t, ask("claude", "/v1/messages"))
	if message.Type != "message" || message.Stop != "tool_use" || message.Content[0].Name != "Bash" ||
		message.Usage["input_tokens"] != 25 || message.Usage["cache_read_input_tokens"] != 20 || message.Usage["cache_creation_input_tokens"] != 5 {
		t.Errorf("messages: %+v", message)
	}
	completion := unmarshal[struct {
		Object  string
		Choices []struct{ Message chatMessage }
		Usage   map[string]any
	}](t, ask("qwen", "/v1/chat/completions"))
	if completion.Object != "chat.completion" || completion.Choices[0].Message.Calls[0].Function.Name != "run_shell_command" || completion.Usage["prompt_tokens"] != 50. {
		t.Errorf("chat: %+v", completion)
	}
	r = reply{}
	g := unmarshal[candidates](t, ask("gemini", "/v1beta/models/m:generateContent"))
	if r.gemini(g); r.stop != "STOP" || r.calls[0] != agents["gemini"].shell || g.UsageMetadata["promptTokenCount"] != 50 {
		t.Errorf("gemini: %+v", g)
	}
	if list := unmarshal[[]candidates](t, ask("gemini", "/v1beta/models/m:streamGenerateContent")); len(list) != 2 || list[1].Candidates[0].FinishReason != "STOP" {
		t.Errorf("a stream of Gemini without alt=sse: %+v", list)
	}
}

func TestWhatIsAskedBesideTheConversationDoesNotAdvanceIt(t *testing.T) {
	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{modelserver.Shell("ls")}, Models: []string{"a", "b"}})
	_, b := post(t, s.URL+"/v1/chat/completions", request("chat", "[]", true, 0))
	if r := read(t, "chat", b); r.text != "ok" || len(r.calls) > 0 {
		t.Errorf("a request without tools: %+v", r)
	}
	if r, err := http.Head(s.URL + "/"); err != nil || r.StatusCode != 200 {
		t.Errorf("HEAD /: %v %v", r, err)
	}
	if _, b := post(t, s.URL+"/v1/messages/count_tokens?beta=true", `{"messages":[]}`); unmarshal[map[string]int](t, string(b))["input_tokens"] == 0 {
		t.Errorf("count_tokens: %s", b)
	}
	if _, b := post(t, s.URL+"/v1beta/models/m:countTokens", `{}`); unmarshal[map[string]int](t, string(b))["totalTokens"] == 0 {
		t.Errorf("countTokens: %s", b)
	}
	r, err := http.Get(s.URL + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || len(unmarshal[struct{ Data []struct{ ID string } }](t, string(b)).Data) != 2 {
		t.Errorf("models: %s %v", b, err)
	}
	if r, b := post(t, s.URL+"/v1/embeddings", `{}`); r.StatusCode != 404 {
		t.Errorf("an unknown path: %d %s", r.StatusCode, b)
	}
	for _, q := range s.Requests() {
		if q.Step != -1 {
			t.Errorf("%s %s met step %d", q.Method, q.Path, q.Step)
		}
	}
}

func TestAScriptGoesOnAfterItsOwnTexts(t *testing.T) {
	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{modelserver.Shell("ls"), modelserver.Text("first"), modelserver.Text("second")}})
	for name, a := range agents {
		_, b := post(t, s.URL+a.path, request(a.wire, a.tools, true, 1, "something of the agent's own", "first"))
		if r := read(t, a.wire, b); r.text != "second" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
