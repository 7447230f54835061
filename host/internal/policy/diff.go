package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/config"
)

// Change is one difference between two configurations.
type Change struct {
	Block   string // workspace "api"
	Op      string // add, change or remove
	Detail  string
	Widens  bool // gives authority that was not there
	Restart bool // takes effect at the next start only
}

// Diff lists what changes from one configuration to another: blocks in the order of the files, removed
// ones last. What is not known to be harmless counts as widening.
func Diff(old, next *config.Config) []Change {
	before, after := blocks(old), blocks(next)
	var out []Change
	for _, b := range after.order {
		was, is := before.keys[b], after.keys[b]
		if was == nil {
			if parentKnown(b, before) {
				out = append(out, added(b))
			}
			continue
		}
		for _, s := range is {
			if i := slices.IndexFunc(was, func(w config.Setting) bool { return w.Key == s.Key }); i >= 0 && !was[i].Same(s) {
				out = append(out, changed(was[i], s, is))
			}
		}
	}
	for _, b := range before.order {
		if after.keys[b] == nil && parentKnown(b, after) {
			out = append(out, removed(b))
		}
	}
	return out
}

type settings struct {
	order []string
	keys  map[string][]config.Setting
}

func blocks(c *config.Config) settings {
	out := settings{keys: map[string][]config.Setting{}}
	for _, s := range c.Settings() {
		if out.keys[s.Block] == nil {
			out.order = append(out.order, s.Block)
		}
		out.keys[s.Block] = append(out.keys[s.Block], s)
	}
	return out
}

// kindOf is the last kind in a header: "gate" of `workspace "api" gate "tests"`.
func kindOf(header string) string {
	words := strings.Fields(header)
	return words[max(len(words)-2, 0)]
}

// parentKnown reports whether the block around a nested one was there: what a new workspace contains is
// no news of its own.
func parentKnown(header string, in settings) bool {
	words := strings.Fields(header)
	if len(words) < 4 {
		return true
	}
	return in.keys[strings.Join(words[:2], " ")] != nil
}

// added: everything but a gate, and a gate set, sandbox or gateway that by itself nobody uses, gives something.
func added(b string) Change {
	kind := kindOf(b)
	return Change{Block: b, Op: "add", Widens: !slices.Contains([]string{"gate", "gates", "sandbox", "gateway"}, kind)}
}

// removed: a gate protects by being there, a permission may be one that denies, and a client without a block may
// ask for more.
func removed(b string) Change {
	return Change{Block: b, Op: "remove", Widens: slices.Contains([]string{"gate", "permission", "client"}, kindOf(b))}
}

func changed(was, is config.Setting, next []config.Setting) Change {
	detail := fmt.Sprintf("%s: %s -> %s", is.Key, plain(was.Value), plain(is.Value))
	if plain(was.Value) == plain(is.Value) {
		detail = is.Key + ": a sensitive value changed"
	}
	name := kindOf(is.Block) + "." + is.Key
	widens := true
	if judge, ok := rules[name]; ok && !was.Masked && !is.Masked {
		widens = judge(was, is, next)
	}
	return Change{Block: is.Block, Op: "change", Detail: detail, Widens: widens, Restart: slices.Contains(restarts, name)}
}

// restarts are the keys that a running daemon cannot take over.
var restarts = []string{
	"daemon.state_dir", "daemon.run_as", "daemon.listen", "daemon.log.file", "daemon.log.format",
}

// rule tells whether a change widens; next is the block after it.
type rule func(was, is config.Setting, next []config.Setting) bool

// rules say which changes of a key widen. A key without a rule always does.
var rules = map[string]rule{
	"client.operations":                 gained,
	"daemon.state_dir":                  never,
	"daemon.run_as":                     always,
	"daemon.listen":                     set,
	"daemon.max_parallel":               raised,
	"daemon.shutdown_grace":             never,
	"daemon.log.level":                  never,
	"daemon.log.format":                 never,
	"daemon.log.file":                   never,
	"daemon.stop.protocol":              never,
	"daemon.stop.interrupt":             never,
	"daemon.stop.terminate":             never,
	"workspace.bases":                   gained,
	"workspace.executors":               gained,
	"workspace.max_parallel":            raisedOrFree,
	"workspace.paths.write":             gainedGlob,
	"workspace.paths.forbid":            lost,
	"workspace.provision.copy":          gained,
	"workspace.provision.link":          gained,
	"workspace.provision.ports":         never,
	"run.timeout":                       raised,
	"run.order":                         never,
	"cache.size":                        raised,
	"workspace.budget.wall":             raised,
	"gate.needs":                        lost,
	"gate.on_fail":                      later("fail", "hold", "warn"),
	"gate.optional":                     turnedOn,
	"gate.when":                         set,
	"gate.hold":                         emptied,
	"gate.deadline":                     whenDefault("pass"),
	"gate.default":                      later("fail", "pass"),
	"gate.timeout":                      raisedOrFree,
	"gate.retries":                      raised,
	"gate.paths":                        lostOrBound,
	"gate.on_error":                     later("closed", "hold", "warn"),
	"gates.file":                        never, // what its gates are in a workspace is what counts
	"workspace.gates":                   never, // likewise
	"sandbox.level":                     later("vm", "strict", "isolated", "guarded", "off"),
	"sandbox.on_shortfall":              later("refuse", "degrade"),
	"sandbox.floor":                     later("", "strict", "isolated", "guarded"),
	"sandbox.accept_unsandboxed":        turnedOn,
	"sandbox.backend":                   later("native", "auto", "bwrap", "landlock"),
	"sandbox.filesystem.read":           gained,
	"sandbox.filesystem.write":          gained,
	"sandbox.filesystem.protect":        lost,
	"sandbox.filesystem.sensitive":      later("deny", "hold", "flag"),
	"sandbox.git.import":                later("none", "pack"),
	"sandbox.network.mode":              later("none", "proxy", "host"),
	"sandbox.network.allow":             gained,
	"sandbox.network.private_addresses": turnedOn,
	"sandbox.env.pass":                  gained,
	"sandbox.syscalls.allow":            gained,
	"sandbox.limits.memory":             raisedOrFree,
	"sandbox.limits.disk":               raisedOrFree,
	"sandbox.limits.cpus":               raisedOrFree,
	"sandbox.limits.cpu_time":           raisedOrFree,
	"sandbox.limits.processes":          raised,
	"sandbox.limits.open_files":         raised,
	"sandbox.limits.file_size":          raised,
	"sandbox.limits.output":             raised,
	"sandbox.limits.tmp":                raised,
	"sandbox.limits.wall":               raised,
	"permission.decision":               later("deny", "ask", "allow"),
	"gateway.models":                    gainedOrFree,
	"gateway.budget.calls":              raisedOrFree,
	"gateway.budget.input_tokens":       raisedOrFree,
	"gateway.budget.output_tokens":      raisedOrFree,
	"executor.gateway":                  set,
	"executor.program":                  always,
	"executor.questions.deadline":       never,
	"executor.questions.default":        later("deny", "allow"),
}

func always(_, _ config.Setting, _ []config.Setting) bool { return true }
func never(_, _ config.Setting, _ []config.Setting) bool  { return false }

func set(_, is config.Setting, _ []config.Setting) bool      { return plain(is.Value) != "" }
func emptied(_, is config.Setting, _ []config.Setting) bool  { return plain(is.Value) == "" }
func turnedOn(_, is config.Setting, _ []config.Setting) bool { return is.Count == 1 }
func raised(was, is config.Setting, _ []config.Setting) bool { return is.Count > was.Count }

// raisedOrFree: 0 is no bound of its own.
func raisedOrFree(was, is config.Setting, _ []config.Setting) bool {
	return was.Count != 0 && (is.Count == 0 || is.Count > was.Count)
}

// gained: the list has something that it did not have.
func gained(was, is config.Setting, _ []config.Setting) bool { return more(was, is) }

// gainedOrFree is gained, where the empty list admits everything.
func gainedOrFree(was, is config.Setting, _ []config.Setting) bool {
	before, _ := was.Value.([]string)
	after, _ := is.Value.([]string)
	return len(before) > 0 && (len(after) == 0 || more(was, is))
}

// gainedGlob is gained, where ** was not among the old globs already.
func gainedGlob(was, is config.Setting, next []config.Setting) bool {
	globs, _ := was.Value.([]string)
	return !slices.Contains(globs, "**") && gained(was, is, next)
}

// lost: the list no longer has something.
func lost(was, is config.Setting, _ []config.Setting) bool { return more(is, was) }

// lostOrBound is lost, where the empty list stands for everything.
func lostOrBound(was, is config.Setting, next []config.Setting) bool {
	before, ok1 := was.Value.([]string)
	after, ok2 := is.Value.([]string)
	if ok1 && ok2 && len(before) == 0 {
		return len(after) > 0
	}
	return !ok2 || len(after) > 0 && lost(was, is, next)
}

// more reports whether many has an element that few lacks. What is masked counts as different.
func more(few, many config.Setting) bool {
	a, ok1 := few.Value.([]string)
	b, ok2 := many.Value.([]string)
	return !ok1 || !ok2 || slices.ContainsFunc(b, func(s string) bool { return !slices.Contains(a, s) })
}

// later: the new value comes after the old one in an order of growing authority.
func later(order ...string) rule {
	return func(was, is config.Setting, _ []config.Setting) bool {
		return slices.Index(order, plain(is.Value)) > slices.Index(order, plain(was.Value))
	}
}

// whenDefault: the change matters where the block's default has that value.
func whenDefault(value string) rule {
	return func(_, _ config.Setting, next []config.Setting) bool {
		return slices.ContainsFunc(next, func(s config.Setting) bool { return s.Key == "default" && plain(s.Value) == value })
	}
}

// plain is a value on one line.
func plain(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
