package config

import (
	"fmt"
	"strings"
)

// reference is the page host/docs/config.md: every block and key of the language, made from the schema.
func reference() []byte {
	var b strings.Builder
	b.WriteString(referenceHead)
	for i := range root.blocks {
		fmt.Fprintf(&b, "- [`%s`](#%s)\n", root.blocks[i].name, root.blocks[i].name)
	}
	b.WriteString("\n")
	writeKeys(&b, &root)
	for i := range root.blocks {
		writeBlock(&b, &root.blocks[i], "", 2)
	}
	writeCodes(&b)
	return []byte(b.String())
}

const referenceHead = `# The configuration language

<!-- Made from config/schema_table.go by: go test ./config -run TestTheReferenceIsCurrent -update -->

A configuration is one or more ` + "`*.hcl` or `*.hcl.json`" + ` files. All files are one configuration: their order does
not matter, and nothing may be declared twice. A directory stands for the files in it, without ` + "`*.lock.hcl`" + `.

What is not written here does not exist: an unknown key is an error, and a key marked *not supported yet* is
refused until a version enforces it. ` + "`drawspan validate`" + ` shows every problem at once.

- **duration**: whole numbers with d, h, m, s or ms: ` + "`\"90s\"`, `\"1h30m\"`, `\"30d\"`" + `
- **size**: a whole number with B, KiB, MiB, GiB or TiB: ` + "`\"512MiB\"`" + `
- **name**: lower case letters, digits, - and _, at most 63
- **path**: absolute or starting with ` + "`~/`" + `, without ` + "`..`" + ` and without symlinks
- **glob**: over paths relative to the repository; ` + "`*`" + ` stays in one directory, ` + "`**`" + ` does not
- **glob over refs**: ` + "`*` and `?`" + ` stay in one part of a ref: ` + "`feature/*`" + ` admits feature/x and not feature/x/y
- **condition**: true or false from [facts](gates.md#facts) such as ` + "`diff.lines`, `gates.tests.verdict` and `touches(diff, \"glob\", ...)`" + `,
  with ` + "`&&`, `||`, `!`, `? :`" + ` and comparisons; it must refer to at least one

Expressions may use ` + "`var.<name>`, `local.<name>`" + ` and pure functions. There is no function that reads a file, the
environment or the network, and no ` + "`for`" + `.

`

func writeBlock(b *strings.Builder, n *block, outer string, depth int) {
	name := n.name
	if outer != "" {
		name = outer + "." + n.name
	}
	header := n.name
	if n.label != "" {
		header += ` "` + n.label + `"`
	}
	fmt.Fprintf(b, "%s %s\n\n", strings.Repeat("#", min(depth, 4)), name)
	fmt.Fprintf(b, "`%s { ... }`", header)
	if n.many && n.soon == "" {
		b.WriteString(", any number of them")
	}
	b.WriteString(". " + n.doc)
	if n.soon != "" {
		fmt.Fprintf(b, " *Not supported yet*: %s.", n.soon)
	}
	b.WriteString("\n\n")
	writeKeys(b, n)
	for i := range n.blocks {
		writeBlock(b, &n.blocks[i], name, depth+1)
	}
}

func writeKeys(b *strings.Builder, n *block) {
	if len(n.keys) == 0 {
		return
	}
	b.WriteString("| key | type | default | meaning |\n| --- | --- | --- | --- |\n")
	for i := range n.keys {
		k := &n.keys[i]
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.name, k.kind, k.defaultCell(), k.meaning())
	}
	b.WriteString("\n")
}

func (k *key) defaultCell() string {
	switch {
	case k.required:
		return "required"
	case k.def != "":
		return "`" + k.def + "`"
	}
	return ""
}

// meaning is the key's line with its bounds.
func (k *key) meaning() string {
	s := strings.ReplaceAll(k.doc, "|", "\\|")
	if len(k.enum) > 0 {
		s += " One of `" + strings.Join(k.enum, "`, `") + "`."
	}
	switch {
	case k.kind == texts && k.max != 0:
		s += fmt.Sprintf(" At most %d.", k.max)
	case k.min != 0 || k.max != 0:
		s += " " + capital(k.bound(k.max+1, "").hint) + "."
	}
	if k.soon != "" {
		s += " *Not supported yet*: " + k.soon + "."
	}
	return s
}

func writeCodes(b *strings.Builder) {
	b.WriteString("## functions\n\n`" + strings.Join(functionNames(), "`, `") + "`.\n\n")
	b.WriteString("## codes\n\nEvery problem has one of these codes; scripts may rely on them.\n\n| code | meaning |\n| --- | --- |\n")
	for _, c := range Codes() {
		fmt.Fprintf(b, "| `%s` | %s |\n", c, Explain(c))
	}
}
