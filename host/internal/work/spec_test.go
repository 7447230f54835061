package work_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/work"
)

var update = flag.Bool("update", false, "write host/docs/result.md again")

const resultHead = `# result.json

<!-- Made from host/internal/work/spec.go by: go test ./host/internal/work -run TestTheResultIsDocumented -update -->

Every attempt leaves one document, ` + "`result.json`" + `: what it came to, with what the executor says of itself (` + "`claim`" + `) apart
from what the host saw (` + "`evidence`" + `). It is an artifact; its digest is in the log. Read it with
` + "`drawspan artifact get ATTEMPT result.json`" + `.

The outcome is decided by the strongest fact there is: the host's own reason to stop the attempt, then a death that is not
proved, then a plugin or program that broke, then the error that the executor reports, then a refusal that left the tree
unchanged (` + "`denied`" + `), then a signal, then why the executor says that it stopped, and last the tree: unchanged is
` + "`no_change`" + `, whatever is claimed. A cancel that only the executor speaks of is ` + "`failed`" + ` with the reason
` + "`cancel_claimed`" + `. Only the gates make a step pass.

`

// typeName is a field's type as the page shows it.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		return "list of " + typeName(t.Elem())
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Struct:
		return "object"
	case t.Kind() == reflect.Bool:
		return "bool"
	case t.Kind() == reflect.String:
		return "string"
	}
	return "number"
}

func rows(b *bytes.Buffer, t *testing.T, of reflect.Type, prefix string) {
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		doc := f.Tag.Get("doc")
		if name == "" || doc == "" {
			t.Errorf("%s.%s has no name or no doc", of, f.Name)
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", prefix, name, typeName(f.Type), doc)
		inner := f.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		suffix := "."
		if inner.Kind() == reflect.Slice {
			inner, suffix = inner.Elem(), "[]."
		}
		if inner.Kind() == reflect.Struct && strings.HasPrefix(inner.Name(), "Spec") {
			rows(b, t, inner, prefix+name+suffix)
		}
	}
}

func TestTheResultIsDocumented(t *testing.T) {
	b := bytes.NewBufferString(resultHead + "| field | type | meaning |\n| --- | --- | --- |\n")
	rows(b, t, reflect.TypeFor[work.ResultSpec](), "")
	page := filepath.Join("..", "..", "docs", "result.md")
	if *update {
		if err := os.WriteFile(page, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(got, b.Bytes()) {
		t.Errorf("host/docs/result.md is not current (%v); run scripts/gen", err)
	}
}
