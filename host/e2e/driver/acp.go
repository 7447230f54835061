package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// converse is the program as a coding agent that speaks the Agent Client Protocol. It does what the lines of a
// prompt say, and keeps every prompt of a session below FAKE_STATE, where it finds them when that session is
// loaded.
func converse() int {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 8<<20)
	c := &conversation{in: in, dir: os.Getenv("FAKE_STATE")}
	for {
		m, ok := c.next()
		if !ok {
			return 0
		}
		switch m.Method {
		case "initialize":
			c.reply(m, map[string]any{
				"protocolVersion": 1, "agentInfo": map[string]string{"name": "fake", "version": versionOf("/proc/self/exe")},
				"agentCapabilities": map[string]bool{"loadSession": true},
			})
		case "session/new":
			c.reply(m, map[string]string{"sessionId": "ses_1"})
		case "session/load":
			text, err := os.ReadFile(filepath.Join(c.dir, "ses_1.txt"))
			if err != nil {
				c.send(map[string]any{"id": m.ID, "error": map[string]any{"code": -32002, "message": err.Error()}})
				continue
			}
			c.known = string(text)
			c.reply(m, map[string]any{})
		case "session/prompt":
			if left := c.work(m); left {
				return 0
			}
		}
	}
}

type conversation struct {
	in         *bufio.Scanner
	dir, known string
	asked      int
}

// message is what either side sends.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Prompt []struct {
			Text string `json:"text"`
		} `json:"prompt"`
	} `json:"params"`
	Result struct {
		Outcome struct {
			OptionID string `json:"optionId"`
		} `json:"outcome"`
	} `json:"result"`
}

func (c *conversation) next() (m message, ok bool) {
	if !c.in.Scan() {
		return m, false
	}
	if err := json.Unmarshal(c.in.Bytes(), &m); err != nil {
		panic(err)
	}
	return m, true
}

func (c *conversation) send(m map[string]any) {
	m["jsonrpc"] = "2.0"
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", text)
}

func (c *conversation) reply(to message, result any) {
	c.send(map[string]any{"id": to.ID, "result": result})
}

func (c *conversation) say(text string) {
	c.update(map[string]any{"sessionUpdate": "agent_message_chunk", "content": map[string]string{"type": "text", "text": text + "\n"}})
}

func (c *conversation) update(u map[string]any) {
	c.send(map[string]any{"method": "session/update", "params": map[string]any{"sessionId": "ses_1", "update": u}})
}

// work performs a prompt; left says that the program ends without an answer to it.
func (c *conversation) work(m message) (left bool) {
	prompt := m.Params.Prompt[0].Text
	for line := range strings.Lines(prompt) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, text, _ := strings.Cut(rest, " ")
		switch word {
		case "write":
			c.edit(name, text)
		case "pretend": // a tool that is said to have edited, and has not
			c.tool(name, "completed")
		case "say":
			c.say(rest)
		case "recall":
			c.say(fmt.Sprintf("I knew %q and was told %q", c.known, prompt))
		case "leave":
			return true
		default:
			c.misbehave(m, word, rest)
		}
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "ses_1.txt"), []byte(c.known+prompt), 0o600); err != nil {
		panic(err)
	}
	c.reply(m, map[string]string{"stopReason": "end_turn"})
	return false
}

// edit asks leave, and edits where it is given.
func (c *conversation) edit(name, text string) {
	c.asked++
	c.send(map[string]any{"id": fmt.Sprint("ask-", c.asked), "method": "session/request_permission", "params": map[string]any{
		"sessionId": "ses_1", "toolCall": c.call(name),
		"options": []map[string]string{{"optionId": "yes", "name": "Yes", "kind": "allow_once"}, {"optionId": "no", "name": "No", "kind": "reject_once"}},
	}})
	m, ok := c.next()
	if !ok || m.Result.Outcome.OptionID != "yes" {
		c.tool(name, "failed")
		return
	}
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		panic(err)
	}
	c.tool(name, "completed")
}

func (c *conversation) tool(name, status string) {
	u := c.call(name)
	u["sessionUpdate"], u["status"] = "tool_call", status
	c.update(u)
}

func (c *conversation) call(name string) map[string]any {
	return map[string]any{
		"toolCallId": fmt.Sprint("tool-", c.asked, name), "title": "Write " + name, "kind": "edit",
		"locations": []map[string]string{{"path": name}}, "rawInput": map[string]string{"file_path": name},
	}
}
