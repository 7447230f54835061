package config

import (
	"strings"
	"time"
)

const (
	second = int64(time.Second)
	minute = int64(time.Minute)
	hour   = int64(time.Hour)
	day    = 24 * hour

	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// Names of keys and files that more than one row or check mentions.
const (
	defaultSandbox = "default"
	pathsValidator = "paths"
)

// root is the whole language.
var root = block{
	keys: []key{
		{name: "version", kind: number, required: true, doc: "Version of the language. This drawspan reads version 1."},
	},
	blocks: []block{
		daemonSchema, pluginSchema, sandboxSchema, gatewaySchema, executorSchema, gateSetSchema, workspaceSchema, ciSchema, clientSchema, variableSchema,
		{name: "locals", many: true, free: true, doc: "Named values: `local.<name>` anywhere below."},
		{name: "relay", label: "name", many: true, doc: "A relay that planners reach this machine through.",
			soon: "leave the block out; this version works on one machine"},
	},
}

var clientSchema = block{
	name: "client", label: "name", many: true,
	doc: "What a program of yours that calls itself by this name may ask of the daemon: a planner, a chat, an agent outside of a sandbox. One without a block may ask for everything but to decide approvals. `http` is the loopback port.",
	keys: []key{
		{name: "operations", kind: texts, required: true, max: 64, doc: "Globs over names of operations, as `run.*`, and no others. `approval.decide` lets it decide what waits for a person, in your place, and has to be written out."},
	},
}

var ciSchema = block{
	name: "ci", doc: "What holds for `drawspan gate run`, beside the sandboxes. May be left out.",
	keys: []key{
		{name: "floor", kind: text, enum: []string{"guarded", "isolated", "strict"},
			doc: "Lowest enforced level that is accepted where a runner cannot give a gate's own, as without user namespaces. The level that was enforced stands in every verdict. Without: none lower than the gate's sandbox asks for."},
	},
}

var daemonSchema = block{
	name: "daemon", doc: "The daemon itself. May be left out.",
	keys: []key{
		{name: "state_dir", kind: path, def: `"~/.local/state/drawspan"`,
			doc: "Where the record, artifacts, mirrors and trees are kept. Neither inside a workspace root nor around one."},
		{name: "max_parallel", kind: number, def: "4", min: 1, max: 256, doc: "Live attempts at once, over all workspaces."},
		{name: "listen", kind: text, doc: "A loopback address such as `127.0.0.1:7070` for the API and console; nothing listens on a network port without it."},
		{name: "run_as", kind: text, doc: "User that the daemon becomes when it is started as root; as root it refuses to start without."},
		{name: "shutdown_grace", kind: duration, def: `"30s"`, min: 1, max: hour, doc: "How long a stopping daemon waits for live attempts before it stops them; one that waits for a person is stopped at once."},
	},
	blocks: []block{
		{name: "log", doc: "The daemon's own log.", keys: []key{
			{name: "level", kind: text, def: `"info"`, enum: []string{"trace", "debug", "info", "warn", "error"}, doc: "Least level written."},
			{name: "format", kind: text, def: `"text"`, enum: []string{"text", "json"}, doc: "Lines for people or for programs."},
			{name: "file", kind: path, doc: "File to append to; standard error without it."},
		}},
		{name: "stop", doc: "The stop ladder: how long each rung waits. After the last one the kernel kills every process of the attempt.", keys: []key{
			{name: "protocol", kind: duration, def: `"5s"`, min: second / 10, max: 5 * minute, doc: "After asking the executor to stop."},
			{name: "interrupt", kind: duration, def: `"5s"`, min: second / 10, max: 5 * minute, doc: "After SIGINT."},
			{name: "terminate", kind: duration, def: `"5s"`, min: second / 10, max: 5 * minute, doc: "After SIGTERM."},
		}},
		{name: "retention", doc: "How long bodies and artifacts are kept.", soon: "leave the block out; everything is kept"},
	},
}

var pluginSchema = block{
	name: "plugin", label: "kind-name", many: true,
	doc: "Where a plugin's program is, when it is not beside the others: `plugin \"executor-acme\"` is the program `drawspan-executor-acme`. Its bytes are pinned by `drawspan plugin lock`.",
	keys: []key{
		{name: "dir", kind: path, required: true, doc: "Directory that holds the program."},
		{name: "source", kind: text, doc: "Address to install from.", soon: "put the program into a directory, name it with dir, and run: drawspan plugin lock"},
		{name: "version", kind: text, doc: "Version to install.", soon: "leave it out; drawspan.lock.hcl pins the exact bytes of the program"},
	},
}

// defaultLevel is the level of a sandbox that names none.
const defaultLevel = "strict"

var sandboxSchema = block{
	name: "sandbox", label: "name", many: true,
	doc: "What a process may see and use. A sandbox named `default` serves gates that name none; undeclared, it has the defaults below. Everything that gives more than the defaults is recorded with its place when the daemon starts or reloads.",
	keys: []key{
		{name: "level", kind: text, def: `"` + defaultLevel + `"`, enum: []string{"off", "guarded", "isolated", "strict", "vm"},
			doc: "Required level; an attempt below it is refused. `vm` is not supported yet."},
		{name: "on_shortfall", kind: text, def: `"refuse"`, enum: []string{"refuse", "degrade"}, doc: "What happens where the machine cannot give the level, or not a limit that is declared."},
		{name: "floor", kind: text, enum: []string{"guarded", "isolated", "strict"}, doc: "Lowest level accepted with `on_shortfall = \"degrade\"`."},
		{name: "accept_unsandboxed", kind: boolean, def: "false", doc: "Must be true for level `off`: programs then run with all of the daemon's rights."},
		{name: "backend", kind: text, def: `"auto"`, enum: []string{"auto", "native", "bwrap", "landlock", "seatbelt", "external"},
			doc: "How the sandbox is built; `auto` takes the strongest that this machine has. `landlock` gives at most level `guarded`. `seatbelt` and `external` are not supported yet."},
	},
	blocks: []block{
		toolchainSchema,
		filesystemSchema,
		{name: "git", doc: "What becomes of commits that an executor makes in its worktree.", keys: []key{
			{name: "import", kind: text, def: `"pack"`, enum: []string{"pack", "none"}, doc: "`pack` checks them and keeps them beside the result, under a ref of their own; `none` leaves them behind."},
		}},
		{name: "network", doc: "What may be reached. Without this block there is no network inside.", keys: []key{
			{name: "mode", kind: text, def: `"none"`, enum: []string{"none", "proxy", "host"}, doc: "`proxy` reaches the names of allow through the daemon's proxy and nothing else. `host` is the machine's own network, at level `guarded` or `off` only."},
			{name: "allow", kind: texts, def: "[]", max: 256, doc: "With `proxy`: `host` (port 443), `host:port`, `*.host` for every name below it, or an IP address."},
			{name: "private_addresses", kind: boolean, def: "false", doc: "With `proxy`: allowed names may be at private addresses. Loopback, link-local and metadata addresses stay refused."},
		}},
		{name: "env", doc: "The environment inside. Nothing of the daemon's is passed on by itself.", keys: []key{
			{name: "set", kind: table, def: "{}", doc: "Variables to set. Names starting with DRAWSPAN_ are reserved."},
			{name: "pass", kind: texts, def: "[]", max: 64, doc: "Names of the daemon's variables to pass on, where they are set. Not what changes how programs are loaded, what names a socket of the session, or a secret: that is a credential."},
		}},
		credentialSchema,
		{name: "syscalls", doc: "System calls that are refused inside, but may be allowed.", keys: []key{
			{name: "allow", kind: texts, def: "[]", max: 16, doc: "Any of `" + strings.Join(grantable, "`, `") + "`, for debuggers. What could open the sandbox is never allowed."},
		}},
		limitsSchema,
	},
}

var filesystemSchema = block{
	name: "filesystem", doc: "More of the host's files, and protection for files of the worktree.", keys: []key{
		{name: "read", kind: texts, def: "[]", max: 64, doc: "Absolute paths mounted read-only at the same place. Not the home directory, not the state directory."},
		{name: "write", kind: texts, def: "[]", max: 16, doc: "Absolute paths outside the worktree that are writable at the same place. Not what is refused for read, no workspace root or part of one, no configuration, nothing that runs at the next login, nothing of the system."},
		{name: "protect", kind: texts, def: "[]", max: 64, doc: "Paths of the worktree that stay read-only where they exist. `.git` always does."},
		{name: "sensitive", kind: text, def: `"flag"`, enum: []string{"flag", "hold", "deny"}, doc: "What the built-in gate does with a result that changes files which other tools execute on opening: show them, wait for a person, or reject it."},
		{name: "toolchain", kind: texts, doc: "Paths to read and execute.", soon: "use read, or toolchain \"go\" { }"},
		{name: "home", kind: text, doc: "Which home a process has.", soon: "leave it out; the home is private and thrown away"},
		{name: "tmp", kind: size, doc: "Size of /tmp.", soon: "use limits { tmp = ... }"},
	},
}

var credentialSchema = block{
	name: "credential", label: "name", many: true,
	doc: "A secret that is handed in. Its value is read when a process is launched, masked in every log, and never recorded; the record names it. Exactly one of from_env and from_file.",
	keys: []key{
		{name: "from_env", kind: text, doc: "Variable of the daemon that holds it."},
		{name: "from_file", kind: path, doc: "File that holds it, readable by its owner only; neither in the state directory, nor in a workspace, nor where a sandbox may write."},
		{name: "deliver", kind: text, def: `"env"`, enum: []string{"env", "file", "broker"}, doc: "`env` sets a variable, `file` makes a read-only file and sets the variable to its path. `broker` is not supported yet."},
		{name: "variable", kind: text, doc: "The variable inside. Default: the name in from_env, else the credential's in upper case; with `file`, the credential's in upper case with _FILE."},
	},
}

var limitsSchema = block{
	name: "limits", doc: "Upper bounds, enforced by the kernel or by the daemon. Exceeding memory, disk, cpu_time or output ends the attempt.",
	keys: []key{
		{name: "processes", kind: number, def: "512", min: 4, max: 65536, doc: "Processes and threads at once."},
		{name: "open_files", kind: number, def: "4096", min: 32, max: 1 << 20, doc: "Open files of one process."},
		{name: "file_size", kind: size, def: `"2GiB"`, min: mib, max: 1024 * gib, doc: "Size of one written file."},
		{name: "output", kind: size, def: `"64MiB"`, min: 64 * kib, max: 64 * gib, doc: "Size of an attempt's stream."},
		{name: "tmp", kind: size, def: `"512MiB"`, min: mib, max: 256 * gib, doc: "Size of the private /tmp."},
		{name: "wall", kind: duration, def: `"30m"`, min: second, max: 7 * day, doc: "Time that one process tree may run."},
		{name: "memory", kind: size, min: 16 * mib, max: 64 * 1024 * gib, doc: "Memory of all processes together. No limit of its own without."},
		{name: "disk", kind: size, min: mib, max: 1024 * 1024 * gib, doc: "What may be written below the writable directories. No limit of its own without."},
		{name: "cpus", kind: number, min: 1, max: 4096, doc: "Processors that may be used. All without."},
		{name: "cpu_time", kind: duration, min: second, max: 365 * day, doc: "Processor time of all processes together. No limit of its own without."},
	},
}

var gatewaySchema = block{
	name: "gateway", label: "name", many: true,
	doc: "A model's service, reached through the daemon: the executor calls an address on its own loopback with a key that is worth nothing, the daemon puts the real credential in. Nothing uses it unless an executor names it.",
	keys: []key{
		{name: "upstream", kind: text, required: true, doc: "`https://host[:port][/path]`, or `http://` for a loopback address; the wire's paths go below it. Redirects are not followed."},
		{name: "wire", kind: text, required: true, enum: []string{"responses", "messages", "chat", "gemini"},
			doc: "The protocol: OpenAI Responses, Anthropic Messages, Chat Completions or Gemini. Only its own methods and paths are forwarded."},
		{name: "models", kind: texts, def: "[]", max: 64, doc: "Models that may be called, `*` for any part of a name. Without: any."},
	},
	blocks: []block{
		{name: "credential", doc: "The real credential: never inside, masked everywhere. Exactly one key; without the block, none is sent.", keys: []key{
			{name: "from_env", kind: text, doc: "Variable of the daemon that holds it."},
			{name: "from_file", kind: path, doc: "File that holds it, readable by its owner only, as for a sandbox's credential."},
		}},
		{name: "budget", doc: "Upper bounds of one attempt. A call beyond one is refused, and ends the attempt as `budget_exceeded`.", keys: []key{
			{name: "calls", kind: number, min: 1, max: 1 << 40, doc: "Calls that a model answers. No bound without, as for the next two."},
			{name: "input_tokens", kind: number, min: 1, max: 1 << 40, doc: "Tokens of all requests, cached ones included."},
			{name: "output_tokens", kind: number, min: 1, max: 1 << 40, doc: "Tokens of all answers, reasoning included."},
		}},
	},
}

var executorSchema = block{
	name: "executor", label: "name", many: true, doc: "A way to perform an attempt: a plugin, its configuration and its sandbox.",
	keys: []key{
		{name: "plugin", kind: ident, required: true, doc: "Plugin: `command` is the program `drawspan-executor-command`."},
		{name: "sandbox", kind: ident, required: true, doc: "A declared sandbox."},
		{name: "gateway", kind: ident, doc: "A declared gateway, which the executor then has for its model. Needs a sandbox with a network of its own: not `mode = \"host\"`, level `off` or backend `landlock`."},
		{name: "program", kind: text, doc: "The program of this machine that the plugin drives: its name in PATH, or its place. Default: what the plugin asks for. It is pinned by `drawspan plugin lock` and shown inside, read-only."},
	},
	blocks: []block{
		{name: "config", free: true, doc: "The plugin's own keys."},
		{name: "questions", doc: "What happens with questions and permission requests of the executor.", keys: []key{
			{name: "deadline", kind: duration, def: `"10m"`, min: second, max: 30 * day, doc: "How long one waits for an answer."},
			{name: "default", kind: text, def: `"deny"`, enum: []string{"deny", "allow"}, doc: "What a permission request gets when nobody answers; a question stays unanswered."},
		}},
		permissionSchema,
	},
}

var workspaceSchema = block{
	name: "workspace", label: "name", many: true, doc: "A repository in which runs may be opened, with everything that is allowed there.",
	keys: []key{
		{name: "root", kind: path, required: true, doc: "The repository: absolute or `~/...`, an existing directory, no symlink in it, no two workspaces on one."},
		{name: "base", kind: text, required: true, doc: "Ref that a run starts from when it names none."},
		{name: "bases", kind: texts, def: "[]", doc: "Globs over refs that a run may start from. The base is always among them."},
		{name: "executors", kind: idents, def: "[]", doc: "Executors that may run here, and no others. Without any, `drawspan gate run` judges commits here and nothing is dispatched."},
		{name: "gates", kind: idents, def: "[]", max: 32, doc: "Gate sets whose gates are evaluated here, before its own ones. No two gates may have one name."},
		{name: "max_parallel", kind: number, def: "0", min: 0, max: 256, doc: "Live attempts here at once; 0 for the daemon's limit."},
	},
	blocks: []block{
		{name: "paths", doc: "Which paths a result may change. Needs a gate with `validator = \"paths\"`.", keys: []key{
			{name: "write", kind: texts, def: `["**"]`, doc: "Globs; a changed path must match one."},
			{name: "forbid", kind: texts, def: "[]", doc: "Globs; a changed path must match none."},
		}},
		provisionSchema,
		cacheSchema,
		{name: "budget", doc: "Upper bounds of one attempt.", keys: []key{
			{name: "wall", kind: duration, def: `"1h"`, min: second, max: 7 * day, doc: "Time of one attempt, gates included."},
			{name: "tokens", kind: number, doc: "Model tokens.", soon: "leave it out; use wall"},
		}},
		gateSchema,
		{name: "share", label: "relay", many: true, doc: "What planners behind a relay may do here.", soon: "leave the block out; nothing is shared"},
	},
}

var variableSchema = block{
	name: "variable", label: "name", many: true,
	doc: "A value from outside: `var.<name>`. Later wins: default, from_env, DRAWSPAN_VAR_<name>, -var-file, -var.",
	keys: []key{
		{name: "type", kind: typeName, def: "any", doc: "string, number, bool, list(string), map(string) and the like."},
		{name: "default", kind: anything, doc: "Value without another; a variable without a default must be given."},
		{name: "description", kind: text, doc: "What it is for."},
		{name: "sensitive", kind: boolean, def: "false", doc: "Keep the value out of messages, config show and the policy digest."},
		{name: "from_env", kind: text, doc: "Environment variable of the daemon to read."},
	},
}
