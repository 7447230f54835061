package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Every row is a configuration with its problems. A row's text is inserted into the minimal one: "top" at
// its end, the others inside the block of that name. want is "code line:column", hint a part of the first
// problem's hint.
type bad struct {
	name, where, text string
	want              []string
	hint              string
}

// Lines of the inserted text begin at these lines of the file.
var insertAt = map[string]string{
	"top": "", "sandbox": "sandbox \"box\" {}", "executor": "  sandbox = \"box\"\n", "workspace": "  executors = [\"go\"]\n",
}

func (b bad) source() string {
	switch b.where {
	case "whole":
		return b.text
	case "top":
		return minimal + b.text
	case "sandbox":
		return strings.Replace(minimal, insertAt[b.where], "sandbox \"box\" {\n"+b.text+"\n}", 1)
	}
	return strings.Replace(minimal, insertAt[b.where], insertAt[b.where]+b.text+"\n", 1)
}

var badOnes = []bad{
	// Names of keys and blocks. F10: nothing that someone believed to be a rule is ever ignored.
	{"a misspelt key", "top", "daemon {\n  max_paralel = 2\n}\n", []string{"unknown_attribute 16:3"}, `did you mean "max_parallel"?`},
	{"an unknown policy key", "workspace", "  any_validation_fails = true", []string{"unknown_attribute 14:3"}, "keys here: "},
	{"a key with dashes for underscores", "workspace", "  max-parallel = 1", []string{"unknown_attribute 14:3"}, `did you mean "max_parallel"?`},
	{"a key of an inner block", "sandbox", "  wall = \"1m\"", []string{"unknown_attribute 4:3"}, "wall belongs in limits"},
	{"a misspelt block", "workspace", "  path {\n  }", []string{"unknown_block 14:3"}, `did you mean "paths"?`},
	{"an unknown top block", "top", "policy \"x\" {}\n", []string{"unknown_block 15:1"}, "keys here: "},
	{"a key at the top", "top", "state_dir = \"/x\"\n", []string{"unknown_attribute 15:1"}, "state_dir belongs in daemon"},
	{"a block written as a key", "top", "daemon {\n  log = \"debug\"\n}\n", []string{"unknown_attribute 16:3"}, "write it as a block: log"},
	{"a key written as a block", "workspace", "  max_parallel {\n  }", []string{"unknown_block 14:3"}, "write it with an equals sign"},
	{"a key twice", "workspace", "  base = \"other\"", []string{"duplicate_attribute 14:3"}, "keep one"},
	{"a block twice", "workspace", "  paths {}\n  paths {}", []string{"duplicate_block 15:3"}, "keep one"},
	{"two daemons", "top", "daemon {}\ndaemon {}\n", []string{"duplicate_block 16:1"}, "keep one"},
	{"a name twice", "top", "sandbox \"box\" {}\n", []string{"duplicate_block 15:9"}, "rename one"},
	{"a gate twice", "workspace", "  gate \"a\" {\n  hold = \"x\"\n  }\n  gate \"a\" {\n  hold = \"x\"\n  }", []string{"duplicate_block 17:8"}, "keep one"},
	{"no label", "top", "sandbox {}\n", []string{"invalid_label 15:9"}, "in quotes"},
	{"two labels", "top", "sandbox \"a\" \"b\" {}\n", []string{"invalid_label 15:13"}, "in quotes"},
	{"a name with capitals", "top", "sandbox \"Box\" {}\n", []string{"invalid_name 15:9"}, "lower case"},
	{"a name that climbs", "top", "sandbox \"../x\" {}\n", []string{"invalid_name 15:9"}, "lower case"},
	{"a plugin without kind", "top", "plugin \"acme\" {\n  dir = \"~/src\"\n}\n", []string{"invalid_name 15:8"}, "executor-acme"},
	{"a plugin name that is a path", "executor", "}\nexecutor \"e\" {\n  plugin = \"../e\"\n  sandbox = \"box\"", []string{"invalid_name 10:12"}, "lower case"},
	{"a missing key", "top", "executor \"e\" {\n  sandbox = \"box\"\n}\n", []string{"missing_attribute 15:1"}, `add: plugin = "..."`},
	{"two missing keys", "top", "workspace \"w\" {}\n", []string{"missing_attribute 15:1", "missing_attribute 15:1"}, "add: root"},

	// What this version does not enforce.
	{"retention", "top", "daemon {\n  retention {\n    bodies = \"1d\"\n  }\n}\n", []string{"not_supported_yet 16:3"}, "leave the block out"},
	{"a network as a key", "sandbox", "  network = \"none\"", []string{"unknown_attribute 4:3"}, "write it as a block: network"},
	{"a credential broker", "sandbox", "  credential \"x\" {\n    from_env = \"X\"\n    deliver = \"broker\"\n  }", []string{"not_supported_yet 6:15"}, "model gateway"},
	{"a back-end of another system", "sandbox", "  backend = \"seatbelt\"", []string{"not_supported_yet 4:13"}, "auto"},
	{"a runner from outside", "sandbox", "  backend = \"external\"", []string{"not_supported_yet 4:13"}, "auto"},
	{"another home", "sandbox", "  filesystem {\n    home = \"ephemeral\"\n  }", []string{"not_supported_yet 5:5"}, "private"},
	{"a toolchain by path", "sandbox", "  filesystem {\n    toolchain = [\"/opt/x\"]\n  }", []string{"not_supported_yet 5:5"}, "use read"},
	{"tmp among the files", "sandbox", "  filesystem {\n    tmp = \"1GiB\"\n  }", []string{"not_supported_yet 5:5"}, "limits"},
	{"a source", "top", "plugin \"executor-x\" {\n  dir = \"~/src\"\n  source = \"https://x\"\n}\n", []string{"not_supported_yet 17:3"}, "plugin lock"},
	{"permissions in one block", "executor", "  permissions {\n    allow = [\"read\"]\n  }", []string{"unknown_block 8:3"}, `did you mean "permission"?`},
	{"a permission without a decision", "executor", "  permission \"a\" {\n  }", []string{"missing_attribute 8:3"}, `add: decision = "allow"`},
	{"a permission that decides nothing known", "executor", "  permission \"a\" {\n    decision = \"alow\"\n  }", []string{"invalid_value 9:16"}, `did you mean "allow"?`},
	{"a permission twice", "executor", "  permission \"a\" {\n    decision = \"ask\"\n    kinds = [\"read\"]\n  }\n  permission \"a\" {\n    decision = \"ask\"\n  }", []string{"duplicate_block 12:14"}, "keep one"},
	{"a real executor in a sandbox", "workspace", "  gate \"g\" {\n    validator = \"real-executor\"\n    sandbox = \"box\"\n  }", []string{"no_effect 16:15"}, "leave it out"},
	{"a real executor that is only shown", "workspace", "  gate \"g\" {\n    validator = \"real-executor\"\n    on_fail = \"warn\"\n  }", []string{"invalid_value 16:15"}, "leave it out"},
	{"a real executor that a person may overrule", "workspace", "  gate \"g\" {\n    validator = \"real-executor\"\n    on_fail = \"hold\"\n  }", []string{"invalid_value 16:15"}, "leave it out"},
	{"a real executor with keys", "workspace", "  gate \"g\" {\n    validator = \"real-executor\"\n    config {\n      a = 1\n    }\n  }", []string{"no_effect 16:5"}, "leave it out"},
	{"an unknown kind of tool", "executor", "  permission \"a\" {\n    decision = \"ask\"\n    kinds = [\"read\", \"exec\"]\n  }", []string{"invalid_value 10:22"}, "kinds here: delete"},
	{"no kind of tool", "executor", "  permission \"a\" {\n    decision = \"ask\"\n    kinds = []\n  }", []string{"invalid_value 10:13"}, "leave it out"},
	{"a permission for absolute paths", "executor", "  permission \"a\" {\n    decision = \"deny\"\n    paths = [\"/etc/**\"]\n  }", []string{"invalid_glob 10:14"}, ""},
	{"a permission for paths that climb", "executor", "  permission \"a\" {\n    decision = \"allow\"\n    paths = [\"a/../b\"]\n  }", []string{"invalid_glob 10:14"}, ""},
	{"a permission with a broken glob", "executor", "  permission \"a\" {\n    decision = \"allow\"\n    paths = [\"[\"]\n  }", []string{"invalid_glob 10:14"}, ""},
	{"a permission that is never reached", "executor", "  permission \"a\" {\n    decision = \"ask\"\n  }\n  permission \"b\" {\n    decision = \"deny\"\n    kinds = [\"read\"]\n  }", []string{"no_effect 11:3"}, "move it up"},
	{"tokens", "workspace", "  budget {\n    tokens = 4\n  }", []string{"not_supported_yet 15:5"}, "use wall"},
	{"share", "workspace", "  share \"home\" {}", []string{"not_supported_yet 14:3"}, "nothing is shared"},
	{"relay", "top", "relay \"home\" {\n  url = \"x\"\n}\n", []string{"not_supported_yet 15:1"}, "leave the block out"},
	{"client without operations", "top", "client \"x\" {}\n", []string{"missing_attribute 15:1"}, "operations"},
	{"client of the operator's name", "top", "client \"cli\" {\n operations = [\"run.*\"]\n}\n", []string{"invalid_name 15:1"}, "everything"},
	{"client that cannot be", "top", "client \"a_b\" {\n operations = [\"run.*\"]\n}\n", []string{"invalid_name 15:1"}, "at most 32"},
	{"grant that is no pattern", "top", "client \"x\" {\n operations = [\"run.[\"]\n}\n", []string{"invalid_value 16:16"}, ""},
	{"vm", "sandbox", "  level = \"vm\"\n  on_shortfall = \"degrade\"\n  floor = \"isolated\"", []string{"not_supported_yet 4:11"}, `"strict"`},
	{"another toolchain", "sandbox", "  toolchain \"zig\" {}", []string{"not_supported_yet 4:13"}, "filesystem"},
	{"another toolchain's key", "sandbox", "  toolchain \"node\" {\n    module_cache = \"{}\"\n  }", []string{"no_effect 5:20"}, "packages"},
	{"a run without a command", "workspace", "  provision {\n    run \"a\" {}\n  }", []string{"missing_attribute 15:5"}, "command"},
	{"a run with no program", "workspace", "  provision {\n    run \"a\" {\n      command = [\"\"]\n    }\n  }", []string{"invalid_value 16:18"}, ""},
	{"a run in no sandbox", "workspace", "  provision {\n    run \"a\" {\n      command = [\"x\"]\n      sandbox = \"none\"\n    }\n  }", []string{"unknown_reference 17:17"}, ""},
	{"a run twice", "workspace", "  provision {\n    run \"a\" {\n      command = [\"x\"]\n    }\n    run \"a\" {\n      command = [\"x\"]\n    }\n  }", []string{"duplicate_block 18:9"}, "rename"},
	{"a run for longer than its sandbox", "workspace", "  provision {\n    run \"a\" {\n      command = [\"x\"]\n      sandbox = \"box\"\n      timeout = \"2h\"\n    }\n  }", []string{"no_effect 18:17"}, "limits.wall"},
	{"too many ports", "workspace", "  provision {\n    ports = 17\n  }", []string{"invalid_value 15:13"}, "from 0 to 16"},
	{"a cache without a variable", "workspace", "  cache \"a\" {}", []string{"missing_attribute 14:3"}, "variable"},
	{"a cache for PATH", "workspace", "  cache \"a\" {\n    variable = \"PATH\"\n  }", []string{"invalid_name 15:16"}, ""},
	{"a cache for the daemon's variable", "workspace", "  cache \"a\" {\n    variable = \"DRAWSPAN_X\"\n  }", []string{"invalid_name 15:16"}, ""},
	{"a cache without an end", "workspace", "  cache \"a\" {\n    variable = \"X\"\n    size = \"2TiB\"\n  }", []string{"invalid_value 16:12"}, ""},
	{"a cache of nothing", "workspace", "  cache \"a\" {\n    variable = \"X\"\n    size = \"0B\"\n  }", []string{"invalid_value 16:12"}, ""},
	{"a cache of some size", "workspace", "  cache \"a\" {\n    variable = \"X\"\n    size = \"lots\"\n  }", []string{"invalid_value 16:12"}, ""},
	{"two caches in one variable", "workspace", "  cache \"a\" {\n    variable = \"X\"\n  }\n  cache \"b\" {\n    variable = \"X\"\n  }", []string{"duplicate_attribute 18:16"}, ""},
	{"for", "top", "locals {\n  a = [for x in [1]: x]\n}\n", []string{"not_supported_yet 16:8"}, "write the elements out"},
	{"for in a template", "top", "locals {\n  a = \"%{ for x in [1] }a%{ endfor }\"\n}\n", []string{"not_supported_yet 16:11"}, "write the elements out"},

	// Values.
	{"a number in quotes", "top", "daemon {\n  max_parallel = \"4\"\n}\n", []string{"wrong_type 16:18"}, "max_parallel = 4"},
	{"a string without quotes", "sandbox", "  level = isolated", []string{"unknown_reference 4:11"}, `write it in quotes: "isolated"`},
	{"a bool in quotes", "workspace", "  gate \"a\" {\n    hold = \"x\"\n    optional = \"yes\"\n  }", []string{"wrong_type 16:16"}, ""},
	{"a number for a string", "executor", "  questions {\n    default = 1\n  }", []string{"wrong_type 9:15"}, ""},
	{"a string for a list", "workspace", "  bases = \"main\"", []string{"wrong_type 14:11"}, ""},
	{"a list with a number", "workspace", "  bases = [\"main\", 4]", []string{"wrong_type 14:20"}, ""},
	{"a list for a map", "sandbox", "  env {\n    set = [\"A\"]\n  }", []string{"wrong_type 5:11"}, "NAME"},
	{"a number in a map", "sandbox", "  env {\n    set = { A = 1 }\n  }", []string{"wrong_type 5:11"}, ""},
	{"null", "workspace", "  max_parallel = null", []string{"wrong_type 14:18"}, "leave the key out"},
	{"null in config", "executor", "  config {\n    a = null\n  }", []string{"wrong_type 9:9"}, "leave the key out"},
	{"a fraction", "top", "daemon {\n  max_parallel = 1.5\n}\n", []string{"invalid_value 16:18"}, ""},
	{"too small", "top", "daemon {\n  max_parallel = 0\n}\n", []string{"invalid_value 16:18"}, "from 1 to 256"},
	{"too large", "workspace", "  max_parallel = 99999999999999999999999", []string{"invalid_value 14:18"}, ""},
	{"no such level", "sandbox", "  level = \"isolatd\"", []string{"invalid_value 4:11"}, `did you mean "isolated"?`},
	{"a duration without unit", "workspace", "  budget {\n    wall = \"10\"\n  }", []string{"invalid_value 15:12"}, `"1h30m"`},
	{"a negative duration", "workspace", "  budget {\n    wall = \"-10m\"\n  }", []string{"invalid_value 15:12"}, ""},
	{"a duration out of range", "workspace", "  budget {\n    wall = \"8d\"\n  }", []string{"invalid_value 15:12"}, "from 1s to 7d"},
	{"a duration beyond counting", "workspace", "  budget {\n    wall = \"999999999h\"\n  }", []string{"invalid_value 15:12"}, ""},
	{"no grace at all", "top", "daemon {\n  shutdown_grace = \"0s\"\n}\n", []string{"invalid_value 16:20"}, "more than 0"},
	{"a size without unit", "sandbox", "  limits {\n    tmp = \"512\"\n  }", []string{"invalid_value 5:11"}, "MiB"},
	{"a decimal size", "sandbox", "  limits {\n    tmp = \"2GB\"\n  }", []string{"invalid_value 5:11"}, "GiB"},
	{"a size beyond counting", "sandbox", "  limits {\n    tmp = \"999999999999TiB\"\n  }", []string{"invalid_value 5:11"}, ""},
	{"an executor named twice", "workspace", "}\nworkspace \"w\" {\n  root = \"~/src/web\"\n  base = \"main\"\n  executors = [\"go\", \"go\"]", []string{"invalid_value 18:22"}, "keep one"},
	{"a program with a relative place", "executor", "  program = \"bin/agent\"", []string{"path_not_absolute 8:13"}, "/"},
	{"a program whose place climbs", "executor", "  program = \"/usr/../x\"", []string{"outside_root 8:13"}, ""},
	{"a program that is a flag", "executor", "  program = \"--help\"", []string{"invalid_name 8:13"}, "such as"},
	{"a program that is a shell line", "executor", "  program = \"agent | tee\"", []string{"invalid_name 8:13"}, "such as"},
	{"an unknown function", "workspace", "  bases = file(\"x\")", []string{"unknown_function 14:11"}, "functions: "},
	{"env() does not exist", "workspace", "  bases = [env(\"HOME\")]", []string{"unknown_function 14:12"}, "functions: "},
	{"a broken expression", "workspace", "  max_parallel = 1 / 0", []string{"invalid_expression 14:18"}, ""},
	{"a control character in a path", "top", "plugin \"executor-x\" {\n  dir = \"/a\\u0007\"\n}\n", []string{"invalid_value 16:9"}, ""},

	// Names that are used.
	{"an unknown executor", "whole", strings.Replace(minimal, `["go"]`, `["go", "og"]`, 1), []string{"unknown_reference 13:22"}, `did you mean "go"?`},
	{"an unknown sandbox", "executor", "}\nexecutor \"e\" {\n  plugin = \"x\"\n  sandbox = \"bix\"", []string{"unknown_reference 11:13"}, `did you mean "box"?`},
	{"a gate's unknown sandbox", "workspace", "  gate \"g\" {\n    validator = \"x\"\n    sandbox = \"other\"\n  }", []string{"unknown_reference 16:15"}, "sandboxes here: box"},
	{"an unknown need", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    needs = [\"tests\"]\n  }", []string{"unknown_reference 16:14"}, "declare it first"},
	{"an undeclared variable", "workspace", "  max_parallel = var.many", []string{"unknown_reference 14:18"}, "declare it first"},
	{"an undeclared local", "top", "locals {\n  abc = 1\n  b = local.abd\n}\n", []string{"unknown_reference 17:7"}, `did you mean "abc"?`},
	{"locals in a circle", "top", "locals {\n  a = local.b\n  b = local.a\n}\n", []string{"reference_cycle 17:7"}, "break the circle"},
	{"a local twice", "top", "locals {\n  a = 1\n}\nlocals {\n  a = 2\n}\n", []string{"duplicate_attribute 19:3"}, "keep one"},
	{"a block in locals", "top", "locals {\n  a {}\n}\n", []string{"unknown_block 16:3"}, ""},
	{"a variable without value", "top", "variable \"v\" {}\nlocals {\n  a = var.v\n}\n", []string{"variable_value 15:1"}, "DRAWSPAN_VAR_v"},
	{"a default of another type", "top", "variable \"v\" {\n  type = number\n  default = \"x\"\n}\n", []string{"variable_value 17:13"}, ""},
	{"a default that refers", "top", "variable \"v\" {\n  default = local.x\n}\nlocals {\n  x = 1\n}\n", []string{"unknown_reference 16:13"}, "locals"},
	{"no type", "top", "variable \"v\" {\n  type = strin\n  default = 1\n}\n", []string{"invalid_value 16:10"}, "list(string)"},
	{"no environment name", "top", "variable \"v\" {\n  from_env = \"A B\"\n  default = 1\n}\n", []string{"invalid_name 16:14"}, ""},

	// Gates.
	{"the built-in gate's name", "workspace", "  gate \"sensitive-paths\" {\n    hold = \"x\"\n  }", []string{"invalid_name 14:3"}, "filesystem { sensitive }"},
	{"nothing to decide", "workspace", "  gate \"g\" {}", []string{"empty_gate 14:3"}, "validator"},
	{"a condition alone", "workspace", "  gate \"g\" {\n    when = diff.lines > 4\n  }", []string{"empty_gate 14:3"}, "validator"},
	{"an empty hold", "workspace", "  gate \"g\" {\n    hold = \" \"\n  }", []string{"invalid_value 15:12"}, ""},
	{"a deadline of nothing", "workspace", "  gate \"g\" {\n    validator = \"x\"\n    deadline = \"1h\"\n  }", []string{"no_effect 16:16"}, "leave it out"},
	{"a default of nothing", "workspace", "  gate \"g\" {\n    validator = \"x\"\n    default = \"pass\"\n  }", []string{"no_effect 16:15"}, "leave it out"},
	{"on_fail of nothing", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    on_fail = \"warn\"\n  }", []string{"no_effect 16:15"}, "leave it out"},
	{"config of nothing", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    config {}\n  }", []string{"no_effect 16:5"}, "leave it out"},
	{"a timeout above the sandbox's", "workspace", "  gate \"g\" {\n    validator = \"x\"\n    timeout = \"31m\"\n  }", []string{"no_effect 16:15"}, "lower it"},
	{"an empty list of paths", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    paths = []\n  }", []string{"invalid_value 16:13"}, "leave it out"},
	{"a gate's glob that does not parse", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    paths = [\"a\", \"[\"]\n  }", []string{"invalid_glob 16:19"}, ""},
	{"too many retries", "workspace", "  gate \"g\" {\n    validator = \"x\"\n    retries = 6\n  }", []string{"invalid_value 16:15"}, "from 0 to 5"},
	{"retries of nothing", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    retries = 1\n  }", []string{"no_effect 16:15"}, "leave it out"},
	{"a timeout of nothing", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    timeout = \"1m\"\n  }", []string{"no_effect 16:15"}, "leave it out"},
	{"a gate's wall", "workspace", "  gate \"g\" {\n    validator = \"x\"\n    wall = \"1m\"\n  }", []string{"unknown_attribute 16:5"}, "keys here"},
	{"an error that counts for less than a fail", "workspace", "  gate \"g\" {\n    validator = \"x\"\n    on_error = \"warn\"\n  }", []string{"invalid_value 16:16"}, "closed"},
	{"an error that is waved through", "workspace", "  gate \"g\" {\n    validator = \"x\"\n    on_error = \"open\"\n  }", []string{"invalid_value 16:16"}, "closed, hold, warn"},
	{"on_error of nothing", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    on_error = \"hold\"\n  }", []string{"no_effect 16:16"}, "leave it out"},
	{"a real executor that errs open", "workspace", "  gate \"g\" {\n    validator = \"real-executor\"\n    on_error = \"hold\"\n  }", []string{"invalid_value 16:16"}, "leave it out"},
	{"a real executor that is tried again", "workspace", "  gate \"g\" {\n    validator = \"real-executor\"\n    retries = 2\n  }", []string{"no_effect 16:15"}, "leave it out"},
	{"limits with a judge of some paths", "workspace", "  paths {\n    write = [\"x\"]\n  }\n  gate \"p\" {\n    validator = \"paths\"\n    paths = [\"a\"]\n  }", []string{"unenforced_limit 15:13"}, "take optional"},
	{"a gate set that is not there", "workspace", "  gates = [\"common\"]", []string{"unknown_reference 14:12"}, "declare it first"},
	{"a condition on nothing", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    when = 1 < 2\n  }", []string{"invalid_condition 16:12"}, "touches"},
	{"a gate that needs itself", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    needs = [\"g\"]\n  }", []string{"need_cycle 16:14"}, ""},
	{"a circle of needs", "workspace", "  gate \"a\" {\n    hold = \"x\"\n    needs = [\"b\"]\n  }\n  gate \"b\" {\n    hold = \"x\"\n    needs = [\"a\"]\n  }", []string{"need_cycle 20:14"}, "take one need or condition out"},
	{"a need that may not be evaluated", "workspace", "  gate \"a\" {\n    hold = \"x\"\n    optional = true\n  }\n  gate \"b\" {\n    hold = \"x\"\n    needs = [\"a\"]\n  }", []string{"needs_optional 20:14"}, "optional too"},
	{"limits without a judge", "workspace", "  paths {\n    forbid = [\"x\"]\n  }", []string{"unenforced_limit 15:14"}, `gate "paths"`},
	{"limits with an optional judge", "workspace", "  paths {\n    write = [\"x\"]\n  }\n  gate \"p\" {\n    validator = \"paths\"\n    optional = true\n  }", []string{"unenforced_limit 15:13"}, "take optional"},
	{"limits with a judge that warns", "workspace", "  paths {\n    write = [\"x\"]\n  }\n  gate \"p\" {\n    validator = \"paths\"\n    on_fail = \"warn\"\n  }", []string{"unenforced_limit 15:13"}, "take optional"},
	{"limits with a judge that may not look", "workspace", "  paths {\n    write = [\"x\"]\n  }\n  gate \"p\" {\n    validator = \"paths\"\n    when = diff.files > 3\n  }", []string{"unenforced_limit 15:13"}, "take optional"},
	{"a condition on what no diff has", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    when = diff.line > 3\n  }", []string{"unknown_reference 16:12"}, `did you mean "lines"?`},
	{"a condition that is a number", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    when = diff.lines\n  }", []string{"invalid_condition 16:12"}, "touches"},
	{"a condition that fails on large diffs only", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    when = diff.lines > 3 && touches(diff, \"[\")\n  }", []string{"invalid_condition 16:30"}, ""},
	{"touches without diff", "workspace", "  gate \"g\" {\n    hold = \"x\"\n    when = touches(\"a\", \"b\")\n  }", []string{"invalid_condition 16:12"}, ""},
	{"nothing writable", "workspace", "  paths {\n    write = []\n  }\n  gate \"p\" {\n    validator = \"paths\"\n  }", []string{"invalid_value 15:13"}, "forbid"},
	{"a glob that does not parse", "workspace", "  paths {\n    write = [\"a\", \"[b\"]\n  }\n  gate \"p\" {\n    validator = \"paths\"\n  }", []string{"invalid_glob 15:19"}, ""},
	{"an absolute glob", "workspace", "  paths {\n    forbid = [\"/etc/**\"]\n  }\n  gate \"p\" {\n    validator = \"paths\"\n  }", []string{"invalid_glob 15:15"}, ""},
	{"a negated glob", "workspace", "  paths {\n    forbid = [\"!x\"]\n  }\n  gate \"p\" {\n    validator = \"paths\"\n  }", []string{"invalid_glob 15:15"}, ""},
	{"no ref", "whole", strings.Replace(minimal, `"main"`, `"-x"`, 1), []string{"invalid_value 12:15"}, ""},
	{"a ref with a range", "whole", strings.Replace(minimal, `"main"`, `"a..b"`, 1), []string{"invalid_value 12:15"}, ""},
	{"no glob over refs", "workspace", "  bases = [\"feature/*\", \"a b\"]", []string{"invalid_glob 14:25"}, ""},

	// Sandboxes and the daemon.
	{"no sandbox by accident", "sandbox", "  level = \"off\"", []string{"unsandboxed 4:11"}, "accept_unsandboxed"},
	{"accepted for nothing", "sandbox", "  accept_unsandboxed = true", []string{"no_effect 4:24"}, "leave it out"},
	{"degrade without floor", "sandbox", "  on_shortfall = \"degrade\"", []string{"missing_attribute 4:18"}, "floor"},
	{"a floor without degrade", "sandbox", "  floor = \"guarded\"", []string{"no_effect 4:11"}, ""},
	{"a floor that is no lower", "sandbox", "  on_shortfall = \"degrade\"\n  floor = \"strict\"", []string{"invalid_value 5:11"}, ""},
	{"off that degrades", "sandbox", "  level = \"off\"\n  accept_unsandboxed = true\n  on_shortfall = \"degrade\"", []string{"no_effect 6:18"}, ""},
	{"a variable with a bad name", "sandbox", "  env {\n    set = { \"A-B\" = \"1\" }\n  }", []string{"invalid_name 5:13"}, ""},
	{"a reserved variable", "sandbox", "  env {\n    set = { DRAWSPAN_X = \"1\" }\n  }", []string{"invalid_name 5:13"}, ""},
	{"off with a back-end", "sandbox", "  level = \"off\"\n  accept_unsandboxed = true\n  backend = \"bwrap\"", []string{"no_effect 6:13"}, "leave it out"},
	{"off with protection", "sandbox", "  level = \"off\"\n  accept_unsandboxed = true\n  filesystem {\n    protect = [\"x\"]\n  }", []string{"no_effect 7:15"}, "leave it out"},
	{"off with a proxy", "sandbox", "  level = \"off\"\n  accept_unsandboxed = true\n  network {\n    mode = \"proxy\"\n  }", []string{"no_effect 7:12"}, `"host"`},
	{"off with an allow list", "sandbox", "  level = \"off\"\n  accept_unsandboxed = true\n  network {\n    allow = [\"a.example\"]\n  }", []string{"no_effect 7:13"}, "leave it out"},
	{"a back-end that is too weak", "sandbox", "  level = \"isolated\"\n  backend = \"landlock\"", []string{"invalid_value 5:13"}, `"auto"`},
	{"a back-end below the floor", "sandbox", "  level = \"strict\"\n  on_shortfall = \"degrade\"\n  floor = \"isolated\"\n  backend = \"landlock\"", []string{"invalid_value 7:13"}, `"guarded"`},
	{"no such back-end", "sandbox", "  backend = \"docker\"", []string{"invalid_value 4:13"}, "bwrap"},
	{"no such import", "sandbox", "  git {\n    import = \"bundle\"\n  }", []string{"invalid_value 5:14"}, "pack, none"},
	{"no such treatment", "sandbox", "  filesystem {\n    sensitive = \"ignore\"\n  }", []string{"invalid_value 5:17"}, "flag, hold, deny"},
	{"memory without unit", "sandbox", "  limits {\n    memory = 4096\n  }", []string{"wrong_type 5:14"}, ""},
	{"too little memory", "sandbox", "  limits {\n    memory = \"1MiB\"\n  }", []string{"invalid_value 5:14"}, "from 16MiB"},
	{"too little disk", "sandbox", "  limits {\n    disk = \"1KiB\"\n  }", []string{"invalid_value 5:12"}, "from 1MiB"},
	{"no processor", "sandbox", "  limits {\n    cpus = 0\n  }", []string{"invalid_value 5:12"}, "from 1 to"},
	{"half a processor", "sandbox", "  limits {\n    cpus = 0.5\n  }", []string{"invalid_value 5:12"}, ""},
	{"a processor share", "sandbox", "  limits {\n    cpu = 2\n  }", []string{"unknown_attribute 5:5"}, `did you mean "cpus"?`},
	{"no processor time", "sandbox", "  limits {\n    cpu_time = \"0s\"\n  }", []string{"invalid_value 5:16"}, "from 1s"},

	// What may be reached.
	{"no such mode", "sandbox", "  network {\n    mode = \"open\"\n  }", []string{"invalid_value 5:12"}, "none, proxy, host"},
	{"a proxy for nothing", "sandbox", "  network {\n    mode = \"proxy\"\n  }", []string{"missing_attribute 5:12"}, "allow = "},
	{"a proxy for an empty list", "sandbox", "  network {\n    mode = \"proxy\"\n    allow = []\n  }", []string{"invalid_value 6:13"}, "name what"},
	{"an allow list without proxy", "sandbox", "  network {\n    allow = [\"a.example\"]\n  }", []string{"no_effect 5:13"}, `mode = "proxy"`},
	{"an allow list of the machine's network", "sandbox", "  level = \"guarded\"\n  network {\n    mode = \"host\"\n    allow = [\"a.example\"]\n  }", []string{"no_effect 7:13"}, `mode = "proxy"`},
	{"private addresses without proxy", "sandbox", "  network {\n    private_addresses = true\n  }", []string{"no_effect 5:25"}, `mode = "proxy"`},
	{"the machine's network", "sandbox", "  network {\n    mode = \"host\"\n  }", []string{"invalid_value 5:12"}, `level = "guarded"`},
	{"the machine's network at a lower floor", "sandbox", "  level = \"strict\"\n  on_shortfall = \"degrade\"\n  floor = \"guarded\"\n  network {\n    mode = \"host\"\n  }", []string{"invalid_value 8:12"}, `level = "guarded"`},
	{"one host twice", "sandbox", "  network {\n    mode = \"proxy\"\n    allow = [\"a.example\", \"a.example\"]\n  }", []string{"invalid_value 6:27"}, "keep one"},
	{"a call that never", "sandbox", "  syscalls {\n    allow = [\"ptrace\", \"mount\"]\n  }", []string{"exposes_host 5:24"}, "ptrace"},
	{"namespaces by call", "sandbox", "  syscalls {\n    allow = [\"unshare\"]\n  }", []string{"exposes_host 5:14"}, "ptrace"},
	{"keys by call", "sandbox", "  syscalls {\n    allow = [\"keyctl\"]\n  }", []string{"exposes_host 5:14"}, "ptrace"},
	{"a call that is not refused", "sandbox", "  syscalls {\n    allow = [\"read\"]\n  }", []string{"unknown_reference 5:14"}, "kcmp, process_vm_readv"},
	{"a misspelt call", "sandbox", "  syscalls {\n    allow = [\"ptrce\"]\n  }", []string{"unknown_reference 5:14"}, `did you mean "ptrace"?`},

	// What is protected.
	{"protection above", "sandbox", "  filesystem {\n    protect = [\"a\", \"../x\"]\n  }", []string{"outside_root 5:21"}, "relative"},
	{"protection of a climb", "sandbox", "  filesystem {\n    protect = [\"a/../b\"]\n  }", []string{"outside_root 5:16"}, "without .."},
	{"protection of the machine", "sandbox", "  filesystem {\n    protect = [\"/etc\"]\n  }", []string{"outside_root 5:16"}, "relative"},
	{"protection of everything", "sandbox", "  filesystem {\n    protect = [\".\"]\n  }", []string{"outside_root 5:16"}, ""},
	{"protection of nothing", "sandbox", "  filesystem {\n    protect = [\"\"]\n  }", []string{"outside_root 5:16"}, ""},
	{"protection by glob", "sandbox", "  filesystem {\n    protect = [\"*.json\"]\n  }", []string{"invalid_glob 5:16"}, "forbid"},
	{"protection with a slash", "sandbox", "  filesystem {\n    protect = [\".vscode/\"]\n  }", []string{"invalid_value 5:16"}, `write ".vscode"`},
	{"protection of git's files", "sandbox", "  filesystem {\n    protect = [\".git/config\"]\n  }", []string{"no_effect 5:16"}, "leave it out"},
	{"too much protection", "sandbox", "  filesystem {\n    protect = split(\",\", \"" + strings.Join(numbered("p", 65), ",") + "\")\n  }", []string{"too_large 5:15"}, ""},

	// What is handed in.
	{"a loader's variable", "sandbox", "  env {\n    pass = [\"LANG\", \"LD_PRELOAD\"]\n  }", []string{"invalid_name 5:21"}, "set"},
	{"the shell's start file", "sandbox", "  env {\n    pass = [\"BASH_ENV\"]\n  }", []string{"invalid_name 5:13"}, ""},
	{"git's variables", "sandbox", "  env {\n    pass = [\"GIT_DIR\"]\n  }", []string{"invalid_name 5:13"}, "git inside"},
	{"the key agent", "sandbox", "  env {\n    pass = [\"SSH_AUTH_SOCK\"]\n  }", []string{"invalid_name 5:13"}, "not reachable"},
	{"the session bus", "sandbox", "  env {\n    pass = [\"DBUS_SESSION_BUS_ADDRESS\"]\n  }", []string{"invalid_name 5:13"}, "not reachable"},
	{"the daemon's variables", "sandbox", "  env {\n    pass = [\"DRAWSPAN_TOKEN\"]\n  }", []string{"invalid_name 5:13"}, ""},
	{"the sandbox's variables", "sandbox", "  env {\n    pass = [\"PATH\"]\n  }", []string{"invalid_name 5:13"}, ""},
	{"a proxy's variable", "sandbox", "  env {\n    pass = [\"https_proxy\"]\n  }", []string{"invalid_name 5:13"}, "network"},
	{"a secret as a variable", "sandbox", "  env {\n    pass = [\"ANTHROPIC_API_KEY\"]\n  }", []string{"invalid_name 5:13"}, `credential "anthropic_api_key" { from_env = "ANTHROPIC_API_KEY" }`},
	{"variables by pattern", "sandbox", "  env {\n    pass = [\"LC_*\"]\n  }", []string{"invalid_name 5:13"}, "name each"},
	{"a variable with its value", "sandbox", "  env {\n    pass = [\"LANG=C\"]\n  }", []string{"invalid_name 5:13"}, "values go into set"},
	{"a variable set and passed", "sandbox", "  env {\n    set = { LANG = \"C\" }\n    pass = [\"LANG\"]\n  }", []string{"duplicate_attribute 6:13"}, "keep one"},
	{"a credential from nowhere", "sandbox", "  credential \"x\" {}", []string{"missing_attribute 4:3"}, "from_env"},
	{"a credential from two places", "sandbox", "  credential \"x\" {\n    from_env = \"X\"\n    from_file = \"~/nothing-there\"\n  }", []string{"duplicate_attribute 6:17"}, "keep one"},
	{"a credential twice", "sandbox", "  credential \"x\" {\n    from_env = \"X\"\n  }\n  credential \"x\" {\n    from_env = \"Y\"\n  }", []string{"duplicate_block 7:14"}, "rename"},
	{"a credential's value", "sandbox", "  credential \"x\" {\n    from_env = \"sk-1234\"\n  }", []string{"invalid_name 5:16"}, "without $"},
	{"a credential of the daemon", "sandbox", "  credential \"x\" {\n    from_env = \"DRAWSPAN_TOKEN\"\n  }", []string{"invalid_name 5:16"}, ""},
	{"a credential with a file's value", "sandbox", "  credential \"x\" {\n    value = \"v\"\n  }", []string{"missing_attribute 4:3", "unknown_attribute 5:5"}, ""},
	{"no such delivery", "sandbox", "  credential \"x\" {\n    from_env = \"X\"\n    deliver = \"argv\"\n  }", []string{"invalid_value 6:15"}, "env, file"},
	{"a credential over PATH", "sandbox", "  credential \"x\" {\n    from_env = \"X\"\n    variable = \"PATH\"\n  }", []string{"invalid_name 6:16"}, "another"},
	{"a credential for the loader", "sandbox", "  credential \"x\" {\n    from_env = \"LD_PRELOAD\"\n  }", []string{"invalid_name 4:3"}, "another"},
	{"a credential without a usable name", "sandbox", "  credential \"7up\" {\n    from_env = \"X\"\n    deliver = \"file\"\n  }", []string{"invalid_name 4:3"}, "variable = "},
	{"a credential over a set variable", "sandbox", "  env {\n    set = { X = \"1\" }\n  }\n  credential \"x\" {\n    from_env = \"X\"\n  }", []string{"duplicate_attribute 7:3"}, "another"},
	{"a credential over a passed variable", "sandbox", "  env {\n    pass = [\"X\"]\n  }\n  credential \"x\" {\n    from_env = \"X\"\n  }", []string{"duplicate_attribute 7:3"}, "another"},
	{"two credentials for one variable", "sandbox", "  credential \"a-b\" {\n    from_env = \"X\"\n  }\n  credential \"y\" {\n    from_env = \"Y\"\n    variable = \"X\"\n  }", []string{"duplicate_attribute 9:16"}, "another"},
	{"a variable for a table", "sandbox", "  credential \"x\" {\n    from_env = [\"X\"]\n  }", []string{"wrong_type 5:16"}, ""},
	{"root as the user", "top", "daemon {\n  run_as = \"root\"\n}\n", []string{"invalid_value 16:12"}, "unprivileged"},
	{"no user name", "top", "daemon {\n  run_as = \"a b\"\n}\n", []string{"invalid_name 16:12"}, ""},
	{"the version of tomorrow", "whole", "version = 2\nnonsense = 1\n", []string{"version_unsupported 1:11"}, "version = 1"},
	{"no version", "whole", strings.Replace(minimal, "version = 1\n", "\n", 1), []string{"version_unsupported 1:1"}, "version = 1"},
	{"a version with a reference", "whole", strings.Replace(minimal, "version = 1\n", "version = var.x\n", 1), []string{"version_unsupported 1:11"}, "version = 1"},
	{"half a file", "whole", "version = 1\ndaemon {\n", []string{"syntax 2:8"}, ""},
	{"two syntax errors", "whole", "version = 1\na = = 1\nb = ]\n", []string{"syntax 2:5"}, ""},
}

func numbered(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(prefix, i))
	}
	return out
}

func TestEveryBadConfigurationIsRefusedAtItsPlace(t *testing.T) {
	w := newWorld(t)
	refuseAll(t, w, badOnes)
}

func refuseAll(t *testing.T, w *world, rows []bad) {
	t.Helper()
	for _, b := range rows {
		t.Run(b.name, func(t *testing.T) {
			w.t = t
			cfg, diags := w.load(b.source())
			if cfg != nil {
				t.Errorf("a configuration with errors was returned")
			}
			if got := brief(diags); !slices.Equal(got, b.want) {
				t.Errorf("got %q, want %q in\n%s\n%s", got, b.want, b.source(), rendered(diags))
			} else if !strings.Contains(diags[0].Hint, b.hint) {
				t.Errorf("got hint %q, want %q in it", diags[0].Hint, b.hint)
			}
			for _, d := range diags {
				if d.Severity != "error" || Explain(d.Code) == "" || d.Summary == "" || d.Range.Filename != "drawspan.hcl" || d.Snippet == nil {
					t.Errorf("incomplete: %+v", d)
				}
			}
		})
	}
}

// Paths need a prepared file system; {} stands for the test's directory.
var badPaths = []bad{
	{"a relative root", "root", "src/api", []string{"path_not_absolute 11:15"}, "{}/src/api"},
	{"another's home", "root", "~someone/api", []string{"path_not_absolute 11:15"}, "whole path"},
	{"a root that is not there", "root", "~/src/none", []string{"path_missing 11:15"}, "create it"},
	{"a root that is a file", "root", "~/src/file", []string{"not_a_directory 11:15"}, ""},
	{"a root behind a symlink", "root", "~/src/link", []string{"path_is_symlink 11:15"}, "{}/home/src/api"},
	{"a root in a linked directory", "root", "{}/linked/src/api", []string{"path_is_symlink 11:15"}, "{}/home/src/api"},
	{"a root that climbs", "root", "~/src/../src/api", []string{"outside_root 11:15"}, ""},
	{"a root around the state", "root", "~", []string{"state_dir_overlap 11:15"}, "move one"},
	{"a root inside the state", "root", "~/.local/state/drawspan/x", []string{"state_dir_overlap 11:15"}, "move one"},
	{"the whole machine as a root", "root", "/", []string{"state_dir_overlap 11:15"}, "move one"},
	{"provision from above", "copy", "../web/x", []string{"outside_root 15:13"}, "relative"},
	{"provision from anywhere", "copy", "/etc/passwd", []string{"outside_root 15:13"}, "relative"},
	{"provision through a symlink", "copy", "escape", []string{"outside_root 15:13"}, "copy the file"},
	{"provision of everything", "copy", ".", []string{"outside_root 15:13"}, ""},
	{"provision of git's files", "copy", "sub/.git/config", []string{"exposes_host 15:13"}, ""},
	{"provision by glob", "copy", "*.env", []string{"invalid_glob 15:13"}, ""},
	{"linking from above", "link", "../web", []string{"outside_root 15:13"}, "relative"},
	{"linking from anywhere", "link", "/etc", []string{"outside_root 15:13"}, "relative"},
	{"linking through a symlink", "link", "escape", []string{"outside_root 15:13"}, ""},
	{"linking everything", "link", ".", []string{"outside_root 15:13"}, ""},
	{"linking git's files", "link", "sub/.git", []string{"exposes_host 15:13"}, ""},
	{"reading home", "read", "~", []string{"exposes_host 5:13"}, "directories in it"},
	{"reading what holds home", "read", "{}", []string{"exposes_host 5:13"}, "directories in it"},
	{"reading the machine", "read", "/", []string{"exposes_host 5:13"}, ""},
	{"reading processes", "read", "/proc", []string{"exposes_host 5:13"}, ""},
	{"reading the record", "read", "~/.local", []string{"state_dir_overlap 5:13"}, ""},
	{"reading a relative path", "read", "etc", []string{"path_not_absolute 5:13"}, ""},
	{"reading through a symlink", "read", "~/src/link", []string{"path_is_symlink 5:13"}, ""},
	{"reading what the sandbox has itself", "read", "/etc", []string{"invalid_value 5:13"}, ""},
	{"reading a socket", "read", "{}/home/src/socket", []string{"exposes_host 5:13"}, "leave it out"},
	{"writing to the machine", "write", "/", []string{"exposes_host 5:14"}, ""},
	{"writing to home", "write", "~", []string{"exposes_host 5:14"}, "directories in it"},
	{"writing to what holds home", "write", "{}", []string{"exposes_host 5:14"}, "directories in it"},
	{"writing to the record", "write", "~/.local/state/drawspan", []string{"state_dir_overlap 5:14"}, "move one"},
	{"writing into the record", "write", "~/.local/state/drawspan/x", []string{"state_dir_overlap 5:14"}, "move one"},
	{"writing to what holds the record", "write", "~/.local", []string{"state_dir_overlap 5:14"}, "move one"},
	{"writing to the trees", "write", "~/.local/state/drawspan/trees", []string{"state_dir_overlap 5:14"}, "move one"},
	{"writing to one tree", "write", "~/.local/state/drawspan/trees/a1", []string{"state_dir_overlap 5:14"}, "move one"},
	{"writing to the socket's directory", "write", "~/.local/state/drawspan/run", []string{"state_dir_overlap 5:14"}, "move one"},
	{"writing to the socket", "write", "~/.local/state/drawspan/run/drawspan.sock", []string{"exposes_host 5:14"}, ""},
	{"writing to a socket", "write", "{}/home/src/socket", []string{"exposes_host 5:14"}, "leave it out"},
	{"writing to a pipe", "write", "{}/home/src/pipe", []string{"exposes_host 5:14"}, "leave it out"},
	{"writing to the running system", "write", "/run", []string{"exposes_host 5:14"}, ""},
	{"writing to a device", "write", "/dev/null", []string{"exposes_host 5:14"}, ""},
	{"writing to kernel settings", "write", "/proc/sys", []string{"exposes_host 5:14"}, ""},
	{"writing to programs", "write", "/usr/lib", []string{"exposes_host 5:14"}, "of your own"},
	{"writing to the system's settings", "write", "/etc", []string{"invalid_value 5:14"}, ""},
	{"writing through a symlink", "write", "~/src/link", []string{"path_is_symlink 5:14"}, "{}/home/src/api"},
	{"writing to what climbs", "write", "~/src/../src", []string{"outside_root 5:14"}, ""},
	{"writing to what is not there", "write", "~/none", []string{"path_missing 5:14"}, ""},
	{"writing to a relative path", "write", "data", []string{"path_not_absolute 5:14"}, ""},
	{"writing to a workspace", "write", "~/src/api", []string{"repository_overlap 5:14"}, "worktree is writable"},
	{"writing into a workspace", "write", "~/src/api/sub", []string{"repository_overlap 5:14"}, "worktree is writable"},
	{"writing to what holds a workspace", "write", "~/src", []string{"repository_overlap 5:14"}, "worktree is writable"},
	{"writing to another repository", "write", "~/other/deep/dir", []string{"repository_overlap 5:14"}, "worktree is writable"},
	{"writing to git's own directory", "write", "~/other/.git/hooks", []string{"repository_overlap 5:14"}, "worktree is writable"},
	{"writing to the configuration", "write", "{}/drawspan.hcl", []string{"exposes_host 5:14"}, "without it"},
	{"writing to the lock file", "write", "{}/drawspan.lock.hcl", []string{"exposes_host 5:14"}, "leave it out"},
	{"writing to the shell's start", "write", "~/.bashrc", []string{"exposes_host 5:14"}, "only holds data"},
	{"writing to keys", "write", "~/.ssh", []string{"exposes_host 5:14"}, "only holds data"},
	{"writing to what holds git's settings", "write", "~/.config", []string{"exposes_host 5:14"}, "only holds data"},
	{"a secret in the state directory", "secret", "~/.local/state/drawspan/x/secret", []string{"state_dir_overlap 5:17"}, "move one"},
	{"a secret that will be in the state directory", "secret", "~/.local/state/drawspan/none", []string{"path_missing 5:17", "state_dir_overlap 5:17"}, ""},
	{"a secret in a workspace", "secret", "~/src/api/secret", []string{"repository_overlap 5:17"}, "out of the repository"},
	{"a secret behind a symlink", "secret", "~/linked-secret", []string{"path_is_symlink 5:17"}, ""},
	{"a secret that others read", "secret", "~/open-secret", []string{"exposes_host 5:17"}, "chmod 600"},
	{"a secret that is a directory", "secret", "~/other", []string{"invalid_value 5:17"}, "a file"},
	{"a secret of the kernel's making", "secret", "/proc/self/environ", []string{"exposes_host 5:17"}, ""},
	{"a secret that is relative", "secret", "secret", []string{"path_not_absolute 5:17"}, ""},
	{"a secret that a sandbox writes", "both", "~/other-data", []string{"exposes_host 8:17"}, "elsewhere"},
	{"a go root that is not there", "go", "/nowhere/go", []string{"path_missing 5:12"}, ""},
	{"a state directory that is relative", "state", "state", []string{"path_not_absolute 16:15"}, "{}/state"},
	{"the whole machine as state", "state", "/", []string{"state_dir_overlap 11:15", "invalid_value 16:15"}, ""},
	{"a log that is relative", "log", "drawspan.log", []string{"path_not_absolute 17:12"}, ""},
	{"a plugin directory that is not there", "plugin", "~/none", []string{"path_missing 16:9"}, ""},
}

var pathSlots = map[string]func(p string) bad{
	"root": func(p string) bad { return bad{where: "whole", text: strings.Replace(minimal, "~/src/api", p, 1)} },
	"copy": func(p string) bad {
		return bad{where: "workspace", text: "  provision {\n    copy = [\"" + p + "\"]\n  }"}
	},
	"link": func(p string) bad {
		return bad{where: "workspace", text: "  provision {\n    link = [\"" + p + "\"]\n  }"}
	},
	"read": func(p string) bad {
		return bad{where: "sandbox", text: "  filesystem {\n    read = [\"" + p + "\"]\n  }"}
	},
	"write": func(p string) bad {
		return bad{where: "sandbox", text: "  filesystem {\n    write = [\"" + p + "\"]\n  }"}
	},
	"secret": func(p string) bad {
		return bad{where: "sandbox", text: "  credential \"x\" {\n    from_file = \"" + p + "\"\n  }"}
	},
	"both": func(p string) bad {
		return bad{where: "sandbox", text: "  filesystem {\n    write = [\"" + p + "\"]\n  }\n  credential \"x\" {\n    from_file = \"" + p + "/secret\"\n  }"}
	},
	"go": func(p string) bad {
		return bad{where: "sandbox", text: "  toolchain \"go\" {\n    root = \"" + p + "\"\n  }"}
	},
	"state": func(p string) bad {
		return bad{where: "top", text: "daemon {\n  state_dir = \"" + p + "\"\n}\n"}
	},
	"log": func(p string) bad {
		return bad{where: "top", text: "daemon {\n  log {\n    file = \"" + p + "\"\n  }\n}\n"}
	},
	"plugin": func(p string) bad {
		return bad{where: "top", text: "plugin \"executor-x\" {\n  dir = \"" + p + "\"\n}\n"}
	},
}

// bindSocket makes a unix socket whatever the length of its path.
func bindSocket(t *testing.T, path string) {
	t.Helper()
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	name := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: name}); err != nil {
		t.Fatal(err)
	}
}

func TestPathsCannotLeadElsewhere(t *testing.T) {
	w := newWorld(t)
	w.write("home/src/file", "")
	w.write("home/src/api/sub/x", "")
	for _, dir := range []string{
		"home/.local/state/drawspan/x", "home/.local/state/drawspan/run", "home/.local/state/drawspan/trees/a1",
		"home/other/.git/hooks", "home/other/deep/dir", "home/.ssh", "home/.config",
	} {
		w.mkdir(dir)
	}
	for _, file := range []string{"home/.bashrc", "home/open-secret", "drawspan.lock.hcl"} {
		w.write(file, "")
	}
	for _, file := range []string{"home/.local/state/drawspan/x/secret", "home/src/api/secret", "home/secret", "home/other-data/secret"} {
		w.write(file, "")
		if err := os.Chmod(filepath.Join(w.dir, file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, socket := range []string{"home/src/socket", "home/.local/state/drawspan/run/drawspan.sock"} {
		bindSocket(t, filepath.Join(w.dir, socket))
	}
	if err := syscall.Mkfifo(filepath.Join(w.dir, "home/src/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"home/src/link": "api", "linked": "home", "home/linked-secret": "secret", "home/src/api/escape": "../web"} {
		if err := os.Symlink(to, filepath.Join(w.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range badPaths {
		t.Run(b.name, func(t *testing.T) {
			w.t = t
			text := pathSlots[b.where](strings.ReplaceAll(b.text, "{}", w.dir)).source()
			_, diags := w.load(text)
			if got := brief(diags); !slices.Equal(got, b.want) {
				t.Errorf("got %q, want %q\n%s", got, b.want, rendered(diags))
			} else if hint := strings.ReplaceAll(b.hint, "{}", w.dir); !strings.Contains(diags[0].Hint, hint) {
				t.Errorf("got hint %q, want %q in it", diags[0].Hint, hint)
			}
		})
	}
}

func TestTwoWorkspacesCannotShareARoot(t *testing.T) {
	w := newWorld(t)
	_, diags := w.load(minimal + strings.Replace(minimal[strings.Index(minimal, "workspace"):], "\"api\"", "\"again\"", 1))
	if got := brief(diags); !slices.Equal(got, []string{"shared_root 16:15"}) {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(diags[0].Detail, "drawspan.hcl:10") {
		t.Errorf("the other place is not named: %q", diags[0].Detail)
	}
}

func TestAHomeThatIsASymlinkIsTheSystemsBusiness(t *testing.T) {
	w := newWorld(t)
	if err := os.Symlink("home", filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	src := w.source()
	src.Home = filepath.Join(w.dir, "link")
	if cfg := w.mustLoad(minimal, src); cfg.Workspaces[0].Root != filepath.Join(w.home, "src/api") {
		t.Errorf("root is %s", cfg.Workspaces[0].Root)
	}
}

func TestWithoutAHomeTheDefaultsSaySo(t *testing.T) {
	w := newWorld(t)
	w.write("drawspan.hcl", minimal)
	src := w.source()
	src.Home = ""
	_, diags := Load(src)
	if got := brief(diags); !slices.Equal(got, []string{"path_not_absolute 1:1", "path_not_absolute 11:15"}) {
		t.Errorf("got %q\n%s", got, rendered(diags))
	}
}

func TestS46_OnlyLoopbackAddressesAreListenedOn(t *testing.T) {
	w := newWorld(t)
	listen := func(addr string) Diagnostics {
		_, diags := w.load(minimal + "daemon {\n  listen = \"" + addr + "\"\n}\n")
		return diags
	}
	for _, addr := range []string{"127.0.0.1:7070", "127.8.8.8:0", "[::1]:7070"} {
		if diags := listen(addr); len(diags) > 0 {
			t.Errorf("%s is refused: %s", addr, rendered(diags))
		}
	}
	for _, addr := range []string{
		"0.0.0.0:7070", "[::]:7070", ":7070", "192.168.1.4:7070", "8.8.8.8:80", "localhost:7070", "example.org:80",
		"127.0.0.1", "127.0.0.1:70700", "[::ffff:127.0.0.1]:80", "[::ffff:8.8.8.8]:80", "[::1%lo]:80", "0x7f.1:80", "127.0.0.1:7070 ",
		"169.254.1.1:80", "unix:/x", "127.1:80", "2130706433:80",
	} {
		if got := brief(listen(addr)); !slices.Equal(got, []string{"not_loopback 16:12"}) {
			t.Errorf("%s: got %q", addr, got)
		}
	}
}

func TestEveryCodeIsProvoked(t *testing.T) {
	seen := map[string]bool{
		// Provoked by tests of their own, or by the policy compiler.
		codeEncoding: true, codeTooLarge: true, codeTooMany: true, codeUnreadable: true, codeNoFiles: true, codeToolchain: true, codeHost: true, codeCommand: true,
		codeSharedRoot: true, codeNotLoopback: true, codePlugin: true,
	}
	for _, b := range append(slices.Clone(badOnes), badPaths...) {
		for _, want := range b.want {
			seen[strings.Fields(want)[0]] = true
		}
	}
	for _, c := range Codes() {
		if !seen[c] {
			t.Errorf("no test provokes %s", c)
		}
	}
}
