package config

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Setting is one key with its effective value, default or written.
type Setting struct {
	Block string // header of the block: workspace "api" gate "tests"
	Key   string // "limits.wall"
	Value any    // plain JSON value; sensitive parts are masked
	Count int64  // a number, bytes, nanoseconds, or 1 for true
	// Masked says that Value is not the whole value.
	Masked bool
	real   string // the whole value, for Same
}

// Same reports whether two settings have the same value, sensitive parts included.
func (s Setting) Same(other Setting) bool { return s.real == other.real }

// member is a block of a Config with its place in the effective configuration.
type member struct {
	place  []string
	origin *Origin
	schema *block
	dst    any
	free   json.RawMessage // the config block; nil where there is none
	rank   int             // from 1 where the order of such blocks means something
}

func (c *Config) members() []member {
	all := []member{{[]string{"daemon"}, &c.Daemon.Origin, &daemonSchema, &c.Daemon, nil, 0}}
	if c.CI.Floor != "" {
		all = append(all, member{[]string{"ci"}, &c.CI.Origin, &ciSchema, &c.CI, nil, 0})
	}
	for _, p := range c.Plugins {
		all = append(all, member{[]string{"plugin", p.Name}, &p.Origin, &pluginSchema, p, nil, 0})
	}
	for _, n := range c.Clients {
		all = append(all, member{[]string{"client", n.Name}, &n.Origin, &clientSchema, n, nil, 0})
	}
	for _, s := range c.Sandboxes {
		place := []string{"sandbox", s.Name}
		all = append(all, member{place, &s.Origin, &sandboxSchema, s, nil, 0})
		for _, t := range s.Toolchains {
			all = append(all, member{slices.Concat(place, []string{"toolchain", t.Name}), &t.Origin, &toolchainSchema, t, nil, 0})
		}
		for _, k := range s.Credentials {
			all = append(all, member{slices.Concat(place, []string{"credential", k.Name}), &k.Origin, &credentialSchema, k, nil, 0})
		}
	}
	for _, g := range c.Gateways {
		all = append(all, member{[]string{"gateway", g.Name}, &g.Origin, &gatewaySchema, g, nil, 0})
	}
	for _, e := range c.Executors {
		all = append(all, member{[]string{"executor", e.Name}, &e.Origin, &executorSchema, e, e.Config, 0})
		for i, p := range e.Permissions {
			place := []string{"executor", e.Name, "permission", p.Name}
			all = append(all, member{place: place, origin: &p.Origin, schema: &permissionSchema, dst: p, rank: i + 1})
		}
	}
	for _, s := range c.GateSets {
		all = append(all, member{[]string{"gates", s.Name}, &s.Origin, &gateSetSchema, s, nil, 0})
	}
	for _, w := range c.Workspaces {
		place := []string{"workspace", w.Name}
		all = append(all, member{place, &w.Origin, &workspaceSchema, w, nil, 0})
		for i, r := range w.Runs {
			at := slices.Concat(place, []string{"provision", "run", r.Name})
			all = append(all, member{place: at, origin: &r.Origin, schema: &runSchema, dst: r, rank: i + 1})
		}
		for _, k := range w.Caches {
			at := slices.Concat(place, []string{"cache", k.Name})
			all = append(all, member{place: at, origin: &k.Origin, schema: &cacheSchema, dst: k})
		}
		for _, g := range w.Gates {
			all = append(all, member{slices.Concat(place, []string{"gate", g.Name}), &g.Origin, &gateSchema, g, g.Config, 0})
		}
	}
	return all
}

// settings are the member's keys in the order of the schema.
func (m member) settings() []Setting {
	var out []Setting
	fields := tagged(m.dst)
	each(m.schema, "", func(dotted string, k *key) {
		f, ok := fields[dotted]
		if !ok {
			return
		}
		masked, whole := k.write(f)
		s := Setting{Block: m.origin.block, Key: dotted, Value: masked, Count: count(f), real: encode(whole)}
		out = append(out, m.mask(s))
	})
	if m.rank > 0 {
		out = append(out, Setting{Block: m.origin.block, Key: "order", Value: m.rank, Count: int64(m.rank), real: encode(m.rank)})
	}
	if m.free != nil {
		s := Setting{Block: m.origin.block, Key: "config", Value: m.free, real: string(m.free)}
		out = append(out, m.mask(s))
	}
	return out
}

func (m member) mask(s Setting) Setting {
	if v, ok := m.origin.masked[s.Key]; ok {
		s.Value, s.Masked = v, true
	}
	return s
}

func count(f reflect.Value) int64 {
	switch {
	case f.CanInt():
		return f.Int()
	case f.Kind() == reflect.Bool && f.Bool():
		return 1
	}
	return 0
}

// write is a field's value as an operator would write it: masked to show, whole to compare.
func (k *key) write(f reflect.Value) (masked, whole any) {
	switch v := f.Interface().(type) {
	case time.Duration:
		masked = durationText(v)
	case int64:
		if masked = v; k.kind == size {
			masked = sizeText(v)
		}
	case *Condition:
		if v == nil {
			return "", ""
		}
		return v.shown(true), v.shown(false)
	case []string:
		masked = append([]string{}, v...)
	default:
		masked = v
	}
	return masked, masked
}

// Meaning is Text with the values that it takes from variables and locals, sensitive ones too. Conditions of
// one meaning judge alike.
func (c *Condition) Meaning() string { return c.shown(false) }

// shown is the condition with the values that it takes from elsewhere.
func (c *Condition) shown(mask bool) string {
	s := c.Text
	for i, name := range slices.Sorted(maps.Keys(c.bound)) {
		sep := ", "
		if i == 0 {
			sep = " with "
		}
		s += sep + name + " = " + encode(shown(c.bound[name], mask))
	}
	return s
}

// Settings lists every key of every block with its effective value.
func (c *Config) Settings() []Setting {
	var out []Setting
	for _, m := range c.members() {
		out = append(out, m.settings()...)
	}
	return out
}

// Effective is the configuration in force as canonical JSON: defaults filled in, names and lists in a
// fixed order, sensitive values masked, no places. Equal text means equal meaning, up to what is masked.
func (c *Config) Effective() json.RawMessage {
	top := map[string]any{"version": c.Version}
	for _, m := range c.members() {
		into := descend(top, m.place)
		for _, s := range m.settings() {
			parts := strings.Split(s.Key, ".")
			descend(into, parts[:len(parts)-1])[parts[len(parts)-1]] = s.Value
		}
	}
	return json.RawMessage(encode(top))
}

func descend(top map[string]any, place []string) map[string]any {
	for _, name := range place {
		next, ok := top[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			top[name] = next
		}
		top = next
	}
	return top
}
