package main

import "encoding/json"

// What is said to Claude Code.

func userMessage(text string) any {
	return map[string]any{"type": "user", "message": map[string]any{"role": "user", "content": text}}
}

func controlRequest(id, subtype string) any {
	return map[string]any{"type": "control_request", "request_id": id, "request": map[string]any{"subtype": subtype}}
}

func controlSuccess(id string, response any) any {
	return map[string]any{"type": "control_response", "response": map[string]any{
		"subtype": "success", "request_id": id, "response": response,
	}}
}

func controlError(id, message string) any {
	return map[string]any{"type": "control_response", "response": map[string]any{
		"subtype": "error", "request_id": id, "error": message,
	}}
}

func allow(input json.RawMessage) any {
	return map[string]any{"behavior": "allow", "updatedInput": input}
}

func deny(why string) any {
	return map[string]any{"behavior": "deny", "message": notAllowed + why + ". Do not try it in another way: go on without it, or stop and say what you need."}
}
