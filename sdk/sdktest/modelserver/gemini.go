package modelserver

import (
	"encoding/json"
	"strings"
)

// gemini is Google's generateContent.
type gemini struct{}

func (gemini) name() string { return "gemini" }

// content is one entry of a conversation with Gemini.
type content struct {
	Role  string `json:"role"`
	Parts []struct {
		Text     string          `json:"text"`
		Call     json.RawMessage `json:"functionCall"`
		Response *struct {
			Response json.RawMessage `json:"response"`
		} `json:"functionResponse"`
	} `json:"parts"`
}

func (gemini) parse(body []byte) (turn, error) {
	var in struct {
		Contents []content `json:"contents"`
		Tools    []struct {
			Functions []struct {
				Name       string          `json:"name"`
				Parameters json.RawMessage `json:"parameters"`
				Schema     json.RawMessage `json:"parametersJsonSchema"`
			} `json:"functionDeclarations"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return turn{}, err
	}
	var t turn
	for _, group := range in.Tools {
		for _, f := range group.Functions {
			t.tools = append(t.tools, tool{name: f.Name, props: append(names(f.Parameters), names(f.Schema)...)})
		}
	}
	for _, c := range in.Contents {
		t.content(c)
	}
	return t, nil
}

func (t *turn) content(c content) {
	calls, text := false, ""
	for _, p := range c.Parts {
		calls = calls || p.Call != nil
		text += p.Text
		if p.Response != nil {
			t.results = append(t.results, string(p.Response.Response))
		}
	}
	if c.Role == "model" && !calls {
		t.texts = append(t.texts, text)
	}
}

// model reads the model and the method from a path like /v1beta/models/MODEL:streamGenerateContent.
func (gemini) model(path string) (model, method string, ok bool) {
	_, rest, ok := strings.Cut(path, "/models/")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}

func (w gemini) whole(r reply) any {
	parts := []object{}
	if r.text != "" {
		parts = append(parts, object{"text": r.text})
	}
	for _, c := range r.calls {
		parts = append(parts, object{"functionCall": object{"name": c.name, "args": c.object()}})
	}
	return object{"candidates": []object{{"index": 0, "content": object{"role": "model", "parts": parts}, "finishReason": "STOP"}},
		"usageMetadata": object{"promptTokenCount": r.usage.Input, "candidatesTokenCount": r.usage.Output,
			"totalTokenCount":         r.usage.Input + r.usage.Output + r.usage.Reasoning,
			"cachedContentTokenCount": r.usage.CachedRead, "thoughtsTokenCount": r.usage.Reasoning},
		"modelVersion": r.model, "responseId": r.id}
}

// records sends the parts first and the end apart, so that a reply can end without its end.
func (w gemini) records(r reply) []record {
	first, _ := w.whole(r).(object)
	last := object{"candidates": []object{{"index": 0, "content": object{"role": "model", "parts": []object{{"text": ""}}}, "finishReason": "STOP"}},
		"usageMetadata": first["usageMetadata"], "modelVersion": r.model, "responseId": r.id}
	candidates, _ := first["candidates"].([]object)
	delete(candidates[0], "finishReason")
	delete(first, "usageMetadata")
	return []record{{data: first}, {data: last, terminal: true}}
}

func (gemini) failure(status int, kind, message string) any {
	return object{"error": object{"code": status, "message": message, "status": strings.ToUpper(kind)}}
}
