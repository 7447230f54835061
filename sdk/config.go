package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// The types of a config attribute.
const (
	TypeString     = "string"
	TypeNumber     = "number"
	TypeBool       = "bool"
	TypeListString = "list(string)"
	TypeListNumber = "list(number)"
	TypeMapString  = "map(string)"
	TypeAny        = "any" // any JSON value; the plugin judges it
)

// AttributeTypes lists the types of a config attribute.
func AttributeTypes() []string {
	return []string{TypeString, TypeNumber, TypeBool, TypeListString, TypeListNumber, TypeMapString, TypeAny}
}

// Configurer is implemented by a plugin that judges its configuration before it is asked to work.
// Names, types and required keys have been checked against the manifest by then. A *ConfigError in
// the error names the attribute.
type Configurer interface {
	Configure(ctx context.Context, config json.RawMessage) error
}

// ConfigError says what is wrong with one attribute of a config block; an empty Attribute means the
// whole block.
type ConfigError struct {
	Attribute string
	Message   string
}

// Error is the attribute and what is wrong with it.
func (e *ConfigError) Error() string {
	if e.Attribute == "" {
		return "config: " + e.Message
	}
	return "config." + e.Attribute + ": " + e.Message
}

// CheckConfig compares a config block, as JSON, with the attributes that a manifest declares: unknown
// and missing keys and wrong types, in the order of the keys. No block is an empty block.
func CheckConfig(attributes []Attribute, config json.RawMessage) []*ConfigError {
	values, err := configValues(config)
	if err != nil {
		return []*ConfigError{{Message: err.Error()}}
	}
	var found []*ConfigError
	known := make(map[string]Attribute, len(attributes))
	for _, a := range attributes {
		known[a.Name] = a
		if _, ok := values[a.Name]; a.Required && !ok {
			found = append(found, &ConfigError{a.Name, "required, but not set"})
		}
	}
	for name, value := range values {
		a, ok := known[name]
		switch {
		case !ok:
			found = append(found, &ConfigError{name, "no such attribute"})
		case !typed(a.Type, value):
			found = append(found, &ConfigError{name, "must be a " + a.Type})
		}
	}
	slices.SortFunc(found, func(a, b *ConfigError) int {
		return bytes.Compare([]byte(a.Attribute), []byte(b.Attribute))
	})
	return found
}

// configValues is the object of a config block; null values count as not set.
func configValues(config json.RawMessage) (map[string]json.RawMessage, error) {
	values := map[string]json.RawMessage{}
	if len(config) == 0 || string(config) == "null" {
		return values, nil
	}
	if err := json.Unmarshal(config, &values); err != nil {
		return nil, fmt.Errorf("not a JSON object")
	}
	for name, value := range values {
		if string(value) == "null" {
			delete(values, name)
		}
	}
	return values, nil
}

func typed(kind string, value json.RawMessage) bool {
	switch kind {
	case TypeString:
		return decodes[string](value)
	case TypeNumber:
		return decodes[float64](value)
	case TypeBool:
		return decodes[bool](value)
	case TypeListString:
		return decodes[[]*string](value) && noNull(value)
	case TypeListNumber:
		return decodes[[]*float64](value) && noNull(value)
	case TypeMapString:
		return decodes[map[string]*string](value) && noNull(value)
	default:
		return kind == TypeAny
	}
}

func decodes[T any](value json.RawMessage) bool {
	var v T
	return json.Unmarshal(value, &v) == nil
}

// noNull refuses null elements, which encoding/json would read as zero values.
func noNull(value json.RawMessage) bool {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) != nil {
			return false
		}
		for _, v := range object {
			list = append(list, v)
		}
	}
	return !slices.ContainsFunc(list, func(v json.RawMessage) bool { return string(v) == "null" })
}
