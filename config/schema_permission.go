package config

import "strings"

// toolKinds are the kinds that permission rules know: sdk.ToolKinds.
var toolKinds = []string{"read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "mcp", "subagent", "other"}

// maxPermissions bounds the rules of one executor.
const maxPermissions = 64

var permissionSchema = block{
	name: "permission", label: "name", many: true,
	doc: "A rule for what the executor asks leave for. The rules are tried in the order in which they are written and the first one that applies decides; where none does, a person is asked. They judge what the executor says that it is going to do; what it can do is the sandbox's.",
	keys: []key{
		{name: "decision", kind: text, required: true, enum: []string{"allow", "ask", "deny"},
			doc: "`allow` applies only where everything asked for is covered, `deny` and `ask` where any part is. Where it cannot be told whether a `deny` applies, a person is asked."},
		{name: "kinds", kind: texts, def: "[]", doc: "Kinds of tools, all without: `" + strings.Join(toolKinds, "`, `") + "`. What is of no known kind is `other`."},
		{name: "paths", kind: texts, def: "[]", max: 64,
			doc: "Globs over paths of the tree. With `allow`, every path of the request must be in the tree by its text alone, without `..`, and match one; a request that names no path does not match."},
		{name: "commands", kind: texts, def: "[]", max: 64,
			doc: "Command patterns, word by word: `*` in a word is any text of that word, `*` as last word any further words. With `allow`, the command must be plain words and quotes, joined by `&&`, `||`, `;` or `|` at most, and every part must match: no substitution, redirection, glob, newline or variable set before it. What runs other commands, such as `sh -c`, `env`, `sudo`, `xargs`, `find`, matches only a pattern without `*`."},
	},
}
