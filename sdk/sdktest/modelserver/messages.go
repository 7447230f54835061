package modelserver

import (
	"encoding/json"
	"fmt"
)

// messages is Anthropic's Messages API.
type messages struct{}

func (messages) name() string { return "messages" }

func (messages) parse(body []byte) (turn, error) {
	var in struct {
		Model    string `json:"model"`
		Stream   bool   `json:"stream"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Tools []struct {
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"input_schema"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return turn{}, err
	}
	t := turn{model: in.Model, stream: in.Stream}
	for _, x := range in.Tools {
		t.tools = append(t.tools, tool{name: x.Name, props: names(x.Schema)})
	}
	for i, m := range in.Messages {
		if err := t.message(m.Role, m.Content); err != nil {
			return turn{}, fmt.Errorf("messages[%d].content: %w", i, err)
		}
	}
	return t, nil
}

// message reads one message, whose content is a text or a list of parts.
func (t *turn) message(role string, content json.RawMessage) error {
	var parts []struct {
		Type    string          `json:"type"`
		Content json.RawMessage `json:"content"`
	}
	if len(content) == 0 || content[0] != '"' {
		if err := json.Unmarshal(content, &parts); err != nil {
			return err
		}
	}
	calls := false
	for _, p := range parts {
		calls = calls || p.Type == "tool_use"
		if p.Type == "tool_result" {
			t.results = append(t.results, plain(p.Content))
		}
	}
	if role == "assistant" && !calls {
		t.texts = append(t.texts, plain(content))
	}
	return nil
}

func (messages) usage(u Usage) object {
	return object{"input_tokens": u.Input - u.CachedRead - u.CachedWrite, "cache_creation_input_tokens": u.CachedWrite,
		"cache_read_input_tokens": u.CachedRead, "output_tokens": u.Output}
}

func (messages) stop(r reply) string {
	if len(r.calls) > 0 {
		return "tool_use"
	}
	return "end_turn"
}

func (w messages) whole(r reply) any {
	content := []object{}
	if r.text != "" {
		content = append(content, object{"type": "text", "text": r.text})
	}
	for _, c := range r.calls {
		content = append(content, object{"type": "tool_use", "id": c.id, "name": c.name, "input": c.object()})
	}
	return object{"id": "msg_" + r.id, "type": "message", "role": "assistant", "model": r.model, "content": content,
		"stop_reason": w.stop(r), "stop_sequence": nil, "usage": w.usage(r.usage)}
}

func (w messages) records(r reply) []record {
	var list []record
	put := func(kind string, data object) {
		data["type"] = kind
		list = append(list, record{event: kind, data: data})
	}
	begun := w.usage(r.usage)
	begun["output_tokens"] = 1
	put("message_start", object{"message": object{"id": "msg_" + r.id, "type": "message", "role": "assistant", "model": r.model,
		"content": []any{}, "stop_reason": nil, "stop_sequence": nil, "usage": begun}})
	index := 0
	block := func(start, delta object) {
		put("content_block_start", object{"index": index, "content_block": start})
		put("content_block_delta", object{"index": index, "delta": delta})
		put("content_block_stop", object{"index": index})
		index++
	}
	if r.text != "" {
		block(object{"type": "text", "text": ""}, object{"type": "text_delta", "text": r.text})
	}
	for _, c := range r.calls {
		block(object{"type": "tool_use", "id": c.id, "name": c.name, "input": object{}},
			object{"type": "input_json_delta", "partial_json": c.args})
	}
	put("message_delta", object{"delta": object{"stop_reason": w.stop(r), "stop_sequence": nil},
		"usage": object{"output_tokens": r.usage.Output}})
	put("message_stop", object{})
	list[len(list)-1].terminal = true
	return list
}

func (messages) failure(_ int, kind, message string) any {
	return object{"type": "error", "error": object{"type": kind, "message": message}}
}
