package modelserver

import (
	"encoding/json"
	"strings"
)

// object is a JSON object in the making.
type object = map[string]any

// tool is one that a request offers.
type tool struct {
	name   string
	custom bool // takes a text instead of a JSON object
	props  []string
}

// turn is what a request of any wire asks.
type turn struct {
	model   string
	stream  bool
	tools   []tool
	results []string // of tools, oldest first, as text
	texts   []string // what the model said without calling a tool
}

// call is one use of a tool.
type call struct {
	id, name string
	custom   bool
	args     string // JSON, or the text of a custom tool
}

// object is the arguments as a value that can be sent; those that are no object go as a text.
func (c call) object() any {
	var v object
	if json.Unmarshal([]byte(c.args), &v) != nil {
		return c.args
	}
	return v
}

// reply is what the model says, on any wire.
type reply struct {
	id, model string
	text      string
	calls     []call
	usage     Usage
}

// record is one event of a streamed reply.
type record struct {
	event    string
	data     any
	terminal bool
}

// wire is one way to talk to a model.
type wire interface {
	name() string
	parse(body []byte) (turn, error)
	records(reply) []record
	whole(reply) any
	failure(status int, kind, message string) any
}

// plain is the text of a content that is a string or a list of parts with texts.
func plain(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return string(raw)
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// names lists the properties of a JSON schema's object.
func names(schema json.RawMessage) []string {
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(schema, &s) != nil {
		return nil
	}
	list := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		list = append(list, name)
	}
	return list
}
