package config

var gateSchema = block{
	name: "gate", label: "name", many: true, doc: "A rule that every result must pass: a validator, a person, or both.",
	keys: []key{
		{name: "validator", kind: ident, doc: "Plugin that judges: `command` is the program `drawspan-validator-command`. `real-executor` is built in: it fails whatever a simulated executor (`script`, `replay`) made."},
		{name: "sandbox", kind: ident, doc: "Sandbox of the validator. Default: `default`."},
		{name: "needs", kind: idents, def: "[]", doc: "Gates of this workspace that must pass first."},
		{name: "when", kind: condition, doc: "Condition over facts; the gate passes without being evaluated where it is false. See [gates.md](gates.md#facts)."},
		{name: "paths", kind: texts, def: "[]", max: 64, doc: "Globs; the gate passes without being evaluated where no changed path matches one, and its validator is shown the changes that do. Without: all paths."},
		{name: "on_fail", kind: text, def: `"fail"`, enum: []string{"fail", "hold", "warn"}, doc: "What a validator's fail means: the step is rejected, a person decides, or it is only shown."},
		{name: "on_error", kind: text, def: `"closed"`, enum: []string{"closed", "hold", "warn"},
			doc: "What an evaluation means that could not be done, such as a validator that crashed: the step is rejected whatever on_fail says, a person decides, or it is only shown, which only `on_fail = \"warn\"` may have beside it."},
		{name: "optional", kind: boolean, def: "false", doc: "Evaluated only when a dispatch asks for it."},
		{name: "hold", kind: text, doc: "A person must allow the result; this is what they are asked."},
		{name: "deadline", kind: duration, def: `"24h"`, min: second, max: 90 * day, doc: "How long a hold waits."},
		{name: "default", kind: text, def: `"fail"`, enum: []string{"pass", "fail"}, doc: "The verdict when the deadline comes."},
		{name: "timeout", kind: duration, min: second, max: 7 * day, doc: "Time of one evaluation, below its sandbox's limits.wall. Default: that limit."},
		{name: "retries", kind: number, def: "0", min: 0, max: 5, doc: "Further evaluations after one that could not be done. A fail is never tried again."},
	},
	blocks: []block{
		{name: "config", free: true, doc: "The validator's own keys."},
	},
}

// gateSetSchema has no key that gives authority: what a set can do, a gate of a workspace can.
var gateSetSchema = block{
	name: "gates", label: "name", many: true,
	doc: "A gate set: gates that several workspaces, or the desk and CI, share. A workspace that names it has them as if they stood there.",
	keys: []key{
		{name: "file", kind: text, doc: "File that holds the gates instead, `gates.hcl` or `*.gates.hcl`: relative to this file, absolute or `~/...`. It holds gate blocks and nothing else, and has no variables or locals."},
	},
	blocks: []block{gateSchema},
}

// gateFileSchema is the file of a gate set.
var gateFileSchema = block{name: "a gate file", blocks: []block{gateSchema}}
