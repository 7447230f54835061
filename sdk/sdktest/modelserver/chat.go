package modelserver

import "encoding/json"

// chat is OpenAI's Chat Completions, which many others speak too.
type chat struct{}

func (chat) name() string { return "chat" }

func (chat) parse(body []byte) (turn, error) {
	var in struct {
		Model    string `json:"model"`
		Stream   bool   `json:"stream"`
		Messages []struct {
			Role    string            `json:"role"`
			Content json.RawMessage   `json:"content"`
			Calls   []json.RawMessage `json:"tool_calls"`
		} `json:"messages"`
		Tools []struct {
			Function struct {
				Name       string          `json:"name"`
				Parameters json.RawMessage `json:"parameters"`
			} `json:"function"`
			Custom struct {
				Name string `json:"name"`
			} `json:"custom"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return turn{}, err
	}
	t := turn{model: in.Model, stream: in.Stream}
	for _, x := range in.Tools {
		t.tools = append(t.tools, tool{x.Function.Name + x.Custom.Name, x.Custom.Name != "", names(x.Function.Parameters)})
	}
	for _, m := range in.Messages {
		switch {
		case m.Role == "tool":
			t.results = append(t.results, plain(m.Content))
		case m.Role == "assistant" && len(m.Calls) == 0:
			t.texts = append(t.texts, plain(m.Content))
		}
	}
	return t, nil
}

func (chat) usage(u Usage) object {
	return object{"prompt_tokens": u.Input, "completion_tokens": u.Output, "total_tokens": u.Input + u.Output,
		"prompt_tokens_details":     object{"cached_tokens": u.CachedRead},
		"completion_tokens_details": object{"reasoning_tokens": u.Reasoning}}
}

func (chat) message(r reply) (object, string) {
	m := object{"role": "assistant", "content": nil}
	if r.text != "" {
		m["content"] = r.text
	}
	if len(r.calls) == 0 {
		return m, "stop"
	}
	var calls []object
	for i, c := range r.calls {
		if c.custom {
			calls = append(calls, object{"index": i, "id": c.id, "type": "custom", "custom": object{"name": c.name, "input": c.args}})
			continue
		}
		calls = append(calls, object{"index": i, "id": c.id, "type": "function", "function": object{"name": c.name, "arguments": c.args}})
	}
	m["tool_calls"] = calls
	return m, "tool_calls"
}

func (w chat) whole(r reply) any {
	m, finish := w.message(r)
	return object{"id": "chatcmpl-" + r.id, "object": "chat.completion", "created": epoch, "model": r.model,
		"choices": []object{{"index": 0, "message": m, "finish_reason": finish}}, "usage": w.usage(r.usage)}
}

func (w chat) records(r reply) []record {
	m, finish := w.message(r)
	chunk := func(choices []object) object {
		return object{"id": "chatcmpl-" + r.id, "object": "chat.completion.chunk", "created": epoch, "model": r.model, "choices": choices}
	}
	last := chunk([]object{})
	last["usage"] = w.usage(r.usage)
	return []record{
		{data: chunk([]object{{"index": 0, "delta": m, "finish_reason": nil}})},
		{data: chunk([]object{{"index": 0, "delta": object{}, "finish_reason": finish}}), terminal: true},
		{data: last, terminal: true},
		{data: json.RawMessage("[DONE]"), terminal: true},
	}
}

func (chat) failure(_ int, kind, message string) any {
	return object{"error": object{"message": message, "type": kind, "param": nil, "code": kind}}
}
