package httpapi

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// field is a field of a request type, which knows how to take a value.
type field struct{ api.Field }

func fieldsOf(t reflect.Type) []field {
	known := api.FieldsOf(t)
	fields := make([]field, len(known))
	for i, f := range known {
		fields[i] = field{f}
	}
	return fields
}

func (f field) refuse(at, format string, args ...any) error {
	return fault.New(fault.InvalidRequest, format, args...).At(shown(at))
}

// bindObject puts a JSON object into a struct. Every key must be a field, in its exact case, of the exact
// type; null is no type.
func bindObject(v reflect.Value, o object, path string, skip map[string]bool) error {
	fields := fieldsOf(v.Type())
	for key := range o {
		known := slices.ContainsFunc(fields, func(f field) bool { return f.Name == key })
		if !known {
			return unknown(join(path, key), fields)
		}
		if skip[key] {
			return fault.New(fault.InvalidRequest, "the field belongs to the path, not to the body").At(key)
		}
	}
	for _, f := range fields {
		at := join(path, f.Name)
		val, ok := o[f.Name]
		if !ok {
			if f.Required && !skip[f.Name] {
				return f.refuse(at, "the field is required")
			}
			continue
		}
		if err := f.bind(v.FieldByIndex(f.Index), val, at); err != nil {
			return err
		}
	}
	return nil
}

func unknown(at string, fields []field) error {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	e := fault.New(fault.InvalidRequest, "there is no such field").At(shown(at))
	if len(names) == 0 {
		return e.Fix("the request has no fields")
	}
	return e.Fix("fields are: %s", strings.Join(names, ", "))
}

// bind puts a decoded JSON value into a field.
func (f field) bind(v reflect.Value, val any, at string) error {
	switch v.Kind() {
	case reflect.String:
		s, ok := val.(string)
		if !ok {
			return f.refuse(at, "must be a string")
		}
		return f.setString(v, s, at)
	case reflect.Bool:
		b, ok := val.(bool)
		if !ok {
			return f.refuse(at, "must be true or false")
		}
		v.SetBool(b)
		return nil
	case reflect.Int, reflect.Int64:
		n, ok := val.(json.Number)
		if !ok {
			return f.refuse(at, "must be a whole number")
		}
		return f.setInt(v, n.String(), at)
	case reflect.Slice:
		list, ok := val.([]any)
		if !ok {
			return f.refuse(at, "must be a list")
		}
		return f.bindList(v, list, at)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return f.bind(v.Elem(), val, at)
	case reflect.Struct:
		o, ok := val.(object)
		if !ok {
			return f.refuse(at, "must be an object")
		}
		return bindObject(v, o, at, nil)
	}
	return fault.New(fault.Internal, "field %s has kind %v, which no request may have", at, v.Kind())
}

func (f field) bindList(v reflect.Value, list []any, at string) error {
	if len(list) > f.Rule.MaxItems {
		return f.refuse(at, "has more than %d entries", f.Rule.MaxItems)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, item := range list {
		here := at + "[" + strconv.Itoa(i) + "]"
		if item == "" {
			return f.refuse(here, "must not be empty")
		}
		if err := f.bind(v.Index(i), item, here); err != nil {
			return err
		}
	}
	return nil
}

// bindText puts a value of the path or query into a field.
func (f field) bindText(v reflect.Value, s string) error {
	switch v.Kind() {
	case reflect.String:
		return f.setString(v, s, f.Name)
	case reflect.Bool:
		if s != "true" && s != "false" {
			return f.refuse(f.Name, "must be true or false")
		}
		v.SetBool(s == "true")
		return nil
	case reflect.Int, reflect.Int64:
		return f.setInt(v, s, f.Name)
	}
	return fault.New(fault.Internal, "field %s has kind %v, which no query may have", f.Name, v.Kind())
}

func (f field) setString(v reflect.Value, s, at string) error {
	if s == "" {
		if f.Required {
			return f.refuse(at, "must not be empty")
		}
		return nil
	}
	if problem := f.Rule.Check(s); problem != "" {
		return f.refuse(at, "%s", problem)
	}
	v.SetString(s)
	return nil
}

// setInt takes the one canonical way to write a whole number.
func (f field) setInt(v reflect.Value, s, at string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != s || v.OverflowInt(n) {
		return f.refuse(at, "must be a whole number")
	}
	if problem := f.Rule.CheckNumber(n); problem != "" {
		return f.refuse(at, "%s", problem)
	}
	v.SetInt(n)
	return nil
}
