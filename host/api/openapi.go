package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

// OpenAPI is the description of the local surface as an OpenAPI 3.1 document, made from the table.
// The same table makes the same bytes.
func OpenAPI(version string) ([]byte, error) {
	s, paths := shapes{}, map[string]schema{}
	for _, o := range table {
		if !o.Surfaces.Has(Local) {
			continue
		}
		p := Prefix + o.Path
		if paths[p] == nil {
			paths[p] = schema{}
		}
		paths[p][strings.ToLower(o.Method)] = s.operation(o)
	}
	failure := s.ref(reflect.TypeFor[ErrorBody]())
	data, err := json.MarshalIndent(schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "drawspan", "version": version,
			"description": "The daemon's API on the machine. Made from the operation table.",
		},
		"servers": []schema{{"url": "http://127.0.0.1", "description": "the unix socket, or the loopback port with a token"}},
		"paths":   paths,
		"components": schema{
			"schemas": s,
			"responses": schema{"Failure": schema{
				"description": "a fault: " + codeList(),
				"content":     schema{"application/json": schema{"schema": failure}},
			}},
			"securitySchemes": schema{"token": schema{"type": "http", "scheme": "bearer"}},
		},
		"security": []schema{{}, {"token": []string{}}},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode OpenAPI document: %w", err)
	}
	return append(data, '\n'), nil
}

func codeList() string {
	codes := fault.Codes()
	words := make([]string, len(codes))
	for i, c := range codes {
		words[i] = string(c)
	}
	return strings.Join(words, ", ")
}

func (s shapes) operation(o Operation) schema {
	x := schema{
		"operationId":       string(o.Name),
		"summary":           o.Doc,
		"x-drawspan-class":  string(o.Class),
		"x-drawspan-scope":  o.Scope,
		"x-drawspan-remote": o.Surfaces.Has(Relay),
		"responses": schema{
			fmt.Sprint(o.Status): schema{"description": "success", "content": s.content(o)},
			"default":            schema{"$ref": "#/components/responses/Failure"},
		},
	}
	var params []schema
	var body []Field
	for _, f := range FieldsOf(reflect.TypeOf(o.Request)) {
		switch o.In(f.Name) {
		case "body":
			body = append(body, f)
		default:
			params = append(params, schema{"name": f.Name, "in": o.In(f.Name), "required": f.Required, "schema": s.of(f.Type, f.Rule)})
		}
	}
	if o.Stream == StreamSSE {
		params = append(params, schema{"name": "Last-Event-ID", "in": "header", "schema": textSchema(rules["after"])})
	}
	if len(params) > 0 {
		x["parameters"] = params
	}
	if o.Class != Read {
		x["requestBody"] = schema{"required": true, "content": schema{"application/json": schema{"schema": s.object(body)}}}
		x["x-drawspan-max-body"] = o.MaxBody
	}
	return x
}

func (s shapes) content(o Operation) schema {
	switch o.Stream {
	case StreamBytes:
		return schema{"application/octet-stream": schema{}}
	case StreamSSE:
		return schema{"text/event-stream": schema{"itemSchema": s.of(reflect.TypeFor[Event](), Rule{})}}
	}
	return schema{"application/json": schema{"schema": s.of(reflect.TypeOf(o.Response), Rule{})}}
}
