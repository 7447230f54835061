package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// say is a change on one line: + widens, ! needs a restart.
func say(c Change) string {
	mark := " "
	if c.Widens {
		mark = "+"
	}
	if c.Restart {
		mark += "!"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", mark, c.Op, c.Block, c.Detail))
}

func TestDiffNamesEveryChangeAndWhatItWidens(t *testing.T) {
	w := newWorld(t)
	const api, box = `workspace "api"`, `sandbox "box"`
	for _, row := range []struct{ from, to, want string }{
		{"max_parallel = 3", "max_parallel = 2", "change daemon max_parallel: 3 -> 2"},
		{"max_parallel = 3", "max_parallel = 5", "+ change daemon max_parallel: 3 -> 5"},
		{"max_parallel = 3", "max_parallel = 3\n  listen = \"127.0.0.1:1\"", "+! change daemon listen:  -> 127.0.0.1:1"},
		{"max_parallel = 3", "max_parallel = 3\n  run_as = \"nobody\"", "+! change daemon run_as:  -> nobody"},
		{"max_parallel = 3", "max_parallel = 3\n  state_dir = \"/var/lib/drawspan-test\"", "! change daemon state_dir: HOME/.local/state/drawspan -> /var/lib/drawspan-test"},
		{"max_parallel = 3", "max_parallel = 3\n  log {\n    file = \"/x\"\n  }", "! change daemon log.file:  -> /x"},
		{"max_parallel = 3", "max_parallel = 3\n  log {\n    level = \"debug\"\n  }", "change daemon log.level: info -> debug"},
		{"interrupt = \"2s\"", "interrupt = \"4s\"", "change daemon stop.interrupt: 2s -> 4s"},

		{"root      = \"~/src/api\"", "root = \"~/src/web\"", "+ change " + api + " root: HOME/src/api -> HOME/src/web"},
		{"base      = \"main\"", "base = \"dev\"", "+ change " + api + " base: main -> dev"},
		{"[\"feature/*\"]", "[\"feature/*\", \"x\"]", "+ change " + api + ` bases: ["feature/*"] -> ["feature/*","x"]`},
		{"[\"*.pem\", \".github/**\"]", "[\"*.pem\"]", "+ change " + api + ` paths.forbid: ["*.pem",".github/**"] -> ["*.pem"]`},
		{"[\"*.pem\", \".github/**\"]", "[\"*.pem\", \".github/**\", \"a\"]", "change " + api + ` paths.forbid: ["*.pem",".github/**"] -> ["*.pem",".github/**","a"]`},
		{"forbid = [", "write = [\"src/**\"]\n    forbid = [", "change " + api + ` paths.write: ["**"] -> ["src/**"]`},
		{"forbid = [", "write = [\"**\", \"a\"]\n    forbid = [", "change " + api + ` paths.write: ["**"] -> ["**","a"]`},
		{"[\".env\"]", "[\".env\", \"x\"]", "+ change " + api + ` provision.copy: [".env"] -> [".env","x"]`},
		{"[\".env\"]", "[]", "change " + api + ` provision.copy: [".env"] -> []`},
		{"[\".env\"]", "[\".env\"]\n    link = [\"node_modules\"]", "+ change " + api + ` provision.link: [] -> ["node_modules"]`},
		{"[\".env\"]", "[\".env\"]\n    ports = 2", "change " + api + " provision.ports: 0 -> 2"},
		{"[\".env\"]", "[\".env\"]\n    run \"deps\" {\n      command = [\"npm\", \"ci\"]\n    }", "+ add " + api + ` run "deps"`},
		{"  provision {", "  cache \"npm\" {\n    variable = \"npm_config_cache\"\n  }\n  provision {", "+ add " + api + ` cache "npm"`},
		{"  provision {", "  budget {\n    wall = \"2h\"\n  }\n  provision {", "+ change " + api + " budget.wall: 1h -> 2h"},
		{"  provision {", "  budget {\n    wall = \"2m\"\n  }\n  provision {", "change " + api + " budget.wall: 1h -> 2m"},
		{"  provision {", "  max_parallel = 1\n  provision {", "change " + api + " max_parallel: 0 -> 1"},

		{"  gate \"paths\" {", "  gate \"more\" {\n    hold = \"x\"\n  }\n  gate \"paths\" {", "add " + api + ` gate "more"`},
		{"  gate \"review\" {\n    when = diff.lines > 4 || diff.files > 2 || diff.binary > 0 || touches(diff, \"go.mod\")\n    hold = \"look\"\n  }", "", "+ remove " + api + ` gate "review"`},
		{"timeout   = \"5m\"", "optional = true\n    timeout = \"5m\"", "+ change " + api + ` gate "tests" optional: false -> true`},
		{"timeout   = \"5m\"", "on_fail = \"warn\"\n    timeout = \"5m\"", "+ change " + api + ` gate "tests" on_fail: fail -> warn`},
		{"timeout   = \"5m\"", "timeout = \"4m\"", "change " + api + ` gate "tests" timeout: 5m -> 4m`},
		{"timeout   = \"5m\"", "", "+ change " + api + ` gate "tests" timeout: 5m -> 0s`},
		{"timeout   = \"5m\"", "retries = 2\n    timeout = \"5m\"", "+ change " + api + ` gate "tests" retries: 0 -> 2`},
		{"timeout   = \"5m\"", "paths = [\"a\"]\n    timeout = \"5m\"", "+ change " + api + ` gate "tests" paths: [] -> ["a"]`},
		{"timeout   = \"5m\"", "on_error = \"hold\"\n    timeout = \"5m\"", "+ change " + api + ` gate "tests" on_error: closed -> hold`},
		{"\nexecutor \"fmt\"", "\ngates \"s\" {\n  gate \"x\" {\n    hold = \"x\"\n  }\n}\nexecutor \"fmt\"", `add gates "s"`},
		{"[\"go\", \"test\"]", "[\"true\"]", "+ change " + api + ` gate "tests" config: {"run":["go","test"]} -> {"run":["true"]}`},
		{"hold = \"look\"", "hold = \"look\"\n    default = \"pass\"", "+ change " + api + ` gate "review" default: fail -> pass`},
		{"hold = \"look\"", "hold = \"look\"\n    deadline = \"1h\"", "change " + api + ` gate "review" deadline: 1d -> 1h`},
		{"hold = \"look\"", "hold = \"look well\"", "change " + api + ` gate "review" hold: look -> look well`},

		{"toolchain \"go\" {}", "level = \"guarded\"\n  toolchain \"go\" {}", "+ change " + box + " level: " + level + " -> guarded"},
		{"toolchain \"go\" {}", "", "remove " + box + ` toolchain "go"`},
		{"toolchain \"go\" {}", "toolchain \"go\" {}\n  limits {\n    processes = 8\n  }", "change " + box + " limits.processes: 512 -> 8"},
		{"toolchain \"go\" {}", "toolchain \"go\" {}\n  limits {\n    tmp = \"1GiB\"\n  }", "+ change " + box + " limits.tmp: 512MiB -> 1GiB"},
		{"toolchain \"go\" {}", "toolchain \"go\" {}\n  limits {\n    memory = \"1GiB\"\n  }", "change " + box + " limits.memory: 0B -> 1GiB"},
		{"toolchain \"go\" {}", "toolchain \"go\" {}\n  network {\n    mode = \"proxy\"\n    allow = [\"a.example\"]\n  }",
			"+ change " + box + " network.mode: none -> proxy; + change " + box + ` network.allow: [] -> ["a.example"]`},
		{"toolchain \"go\" {}", "toolchain \"go\" {}\n  syscalls {\n    allow = [\"ptrace\"]\n  }", "+ change " + box + ` syscalls.allow: [] -> ["ptrace"]`},
		{"toolchain \"go\" {}", "toolchain \"go\" {}\n  credential \"c\" {\n    from_env = \"C\"\n  }", "+ add " + box + ` credential "c"`},
		{"toolchain \"go\" {}", "toolchain \"go\" {}\n  git {\n    import = \"none\"\n  }", "change " + box + " git.import: pack -> none"},
		{"CI = \"1\" }", "CI = \"1\" }\n    pass = [\"LANG\"]", "+ change " + box + ` env.pass: [] -> ["LANG"]`},
		{"[\"~/src/web\"]", "[\"~/src/web\"]\n    protect = [\"x\"]\n    sensitive = \"deny\"", "change " + box + ` filesystem.protect: [] -> ["x"]; change ` + box + " filesystem.sensitive: flag -> deny"},
		{"[\"~/src/web\"]", "[\"~/src/web\"]\n    write = [\"~/data\"]", "+ change " + box + ` filesystem.write: [] -> ["HOME/data"]`},
		{"[\"~/src/web\"]", "[]", "change " + box + ` filesystem.read: ["HOME/src/web"] -> []`},
		{"CI = \"1\"", "CI = \"2\"", "+ change " + box + ` env.set: {"CI":"1"} -> {"CI":"2"}`},

		{"plugin  = \"command\"", "plugin = \"script\"", `+ change executor "fmt" plugin: command -> script`},
		{"[\"gofmt\"]", "[\"rm\"]", `+ change executor "fmt" config: {"program":["gofmt"]} -> {"program":["rm"]}`},
		{"\nexecutor \"fmt\"", "\nexecutor \"x\" {\n  plugin = \"x\"\n  sandbox = \"box\"\n}\nexecutor \"fmt\"", `+ add executor "x"`},
		{"\nexecutor \"fmt\"", "\nplugin \"executor-x\" {\n  dir = \"~/src\"\n}\nexecutor \"fmt\"", `+ add plugin "executor-x"`},
		{"\nexecutor \"fmt\"", "\nsandbox \"x\" {\n  toolchain \"go\" {}\n}\nexecutor \"fmt\"", `add sandbox "x"`},
		{"\nworkspace \"api\"", "\nworkspace \"web\" {\n  root = \"~/src/web\"\n  base = \"m\"\n  executors = [\"fmt\"]\n  gate \"a\" {\n    hold = \"x\"\n  }\n}\nworkspace \"api\"", `+ add workspace "web"`},
	} {
		if !strings.Contains(text, row.from) {
			t.Fatalf("%q is not in the configuration", row.from)
		}
		old, next := w.load(text), w.load(strings.Replace(text, row.from, row.to, 1))
		var got []string
		for _, c := range Diff(old, next) {
			got = append(got, strings.ReplaceAll(say(c), w.home, "HOME"))
		}
		if !slices.Equal(got, strings.Split(row.want, "; ")) {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
	if same := Diff(w.load(text), w.load("# moved\n"+text)); len(same) != 0 {
		t.Errorf("nothing changed, but: %+v", same)
	}
}

// What a set holds counts where it is used: a gate that leaves a set leaves every workspace that has it.
func TestAChangeOfAGateSetIsShownWhereItCounts(t *testing.T) {
	w := newWorld(t)
	set := "gates \"s\" {\n  gate \"x\" {\n    hold = \"x\"\n    paths = [\"a\", \"b\"]\n  }\n  gate \"y\" {\n    hold = \"y\"\n  }\n}\n"
	with := strings.Replace(text, "  executors = [\"fmt\"]\n", "  executors = [\"fmt\"]\n  gates = [\"s\"]\n", 1) + set
	for name, row := range map[string]struct{ next, want string }{
		"a gate leaves the set":        {strings.Replace(with, "  gate \"y\" {\n    hold = \"y\"\n  }\n", "", 1), `+ remove workspace "api" gate "y"`},
		"a gate is narrowed":           {strings.Replace(with, "[\"a\", \"b\"]", "[\"a\"]", 1), `+ change workspace "api" gate "x" paths: ["a","b"] -> ["a"]`},
		"a gate is widened":            {strings.Replace(with, "[\"a\", \"b\"]", "[\"a\", \"b\", \"c\"]", 1), `change workspace "api" gate "x" paths: ["a","b"] -> ["a","b","c"]`},
		"a gate is for all paths":      {strings.Replace(with, "    paths = [\"a\", \"b\"]\n", "", 1), `change workspace "api" gate "x" paths: ["a","b"] -> []`},
		"the workspace leaves the set": {strings.Replace(with, "gates = [\"s\"]", "", 1), `change workspace "api" gates: ["s"] -> []; + remove workspace "api" gate "x"; + remove workspace "api" gate "y"`},
	} {
		var got []string
		for _, c := range Diff(w.load(with), w.load(row.next)) {
			got = append(got, say(c))
		}
		if strings.Join(got, "; ") != row.want {
			t.Errorf("%s: got %q, want %q", name, got, row.want)
		}
	}
}

func TestEveryKeyHasARuleOrCountsAsWidening(t *testing.T) {
	w := newWorld(t)
	// What a change of these does is not judged: it always gives something.
	unruled := []string{
		"plugin.dir", "toolchain.root", "toolchain.module_cache", "toolchain.build_cache", "toolchain.packages", "run.command", "run.sandbox", "cache.variable", "sandbox.env.set",
		"credential.from_env", "credential.from_file", "credential.deliver", "credential.variable",
		"gateway.upstream", "gateway.wire", "gateway.credential.from_env", "gateway.credential.from_file",
		"executor.plugin", "executor.sandbox", "executor.config", "workspace.root", "workspace.base",
		"gate.validator", "gate.sandbox", "gate.config", "permission.kinds", "permission.paths", "permission.commands", "permission.order",
	}
	cfg := w.load(strings.Replace(text, "\nexecutor \"fmt\"", "\nclient \"c\" {\n  operations = [\"run.*\"]\n}\nplugin \"executor-x\" {\n  dir = \"~/src\"\n}\nsandbox \"x\" {\n  credential \"c\" {\n    from_env = \"C\"\n  }\n}\n"+gatewayText+"gates \"s\" {\n  gate \"a\" {\n    hold = \"x\"\n  }\n}\n"+"executor \"fmt\"", 1))
	settings := append(cfg.Settings(), withPermission(w, "  permission \"a\" {\n    decision = \"ask\"\n  }\n").Settings()...)
	prepared := "    run \"deps\" {\n      command = [\"npm\", \"ci\"]\n    }\n  }\n  cache \"npm\" {\n    variable = \"npm_config_cache\"\n  }\n"
	settings = append(settings, w.load(strings.Replace(text, "[\".env\"]\n  }\n", "[\".env\"]\n"+prepared, 1)).Settings()...)
	seen := map[string]bool{}
	for _, s := range settings {
		name := kindOf(s.Block) + "." + s.Key
		seen[name] = true
		if _, ok := rules[name]; ok == slices.Contains(unruled, name) {
			t.Errorf("%s: rule %v", name, ok)
		}
	}
	for name := range rules {
		if !seen[name] {
			t.Errorf("rule for %s, which is no key", name)
		}
	}
	for _, name := range restarts {
		if !seen[name] {
			t.Errorf("restart for %s, which is no key", name)
		}
	}
}

func TestAChangeOfASensitiveValueIsSeenButNotShown(t *testing.T) {
	w := newWorld(t)
	secret := "variable \"s\" {\n  default = \"VALUE\"\n  sensitive = true\n}\n" + strings.Replace(text, `["gofmt"]`, `["gofmt", var.s]`, 1)
	old, next := w.load(strings.Replace(secret, "VALUE", "hunter2", 1)), w.load(strings.Replace(secret, "VALUE", "hunter3", 1))
	changes := Diff(old, next)
	if len(changes) != 1 || !changes[0].Widens || changes[0].Block != `executor "fmt"` || strings.Contains(changes[0].Detail, "hunter") || changes[0].Detail != "config: a sensitive value changed" {
		t.Errorf("got %+v", changes)
	}
	level := "variable \"s\" {\n  default = \"VALUE\"\n  sensitive = true\n}\n" + strings.Replace(text, `toolchain "go" {}`, "level = var.s", 1)
	changes = Diff(w.load(strings.Replace(level, "VALUE", "isolated", 1)), w.load(strings.Replace(level, "VALUE", "guarded", 1)))
	if len(changes) != 1 || !changes[0].Widens {
		t.Errorf("got %+v", changes)
	}
}
