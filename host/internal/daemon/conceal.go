package daemon

import (
	"encoding/json"
	"reflect"

	"github.com/drawspan/drawspan/host/internal/artifact"
	"github.com/drawspan/drawspan/host/internal/redact"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
)

// mutations are mutations without the values of credentials: the last door before the record. What plugins
// say is masked where it comes in; this is for what the host saw of them, such as the names of files and
// hosts. Requests stay as they are: their text is the planner's, and is what gets performed.
func (v *vault) mutations(list []work.Mutation) []work.Mutation {
	exact := v.masks.Load().exact
	out := make([]work.Mutation, len(list))
	for i, m := range list {
		out[i] = concealed(exact, m)
	}
	return out
}

func concealed(exact *redact.Redactor, m work.Mutation) work.Mutation {
	switch m := m.(type) {
	case work.OpenRun, work.DispatchStep, work.CreateAttempt:
		return m
	case work.MoveStep:
		if m.Key != nil { // a follow-up: its reason is the text that gets performed
			return m
		}
	case work.KeepArtifact:
		if len(m.Artifact.Inline) > 0 {
			m.Artifact.Inline = body(exact, m.Artifact.Inline)
			if len(m.Artifact.Inline) > store.MaxInline { // little but credentials: the masks are longer
				m.Artifact.Inline, m.Artifact.Truncated = m.Artifact.Inline[:store.MaxInline], true
			}
			m.Artifact.Digest, m.Artifact.Size = artifact.Digest(m.Artifact.Inline), int64(len(m.Artifact.Inline))
		}
		return m
	}
	if masked, changed := strip(exact, reflect.ValueOf(m)); changed {
		if m, ok := masked.Interface().(work.Mutation); ok {
			return m
		}
	}
	return m
}

// body masks bytes: as JSON where they are.
func body(exact *redact.Redactor, p []byte) []byte {
	if !json.Valid(p) {
		return exact.Mask(p)
	}
	if masked := exact.JSON(p); json.Valid(masked) {
		return masked
	}
	return exact.Mask(p)
}

// strip masks every string in a value. What has to be changed is copied; the value itself stays.
func strip(exact *redact.Redactor, v reflect.Value) (reflect.Value, bool) {
	switch v.Kind() {
	case reflect.String:
		masked := exact.String(v.String())
		if masked == v.String() {
			return v, false
		}
		return reflect.ValueOf(masked).Convert(v.Type()), true
	case reflect.Pointer, reflect.Interface:
		return stripInner(exact, v)
	case reflect.Struct:
		return stripFields(exact, v)
	case reflect.Slice:
		return stripItems(exact, v)
	case reflect.Map:
		return stripMap(exact, v)
	default:
		return v, false
	}
}

func stripInner(exact *redact.Redactor, v reflect.Value) (reflect.Value, bool) {
	if v.IsNil() {
		return v, false
	}
	masked, changed := strip(exact, v.Elem())
	if !changed {
		return v, false
	}
	if v.Kind() == reflect.Interface {
		return masked, true
	}
	fresh := reflect.New(v.Type().Elem())
	fresh.Elem().Set(masked)
	return fresh, true
}

func stripFields(exact *redact.Redactor, v reflect.Value) (reflect.Value, bool) {
	var fresh reflect.Value
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() { // a time, for one
			continue
		}
		masked, changed := strip(exact, v.Field(i))
		if !changed {
			continue
		}
		if !fresh.IsValid() {
			fresh = reflect.New(v.Type()).Elem()
			fresh.Set(v)
		}
		fresh.Field(i).Set(masked)
	}
	if !fresh.IsValid() {
		return v, false
	}
	return fresh, true
}

func stripItems(exact *redact.Redactor, v reflect.Value) (reflect.Value, bool) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		masked := body(exact, v.Bytes())
		return reflect.ValueOf(masked).Convert(v.Type()), string(masked) != string(v.Bytes())
	}
	var fresh reflect.Value
	for i := range v.Len() {
		masked, changed := strip(exact, v.Index(i))
		if !changed {
			continue
		}
		if !fresh.IsValid() {
			fresh = reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(fresh, v)
		}
		fresh.Index(i).Set(masked)
	}
	if !fresh.IsValid() {
		return v, false
	}
	return fresh, true
}

func stripMap(exact *redact.Redactor, v reflect.Value) (reflect.Value, bool) {
	changed := false
	fresh := reflect.MakeMap(v.Type())
	for key, item := range v.Seq2() {
		maskedKey, one := strip(exact, key)
		maskedItem, other := strip(exact, item)
		changed = changed || one || other
		fresh.SetMapIndex(maskedKey, maskedItem)
	}
	if !changed {
		return v, false
	}
	return fresh, true
}
