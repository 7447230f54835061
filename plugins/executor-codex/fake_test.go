package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// This program is also the agent that the tests of main_test.go drive: FAKE says what it offers, and the
// text of the step names the part that it plays.
func TestMain(m *testing.M) {
	if offers := os.Getenv("FAKE"); offers != "" {
		os.Exit(play(offers))
	}
	os.Exit(m.Run())
}

func play(offers string) int {
	f := &fake{in: bufio.NewScanner(os.Stdin), out: bufio.NewWriter(os.Stdout), offers: offers}
	f.in.Buffer(nil, 64<<20)
	switch mode := os.Args[1]; {
	case mode == "--version" && offers != "mute":
		f.say("codex-cli 0.169.0")
	case mode == modeServer && offers == "exec only":
		fmt.Fprintln(os.Stderr, "error: unrecognized subcommand 'app-server'")
		return 2
	case mode == modeServer && len(os.Args) > 2:
		f.say("Run the app-server")
	case mode == modeServer && offers == "dead":
		fmt.Fprintln(os.Stderr, "error: the configuration is not understood")
		return 1
	case mode == modeServer:
		return f.serve()
	case mode == modeExec:
		return f.exec()
	}
	return 0
}

// fake is the far end of the conversation.
type fake struct {
	in     *bufio.Scanner
	out    *bufio.Writer
	offers string
	params map[string]any // of the last turn/start
}

func (f *fake) say(format string, args ...any) {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	f.out.WriteString(format + "\n")
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

func (f *fake) serve() int {
	for m := f.hear(); m != nil; m = f.hear() {
		params, _ := m["params"].(map[string]any)
		switch m["method"] {
		case "initialize":
			version := "0.169.0"
			if f.offers == "old" {
				version = "0.99.0"
			}
			f.say(`{"id":1,"result":{"userAgent":"drawspan/%s (Linux; x86_64)"}}`, version)
		case "thread/resume":
			f.say(`{"id":2,"error":{"code":-32600,"message":"no rollout found"}}`)
		case "thread/start":
			if f.offers == "refuses" {
				f.say(`{"id":3,"error":{"code":-32600,"message":"unauthorized: log in first"}}`)
				continue
			}
			policy := params["approvalPolicy"]
			if f.offers == "lenient" {
				policy = "never"
			}
			f.say(`{"id":3,"result":{"thread":{"id":"00000000-0000-7000-8000-000000000001","cliVersion":"0.169.0"},"model":"m","cwd":"/tree","approvalPolicy":%q,"approvalsReviewer":"user"}}`, policy)
		case "turn/start":
			f.params = params
			f.say(`{"id":4,"result":{"turn":{"id":"tu_1"}}}`)
			f.say(`{"method":"turn/started","params":{"threadId":%q,"turn":{"id":"tu_1"}}}`, fakeThread)
			text := params["input"].([]any)[0].(map[string]any)["text"].(string)
			if code := f.turn(text); code >= 0 {
				return code
			}
		case "turn/interrupt":
			if f.offers != "deaf" {
				f.say(`{"id":5,"result":{}}`)
				f.finish("interrupted", "")
			}
		}
	}
	return 0
}

const fakeThread = "00000000-0000-7000-8000-000000000001"

func (f *fake) finish(status, more string) {
	f.say(`{"method":"turn/completed","params":{"threadId":%q,"turn":{"id":"tu_1","status":%q%s}}}`, fakeThread, status, more)
}

func (f *fake) text(text string) {
	quoted, _ := json.Marshal(text)
	f.say(`{"method":"item/completed","params":{"threadId":%q,"item":{"type":"agentMessage","id":"m1","text":%s}}}`, fakeThread, quoted)
}

// done ends the turn well.
func (f *fake) done(text string) int {
	f.text(text)
	f.finish("completed", "")
	return -1
}

// ask asks and returns the result of the answer as JSON.
func (f *fake) ask(id, method, params string) string {
	f.say(`{"id":%s,"method":%q,"params":%s}`, id, method, strings.ReplaceAll(params, "\n", " "))
	m := f.hear()
	raw, _ := json.Marshal(m["result"])
	if m["error"] != nil {
		raw, _ = json.Marshal(m["error"])
	}
	return string(raw)
}

func (f *fake) command(id, line string) {
	f.say(`{"method":"item/started","params":{"threadId":%q,"item":{"type":"commandExecution","id":%q,"command":%q,"status":"inProgress"}}}`, fakeThread, id, line)
}

// turn plays a part; the process exits with what is not negative.
func (f *fake) turn(text string) int {
	part, argument, _ := strings.Cut(text, " ")
	switch part {
	case "slow":
		f.command("c1", "sleep 600")
		return -1
	case "stubborn": // neither the protocol nor signals end it
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		f.command("c1", "sleep 600")
		io.Copy(io.Discard, os.Stdin)
		select {}
	case "exit":
		return len(argument)
	case "killed":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "endless-line":
		for range 100 << 10 {
			f.out.WriteString(strings.Repeat("x", 1<<10))
		}
		f.say("")
	case "flood":
		for range 5_000 {
			f.say(`{"method":"item/agentMessage/delta","params":{"threadId":%q,"itemId":"m1","delta":"word "}}`, fakeThread)
		}
	case "garbage":
		f.say("\xff\xfe\x00 {{{")
		f.say(`{"method":"turn/completed"}`)
		f.say(`{"method":"turn/completed","params":{"threadId":"another","turn":{"id":"tu_9","status":"completed"}}}`)
		f.say(`{"id":77,"result":{"thread":{"id":"planted"}}}`)
		f.say(`{"id":{"a":[}]},"method":"item/fileChange/requestApproval","params":{}}`)
	case "lies":
		f.say(`{"method":"item/completed","params":{"threadId":%q,"item":{"type":"fileChange","id":"f1","status":"completed","changes":[{"path":"/tree/never.txt","kind":{"type":"add"}}]}}}`, fakeThread)
	case "fails":
		f.finish("failed", `,"error":`+argument)
		return -1
	case "status":
		f.finish(argument, "")
		return -1
	case "environment":
		return f.done(strings.Join(os.Environ(), "\n"))
	default:
		return f.asking(part, text)
	}
	return f.done(text)
}

// asking plays the parts that ask.
func (f *fake) asking(part, text string) int {
	command := `{"itemId":"c1","threadId":"t","command":%q,"kind":%q,"reason":"because","startedAtMs":1}`
	switch part {
	case "command":
		f.command("c1", "/bin/bash -lc 'go test ./...'")
		return f.done(f.ask("1", "item/commandExecution/requestApproval", fmt.Sprintf(command, "/bin/bash -lc 'go test ./...'", "command")))
	case "typing":
		return f.done(f.ask("1", "item/commandExecution/requestApproval", fmt.Sprintf(command, "/bin/bash", "writeStdin")))
	case "network":
		return f.done(f.ask("1", "item/commandExecution/requestApproval", `{"itemId":"c1","command":"curl x","networkApprovalContext":{"host":"example.org","protocol":"https"}}`))
	case "patch":
		f.say(`{"method":"item/started","params":{"threadId":%q,"item":{"type":"fileChange","id":"f1","changes":[{"path":"/tree/a","kind":{"type":"delete"},"diff":"x"},{"path":"/tree/b","kind":{"type":"update","move_path":"/tree/c"},"diff":"y"}],"status":"inProgress"}}}`, fakeThread)
		first := f.ask("1", "item/fileChange/requestApproval", `{"itemId":"f1","reason":null,"grantRoot":"/elsewhere"}`)
		return f.done(first + f.ask("2", "item/fileChange/requestApproval", `{"itemId":"f1"}`) + f.ask("3", "item/fileChange/requestApproval", `{"itemId":"unknown"}`))
	case "widen":
		return f.done(f.ask(`"seven"`, "item/permissions/requestApproval", `{"itemId":"w1","permissions":{"network":{"enabled":true}},"reason":"to look"}`))
	case "questions":
		return f.done(f.ask("1", "item/tool/requestUserInput", `{"itemId":"q1","questions":[
			{"id":"a","header":"Color","question":"Which?","options":[{"label":"red","description":"warm"},{"label":"blue","description":""}]},
			{"id":"s","header":"Key","question":"Which key?","isSecret":true},{"id":"b","header":"","question":"Why?","options":null}]}`))
	case "strange":
		return f.done(f.ask("1", "item/tool/call", `{}`) + f.ask("2", "mcpServer/elicitation/request", `{"serverName":"x","mode":"url"}`))
	case "many":
		for n := range maxOpen + 10 {
			f.say(`{"id":%d,"method":"item/commandExecution/requestApproval","params":{"itemId":"c%d","command":"x"}}`, n, n)
		}
		declined := 0
		for range 10 {
			if strings.Contains(fmt.Sprint(f.hear()["result"]), "decline") {
				declined++
			}
		}
		return f.done(fmt.Sprintf("%d declined", declined))
	}
	return f.done(text)
}

func (f *fake) exec() int {
	prompt, _ := io.ReadAll(os.Stdin)
	f.say(`{"type":"thread.started","thread_id":%q}`, fakeThread)
	f.say(`{"type":"turn.started"}`)
	part, argument, _ := strings.Cut(string(prompt), " ")
	switch part {
	case "slow":
		f.say(`{"type":"item.started","item":{"id":"c1","type":"command_execution","command":"sleep 600","status":"in_progress"}}`)
		select {}
	case "exit":
		return len(argument)
	case "fails":
		f.say(`{"type":"turn.failed","error":{"message":%q}}`, argument)
		return 1
	}
	quoted, _ := json.Marshal(strings.Join(os.Args[1:], " ") + "|" + string(prompt))
	f.say(`{"type":"item.completed","item":{"id":"m1","type":"agent_message","text":%s}}`, quoted)
	f.say(`{"type":"turn.completed","usage":{"input_tokens":3,"cached_input_tokens":1,"output_tokens":2}}`)
	return 0
}
