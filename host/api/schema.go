package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Field is a field of a request or answer as it is documented.
type Field struct {
	Name     string
	Type     reflect.Type
	Index    []int // for reflect.Value.FieldByIndex
	Required bool
	Rule     Rule
	Ruled    bool
}

// FieldsOf lists the fields of a shape in the order of its declaration, those of embedded shapes
// included. A field of an embedded shape takes the rule of the outer one.
func FieldsOf(t reflect.Type) []Field {
	var fields []Field
	for _, f := range reflect.VisibleFields(t) {
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" || name == "-" {
			continue
		}
		x := Field{Name: name, Type: f.Type, Index: f.Index, Required: !slices.Contains(strings.Split(opts, ","), "omitempty")}
		x.Rule, x.Ruled = RuleOf(t, name)
		fields = append(fields, x)
	}
	return fields
}

// shapeName is the name of a shape: Run, or RunList for List[Run].
func shapeName(t reflect.Type) string {
	name, of, generic := strings.Cut(t.Name(), "[")
	if !generic {
		return name
	}
	of = strings.TrimSuffix(of, "]")
	return of[strings.LastIndex(of, ".")+1:] + name
}

type schema map[string]any

// shapes collects the schemas of named shapes.
type shapes map[string]schema

// of is the schema of a type; named structs become references.
func (s shapes) of(t reflect.Type, r Rule) schema {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return schema{"description": "any JSON"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem(), r)
	case reflect.Slice:
		list := schema{"type": "array", "items": s.of(t.Elem(), r)}
		if r.MaxItems > 0 {
			list["maxItems"] = r.MaxItems
		}
		return list
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		n := schema{"type": "integer", "format": "int64"}
		if r.Max > 0 {
			n["minimum"], n["maximum"] = r.Min, r.Max
		}
		return n
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Struct:
		return s.ref(t)
	}
	return textSchema(r)
}

func textSchema(r Rule) schema {
	x := schema{"type": "string"}
	if len(r.Enum) > 0 {
		x["enum"] = r.Enum
	}
	if r.MaxLen > 0 {
		x["maxLength"] = r.MaxLen
		x["description"] = r.wanted()
	}
	if p := r.pattern(); p != "" {
		x["pattern"] = p
	}
	return x
}

// ref puts a struct's schema among the shapes and returns the reference to it.
func (s shapes) ref(t reflect.Type) schema {
	name := shapeName(t)
	if _, ok := s[name]; !ok {
		s[name] = schema{} // a shape that contains itself ends here
		s[name] = s.object(FieldsOf(t))
	}
	return schema{"$ref": "#/components/schemas/" + name}
}

func (s shapes) object(fields []Field) schema {
	props, required := schema{}, []string{}
	for _, f := range fields {
		props[f.Name] = s.of(f.Type, f.Rule)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	o := schema{"type": "object", "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}
