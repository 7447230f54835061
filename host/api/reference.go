package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/fault"
)

//go:embed preface.md
var preface string

// Reference is the documentation of the API as Markdown, made from the table. host/docs/api.md is this
// text; a test holds it so.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(preface)
	b.WriteString("\n## Operations at a glance\n\n| operation | request | class | scope | surfaces |\n|---|---|---|---|---|\n")
	for _, o := range table {
		request := "at the relay"
		if o.Surfaces.Has(Local) {
			request = "`" + o.Method + " " + Prefix + o.Path + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", o.Name, request, o.Class, o.Scope, o.Surfaces)
	}
	b.WriteString("\n## Operations of the daemon\n")
	seen := map[string]reflect.Type{}
	for _, o := range table {
		if o.Surfaces.Has(Local) {
			o.document(&b)
			collect(reflect.TypeOf(o.Response), seen)
			for _, f := range FieldsOf(reflect.TypeOf(o.Request)) {
				collect(f.Type, seen)
			}
		}
	}
	collect(reflect.TypeFor[ErrorBody](), seen)
	collect(reflect.TypeFor[Event](), seen)
	b.WriteString("\n## Shapes\n\nA field marked with ? may be left out.\n")
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		fmt.Fprintf(&b, "\n### %s\n\n| field | type |\n|---|---|\n", name)
		for _, f := range FieldsOf(seen[name]) {
			fmt.Fprintf(&b, "| `%s`%s | %s |\n", f.Name, mark(f), typeWords(f.Type))
		}
	}
	b.WriteString("\n## Codes\n\n| code | HTTP status | exit code |\n|---|---|---|\n")
	for _, c := range fault.Codes() {
		fmt.Fprintf(&b, "| `%s` | %d | %d |\n", c, c.HTTPStatus(), c.ExitCode())
	}
	return b.Bytes()
}

// String lists the surfaces of a set.
func (s Surface) String() string {
	var words []string
	for _, n := range []struct {
		s    Surface
		name string
	}{{Local, "local"}, {Relay, "relay"}, {MCP, "mcp"}} {
		if s.Has(n.s) {
			words = append(words, n.name)
		}
	}
	return strings.Join(words, ", ")
}

func (o Operation) document(b *bytes.Buffer) {
	answer := typeWords(reflect.TypeOf(o.Response))
	switch o.Stream {
	case StreamBytes:
		answer = "bytes"
	case StreamSSE:
		answer = "server-sent events, each an " + typeWords(reflect.TypeFor[Event]())
	}
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n`%s %s` answers %d with %s.\n", o.Name, o.Doc, o.Method, Prefix+o.Path, o.Status, answer)
	if o.MaxBody > 0 {
		fmt.Fprintf(b, "The body is at most %d KiB.\n", o.MaxBody>>10)
	}
	fields := FieldsOf(reflect.TypeOf(o.Request))
	if len(fields) == 0 {
		return
	}
	b.WriteString("\n| field | in | type | rule |\n|---|---|---|---|\n")
	for _, f := range fields {
		fmt.Fprintf(b, "| `%s`%s | %s | %s | %s |\n", f.Name, mark(f), o.In(f.Name), typeWords(f.Type), f.Rule.words())
	}
}

func mark(f Field) string {
	if f.Required {
		return ""
	}
	return " ?"
}

// words says what a rule asks for, in a table's cell.
func (r Rule) words() string {
	var w []string
	switch {
	case len(r.Enum) > 0:
		w = append(w, "one of "+strings.Join(r.Enum, ", "))
	case r.Format != "":
		w = append(w, r.wanted(), fmt.Sprintf("at most %d bytes", r.MaxLen))
	case r.Max > 0:
		w = append(w, fmt.Sprintf("%d to %d", r.Min, r.Max))
	}
	if r.MaxItems > 0 {
		w = append(w, fmt.Sprintf("at most %d entries", r.MaxItems))
	}
	return strings.ReplaceAll(strings.Join(w, "; "), "|", `\|`)
}

// collect gathers the structs that a type is made of.
func collect(t reflect.Type, seen map[string]reflect.Type) {
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice:
		collect(t.Elem(), seen)
	case t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]():
	case len(FieldsOf(t)) > 0 && seen[shapeName(t)] == nil:
		seen[shapeName(t)] = t
		for _, f := range FieldsOf(t) {
			collect(f.Type, seen)
		}
	}
}

func typeWords(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time (RFC 3339)"
	case t == reflect.TypeFor[json.RawMessage]():
		return "any JSON"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeWords(t.Elem())
	case reflect.Slice:
		return "list of " + typeWords(t.Elem())
	case reflect.Struct:
		name := shapeName(t)
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "number"
	case reflect.Int, reflect.Int64:
		return "whole number"
	}
	return t.Kind().String()
}
