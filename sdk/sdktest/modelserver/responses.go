package modelserver

import (
	"encoding/json"
	"fmt"
	"strings"
)

// responses is OpenAI's Responses API.
type responses struct{}

func (responses) name() string { return "responses" }

func (responses) parse(body []byte) (turn, error) {
	var in struct {
		Model  string          `json:"model"`
		Stream bool            `json:"stream"`
		Input  json.RawMessage `json:"input"`
		Tools  []struct {
			Type       string          `json:"type"`
			Name       string          `json:"name"`
			Parameters json.RawMessage `json:"parameters"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return turn{}, err
	}
	t := turn{model: in.Model, stream: in.Stream}
	for _, x := range in.Tools {
		if x.Name != "" {
			t.tools = append(t.tools, tool{x.Name, x.Type == "custom", names(x.Parameters)})
		}
	}
	if len(in.Input) > 0 && in.Input[0] == '"' {
		return t, nil
	}
	return t, t.input(in.Input)
}

// input reads the conversation so far.
func (t *turn) input(raw json.RawMessage) error {
	var items []struct {
		Type    string          `json:"type"`
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
		Output  json.RawMessage `json:"output"`
	}
	if err := json.Unmarshal(raw, &items); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	for _, x := range items {
		switch {
		case strings.HasSuffix(x.Type, "_call_output"):
			t.results = append(t.results, plain(x.Output))
		case x.Role == "assistant":
			t.texts = append(t.texts, plain(x.Content))
		}
	}
	return nil
}

// items are the parts of the reply in their final form.
func (responses) items(r reply) []object {
	var list []object
	if r.text != "" {
		list = append(list, object{"type": "message", "id": "msg_" + r.id, "role": "assistant", "status": "completed",
			"content": []object{{"type": "output_text", "text": r.text, "annotations": []any{}}}})
	}
	for _, c := range r.calls {
		item := object{"type": "function_call", "id": "fc_" + c.id, "call_id": c.id, "name": c.name, "status": "completed", "arguments": c.args}
		if c.custom {
			item = object{"type": "custom_tool_call", "id": "ctc_" + c.id, "call_id": c.id, "name": c.name, "status": "completed", "input": c.args}
		}
		list = append(list, item)
	}
	return list
}

func (w responses) response(r reply, status string, output []object) object {
	o := object{"id": "resp_" + r.id, "object": "response", "created_at": epoch, "status": status, "model": r.model, "output": output}
	if status == "completed" {
		o["usage"] = object{"input_tokens": r.usage.Input, "input_tokens_details": object{"cached_tokens": r.usage.CachedRead},
			"output_tokens": r.usage.Output, "output_tokens_details": object{"reasoning_tokens": r.usage.Reasoning},
			"total_tokens": r.usage.Input + r.usage.Output}
	}
	return o
}

func (w responses) whole(r reply) any { return w.response(r, "completed", w.items(r)) }

// records is the long form, which clients of every make understand.
func (w responses) records(r reply) []record {
	var list []record
	put := func(kind string, data object) {
		data["type"], data["sequence_number"] = kind, len(list)
		list = append(list, record{event: kind, data: data})
	}
	items := w.items(r)
	put("response.created", object{"response": w.response(r, "in_progress", []object{})})
	for i, item := range items {
		started := object{}
		for k, v := range item {
			started[k] = v
		}
		started["status"] = "in_progress"
		at := func(more object) object {
			more["output_index"], more["item_id"] = i, item["id"]
			return more
		}
		switch item["type"] {
		case "message":
			started["content"] = []object{}
			part := object{"type": "output_text", "text": r.text, "annotations": []any{}}
			put("response.output_item.added", object{"output_index": i, "item": started})
			put("response.content_part.added", at(object{"content_index": 0, "part": object{"type": "output_text", "text": "", "annotations": []any{}}}))
			put("response.output_text.delta", at(object{"content_index": 0, "delta": r.text}))
			put("response.output_text.done", at(object{"content_index": 0, "text": r.text}))
			put("response.content_part.done", at(object{"content_index": 0, "part": part}))
		case "function_call":
			started["arguments"] = ""
			put("response.output_item.added", object{"output_index": i, "item": started})
			put("response.function_call_arguments.delta", at(object{"delta": item["arguments"]}))
			put("response.function_call_arguments.done", at(object{"arguments": item["arguments"]}))
		default:
			started["input"] = ""
			put("response.output_item.added", object{"output_index": i, "item": started})
			put("response.custom_tool_call_input.delta", at(object{"delta": item["input"]}))
			put("response.custom_tool_call_input.done", at(object{"input": item["input"]}))
		}
		put("response.output_item.done", object{"output_index": i, "item": item})
	}
	put("response.completed", object{"response": w.response(r, "completed", items)})
	list[len(list)-1].terminal = true
	return list
}

func (responses) failure(_ int, kind, message string) any {
	return object{"error": object{"message": message, "type": kind, "param": nil, "code": kind}}
}
