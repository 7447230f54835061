package config

var toolchainSchema = block{
	name: "toolchain", label: "name", many: true,
	doc: "A preset of read-only paths and variables: `go`, `node`, `python` or `rust`, found on this machine, read and executed inside, never written.",
	keys: []key{
		{name: "root", kind: path, doc: "Directory that holds the tool's `bin`. Default: where the first `go`, `node`, `python3` or `rustc` in PATH belongs. For `python` it may be a virtual environment."},
		{name: "module_cache", kind: path, doc: "`go`: module cache, mounted read-only. Default: GOMODCACHE, else `~/go/pkg/mod`."},
		{name: "build_cache", kind: path, doc: "`go`: build cache, mounted with a throw-away layer. Default: GOCACHE, else `~/.cache/go-build`."},
		{name: "packages", kind: path, doc: "Packages to install from without network. `node`: npm's cache, `~/.npm` without. `python`: a directory of wheels. `rust`: cargo's home, of which only registry and git are shown; CARGO_HOME or `~/.cargo` without."},
	},
}

var provisionSchema = block{
	name: "provision", doc: "What a tree gets besides the files of its commit, before an executor starts and again before validators judge. Nothing of it is ever part of a result.",
	keys: []key{
		{name: "copy", kind: texts, def: "[]", doc: "Files, by paths relative to the root, copied into every tree."},
		{name: "link", kind: texts, def: "[]", max: 16, doc: "Directories of the root, such as `node_modules`, that are shown read-only at the same place of every tree. Needs sandboxes with a view of their own, not backend `landlock` or level `off`."},
		{name: "ports", kind: number, def: "0", min: 0, max: 16, doc: "Port numbers that no other live attempt has, in DRAWSPAN_PORT_1 and up."},
	},
	blocks: []block{runSchema},
}

var runSchema = block{
	name: "run", label: "name", many: true,
	doc: "A command that prepares a tree, in its directory, in the order of the file. What it makes is no part of a result; a file of the commit it must leave alone. A failure ends the attempt as `infra_error`.",
	keys: []key{
		{name: "command", kind: argv, required: true, max: 256, doc: "Program and arguments. No shell reads them."},
		{name: "sandbox", kind: ident, doc: "Sandbox of the command. Default: `default`."},
		{name: "timeout", kind: duration, def: `"10m"`, min: second, max: day, doc: "Time of the command."},
	},
}

var cacheSchema = block{
	name: "cache", label: "name", many: true,
	doc: "A directory for packages that outlives attempts, kept in the state directory for this workspace alone and seen as `/cache/<name>`. Only a `run` that prepares a tree for an executor writes to it; everything else has a throw-away layer over it.",
	keys: []key{
		{name: "variable", kind: text, required: true, doc: "Variable that tells the tool where it is, such as `npm_config_cache`."},
		{name: "size", kind: size, def: `"4GiB"`, min: mib, max: 1024 * gib, doc: "What it may keep. One that holds more is emptied before it is filled again; a `run` that fills it with twice as much is ended."},
	},
}
