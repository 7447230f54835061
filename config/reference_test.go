package config

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	file := filepath.Join("..", "host", "docs", "config.md")
	if *update {
		if err := os.WriteFile(file, reference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, reference()) {
		t.Error("host/docs/config.md is stale; run: go test ./config -run TestTheReferenceIsCurrent -update")
	}
}

func TestTheReferenceNamesEverything(t *testing.T) {
	page := string(reference())
	var visit func(b *block, outer string)
	visit = func(b *block, outer string) {
		name := strings.TrimPrefix(outer+"."+b.name, ".")
		at := strings.Index(page, "# "+name+"\n")
		if at < 0 && b.name != "" {
			t.Fatalf("block %s is not in the reference", name)
		}
		section, _, _ := strings.Cut(page[max(at, 0):], "\n#")
		if at < 0 {
			section = page
		}
		for _, k := range b.keys {
			if !strings.Contains(section, "| `"+k.name+"` | ") || k.doc == "" {
				t.Errorf("key %s.%s is not in the reference", name, k.name)
			}
			if k.soon != "" && !strings.Contains(section, "*Not supported yet*: "+k.soon) {
				t.Errorf("key %s.%s looks supported", name, k.name)
			}
		}
		for i := range b.blocks {
			visit(&b.blocks[i], name)
		}
	}
	visit(&root, "")
	for _, c := range Codes() {
		if !strings.Contains(page, "| `"+c+"` | ") {
			t.Errorf("code %s is not in the reference", c)
		}
	}
}

// bound pairs each struct with its part of the schema.
var bound = []struct {
	schema *block
	value  any
}{
	{&daemonSchema, &Daemon{}}, {&pluginSchema, &Plugin{}}, {&sandboxSchema, &Sandbox{}},
	{&toolchainSchema, &Toolchain{}}, {&runSchema, &run{}}, {&cacheSchema, &cache{}}, {&executorSchema, &Executor{}}, {&permissionSchema, &Permission{}},
	{&credentialSchema, &Credential{}}, {&workspaceSchema, &Workspace{}}, {&gateSchema, &Gate{}}, {&variableSchema, &Variable{}},
}

func TestEveryKeyHasAFieldAndEveryFieldAKey(t *testing.T) {
	kinds := map[kind]string{
		text: "string", ident: "string", path: "string", number: "int64", boolean: "bool", duration: "time.Duration",
		size: "int64", texts: "[]string", argv: "[]string", idents: "[]string", table: "map[string]string", condition: "*config.Condition",
	}
	for _, b := range bound {
		fields := tagged(b.value)
		var keys []string
		each(b.schema, "", func(dotted string, k *key) {
			if k.soon != "" || k.kind == typeName || k.kind == anything {
				return // read by the variables' own code
			}
			keys = append(keys, dotted)
			f, ok := fields[dotted]
			if !ok {
				t.Errorf("%s: key %s has no field", b.schema.name, dotted)
			} else if f.Type().String() != kinds[k.kind] {
				t.Errorf("%s: key %s is a %s in a field of type %s", b.schema.name, dotted, k.kind, f.Type())
			}
		})
		for tag := range fields {
			if !slices.Contains(keys, tag) {
				t.Errorf("%s: field %s has no key", b.schema.name, tag)
			}
		}
	}
}

func TestDefaultsAreGoodValues(t *testing.T) {
	var visit func(b *block)
	visit = func(b *block) {
		for i := range b.keys {
			k := &b.keys[i]
			if k.def != "" && k.kind != typeName {
				d := &decoder{literals: map[string]cty.Value{}}
				if value, ok := d.literal(k.def); !ok {
					t.Errorf("%s.%s: default %s is no literal", b.name, k.name, k.def)
				} else if _, p := k.read(value); p.code != "" {
					t.Errorf("%s.%s: default %s: %s", b.name, k.name, k.def, p.summary)
				}
			}
			if k.required && k.def != "" {
				t.Errorf("%s.%s is required and has a default", b.name, k.name)
			}
			if k.soon != "" && (k.def != "" || k.required || k.enum != nil) {
				t.Errorf("%s.%s is not supported, yet says more", b.name, k.name)
			}
		}
		for i := range b.blocks {
			visit(&b.blocks[i])
		}
	}
	visit(&root)
}

func TestTheExampleOfTheDocumentationLoads(t *testing.T) {
	w := newWorld(t)
	w.write("home/src/api/.env.test", "")
	text, err := os.ReadFile(filepath.Join("..", "examples", "reference.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	w.good(string(text))
	if formatted, diags := Format(text, "reference.hcl"); len(diags) > 0 || !bytes.Equal(formatted, text) {
		t.Error("examples/reference.hcl is not formatted")
	}
}
