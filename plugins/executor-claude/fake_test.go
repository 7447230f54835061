package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// This program is also the agent that the tests of run_test.go drive: it speaks Claude Code's protocol and
// plays the part that FAKE names.
func TestMain(m *testing.M) {
	if part := os.Getenv("FAKE"); part != "" {
		os.Exit(newFake().play(part))
	}
	os.Exit(m.Run())
}

const fakeSession = "11111111-2222-4333-8444-555555555555"

type fake struct {
	in  *bufio.Scanner
	out *bufio.Writer
}

func newFake() *fake {
	f := &fake{in: bufio.NewScanner(os.Stdin), out: bufio.NewWriter(os.Stdout)}
	f.in.Buffer(nil, 64<<20)
	return f
}

func (f *fake) say(line string) {
	f.out.WriteString(line + "\n")
	f.out.Flush()
}

// hear is the next line of input; nil at its end.
func (f *fake) hear() map[string]any {
	if !f.in.Scan() {
		return nil
	}
	var m map[string]any
	if err := json.Unmarshal(f.in.Bytes(), &m); err != nil {
		panic(err)
	}
	return m
}

func (f *fake) prompt() string {
	m := f.hear()
	if m == nil {
		return ""
	}
	return m["message"].(map[string]any)["content"].(string)
}

func (f *fake) init() {
	dir, _ := os.Getwd()
	f.say(fmt.Sprintf(`{"type":"system","subtype":"init","cwd":%q,"session_id":%q,"tools":["Bash","Write"],"model":"m","permissionMode":"default","claude_code_version":"2.1.197"}`, dir, fakeSession))
}

func (f *fake) text(text string) {
	quoted, _ := json.Marshal(text)
	f.say(fmt.Sprintf(`{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":%s}]},"session_id":%q}`, quoted, fakeSession))
}

func (f *fake) result(members string) {
	f.say(fmt.Sprintf(`{"session_id":%q,"usage":{"input_tokens":3,"output_tokens":2},"type":"result",%s}`, fakeSession, members))
}

const success = `"subtype":"success","is_error":false,"result":"all done","stop_reason":"end_turn","permission_denials":[]`

func (f *fake) use(id, name, input string) {
	f.say(fmt.Sprintf(`{"type":"assistant","message":{"id":"m-%s","content":[{"type":"tool_use","id":%q,"name":%q,"input":%s}]}}`, id, id, name, input))
}

func (f *fake) used(id, text string, failed bool) {
	f.say(fmt.Sprintf(`{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":%q,"content":%q,"is_error":%t}]}}`, id, text, failed))
}

// ask asks for leave and returns the answer.
func (f *fake) ask(id, name, input string) map[string]any {
	f.say(fmt.Sprintf(`{"type":"control_request","request_id":"r-%s","request":{"subtype":"can_use_tool","tool_name":%q,"input":%s,"tool_use_id":%q}}`, id, name, input, id))
	return f.answer("r-" + id)
}

func (f *fake) answer(id string) map[string]any {
	for m := f.hear(); m != nil; m = f.hear() {
		if m["type"] != "control_response" {
			continue
		}
		if r := m["response"].(map[string]any); r["request_id"] == id {
			return r
		}
	}
	os.Exit(7)
	return nil
}

// drain waits for the end of the input, as Claude Code does when a turn is over.
func (f *fake) drain() int {
	for f.hear() != nil {
	}
	return 0
}

func (f *fake) play(part string) int {
	if slices.Contains(os.Args, "--version") {
		fmt.Println(os.Getenv("FAKE_VERSION") + " (Claude Code)")
		return 0
	}
	if parts := fakeParts[part]; parts != nil {
		return parts(f)
	}
	panic("no such part: " + part)
}

var fakeParts = map[string]func(*fake) int{
	"edit": fakeEdit,
	"command": func(f *fake) int {
		f.prompt()
		f.init()
		f.use("t1", "Bash", `{"command":"make","description":"build"}`)
		r := f.ask("t1", "Bash", `{"command":"make","description":"build"}`)["response"].(map[string]any)
		if r["behavior"] == "allow" {
			os.WriteFile("made", nil, 0o600)
			f.used("t1", "made", false)
			f.result(success)
		} else {
			f.used("t1", r["message"].(string), true)
			f.result(strings.Replace(success, "[]", `[{"tool_name":"Bash"}]`, 1))
		}
		return f.drain()
	},
	"question": func(f *fake) int {
		f.prompt()
		f.init()
		input := `{"questions":[{"question":"Which?","options":[{"label":"a"},{"label":"b"}]},{"question":"Why?","options":[]}]}`
		f.use("q", "AskUserQuestion", input)
		r := f.ask("q", "AskUserQuestion", input)["response"].(map[string]any)
		answers, _ := json.Marshal(r["updatedInput"].(map[string]any)["answers"])
		f.used("q", "answered", false)
		f.result(strings.Replace(success, "all done", strings.ReplaceAll(string(answers), `"`, `'`), 1))
		return f.drain()
	},
	"slow": func(f *fake) int {
		f.prompt()
		f.init()
		f.text("working")
		f.use("t1", "Bash", `{"command":"sleep 60"}`)
		for m := f.hear(); m != nil; m = f.hear() {
			if m["type"] == "control_request" {
				f.say(`{"type":"control_response","response":{"subtype":"success","request_id":"cancel"}}`)
				f.used("t1", interrupted, true)
				f.result(`"subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"`)
				f.drain()
				return 1
			}
		}
		return 0
	},
	"waits": func(f *fake) int { // for an answer that it does not get before it is cancelled
		f.prompt()
		f.init()
		f.say(`{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"x"},"tool_use_id":"t"}}`)
		for m := f.hear(); m != nil; m = f.hear() {
			if m["type"] == "control_response" {
				f.text("an answer came")
			}
			if m["type"] == "control_request" {
				f.result(`"subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"`)
			}
		}
		return 1
	},
	"deaf": func(f *fake) int {
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		f.init()
		f.text("working")
		<-time.After(time.Minute)
		return 0
	},
	"lingers": func(f *fake) int {
		f.prompt()
		f.init()
		f.result(success)
		<-time.After(time.Minute)
		return 0
	},
	"nothing": func(f *fake) int { return 0 },
	"silent-success": func(f *fake) int {
		f.prompt()
		f.init()
		f.result(success)
		return f.drain()
	},
	"lies": func(f *fake) int {
		f.prompt()
		f.init()
		f.use("t1", "Write", `{"file_path":"never.txt","content":"x"}`)
		f.used("t1", "File created successfully", false)
		f.text("I changed everything")
		f.result(success)
		return f.drain()
	},
	"no-end": func(f *fake) int {
		f.prompt()
		f.init()
		f.text("and then")
		return 0
	},
	"half-line": func(f *fake) int {
		f.prompt()
		f.init()
		f.out.WriteString(`{"type":"result","subtype":"succ`)
		f.out.Flush()
		return 0
	},
	"crash": func(f *fake) int {
		fmt.Fprintln(os.Stderr, "fatal: it broke")
		return 3
	},
	"killed": func(f *fake) int {
		f.prompt()
		f.init()
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		return 0
	},
	"fails-after": func(f *fake) int {
		f.prompt()
		f.init()
		f.result(success)
		f.drain()
		return 9
	},
	"flood": func(f *fake) int {
		f.prompt()
		f.init()
		block := strings.Repeat("{\"type\":\"noise\"}\n", 4096)
		for range 8 {
			f.out.WriteString(block)
		}
		f.result(success)
		return f.drain()
	},
	"long-line": func(f *fake) int {
		f.prompt()
		f.init()
		f.out.WriteString(`{"type":"assistant","message":{"content":[{"type":"text","text":"`)
		block := bytes.Repeat([]byte("x"), 1<<20)
		for range 100 {
			f.out.Write(block)
		}
		f.out.WriteString(`"}]}}` + "\n")
		f.result(success)
		return f.drain()
	},
	"bytes": func(f *fake) int {
		f.prompt()
		f.init()
		f.say("\xff\xfe\x00 \x1b[31m")
		f.say("{\"type\":\"assistant\",\"message\":{\"id\":\"\xff\",\"content\":[{\"type\":\"text\",\"text\":\"a\xffb\x00\"}]}}")
		f.result(success)
		return f.drain()
	},
	"many-requests": func(f *fake) int {
		f.prompt()
		f.init()
		for i := range 3 * maxAsked {
			f.say(fmt.Sprintf(`{"type":"control_request","request_id":"r%d","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"x"},"tool_use_id":"t%d"}}`, i, i))
		}
		refused := 0
		for refused < 2*maxAsked {
			if m := f.hear(); m["type"] == "control_response" {
				refused++
			}
		}
		for i := range maxAsked {
			f.say(fmt.Sprintf(`{"type":"control_cancel_request","request_id":"r%d"}`, i))
		}
		f.result(strings.Replace(success, "all done", fmt.Sprint("refused ", refused), 1))
		return f.drain()
	},
	"other-request": func(f *fake) int {
		f.prompt()
		f.init()
		f.say(`{"type":"control_request","request_id":"h","request":{"subtype":"hook_callback"}}`)
		r := f.answer("h")
		f.result(strings.Replace(success, "all done", r["subtype"].(string), 1))
		return f.drain()
	},
	"session": func(f *fake) int { // keeps a session, and knows only what it kept
		dir, _ := os.Getwd()
		kept := filepath.Join(os.Getenv("CLAUDE_CONFIG_DIR"), sessionDir(dir), fakeSession+".jsonl")
		before, err := os.ReadFile(kept)
		at := slices.Index(os.Args, "--resume")
		if at > 0 && (err != nil || os.Args[at+1] != fakeSession) {
			fmt.Fprintln(os.Stderr, "No conversation found")
			f.result(`"subtype":"error_during_execution","is_error":true,"errors":["No conversation found"]`)
			return 1
		}
		prompt := f.prompt()
		f.init()
		os.MkdirAll(filepath.Dir(kept), 0o700)
		os.WriteFile(kept, append(before, prompt...), 0o600)
		os.WriteFile("session.txt", append(before, prompt...), 0o600)
		f.result(success)
		return f.drain()
	},
	"resume-breaks": func(f *fake) int {
		if slices.Contains(os.Args, "--resume") {
			return 1
		}
		return fakeEdit(f)
	},
}

func fakeEdit(f *fake) int {
	prompt := f.prompt()
	f.init()
	f.use("t1", "Write", `{"file_path":"said.txt","content":"x"}`)
	os.WriteFile("said.txt", []byte(prompt), 0o600)
	os.WriteFile("args.txt", []byte(strings.Join(os.Args[1:], "\n")), 0o600)
	os.WriteFile("env.txt", []byte(strings.Join(os.Environ(), "\n")), 0o600)
	f.used("t1", "written", false)
	f.text("done")
	f.result(success)
	return f.drain()
}
