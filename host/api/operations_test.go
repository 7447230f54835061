package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write host/docs/api.md")

// The lists are those of the design's contracts, written out: the table must not drift from them in
// silence.
const (
	golden = `instance.describe workspace.list executor.list run.open run.list run.get run.close run.cancel
		step.dispatch step.list step.get step.cancel step.retry step.followup attempt.list attempt.get validation.list
		gate.list approval.list approval.decide artifact.list artifact.read events.read`
	goldenNoMCP = `events.subscribe attempt.stream`
	goldenLocal = `executor.probe step.apply attempt.restore run.export audit.query audit.verify audit.export config.show config.plan
		config.reload plugin.list plugin.verify doctor gc backup`
	goldenRelay = `token.create token.list token.revoke enrolment.create enrolment.list pairing.start pairing.decide
		connector.list connector.revoke relay.audit`
)

func names(keep func(Operation) bool) []string {
	var list []string
	for _, o := range Operations() {
		if keep(o) {
			list = append(list, string(o.Name))
		}
	}
	slices.Sort(list)
	return list
}

func TestEverySurfaceHasExactlyItsOperations(t *testing.T) {
	for _, c := range []struct {
		surface Surface
		want    string
	}{
		{Local, golden + " " + goldenNoMCP + " " + goldenLocal},
		{Relay, golden + " " + goldenNoMCP + " " + goldenRelay},
		{MCP, golden},
	} {
		want := strings.Fields(c.want)
		slices.Sort(want)
		if got := names(func(o Operation) bool { return o.Surfaces.Has(c.surface) }); !slices.Equal(got, want) {
			t.Errorf("surface %v has\n%v\nwant\n%v", c.surface, got, want)
		}
	}
}

func TestEveryRowIsCompleteAndConsistent(t *testing.T) {
	scope := regexp.MustCompile(`^[a-z]+:[a-z]+$`)
	seen := map[Op]bool{}
	for _, o := range Operations() {
		if seen[o.Name] {
			t.Errorf("%s is there twice", o.Name)
		}
		seen[o.Name] = true
		if o.Doc == "" || !strings.HasSuffix(o.Doc, ".") || !scope.MatchString(o.Scope) || o.Surfaces == 0 {
			t.Errorf("%s: incomplete: %+v", o.Name, o)
		}
		if o.Surfaces.Has(Local) {
			checkLocal(t, o)
		} else if o.Path != "" || o.Method != "" || o.Request != nil || o.Response != nil {
			t.Errorf("%s is no local operation and has a local route", o.Name)
		}
		if got, ok := Lookup(o.Name); !ok || got.Path != o.Path {
			t.Errorf("lookup of %s gives %+v, %v", o.Name, got, ok)
		}
	}
	if _, ok := Lookup("run.destroy"); ok {
		t.Error("an unknown operation is found")
	}
}

func checkLocal(t *testing.T, o Operation) {
	t.Helper()
	if (o.Class == Read) != (o.Method == http.MethodGet) || (o.Class == Read) != (o.MaxBody == 0) {
		t.Errorf("%s: class %s, method %s, body %d do not fit", o.Name, o.Class, o.Method, o.MaxBody)
	}
	if !strings.HasPrefix(o.Path, "/") || strings.Contains(o.Path, "//") || strings.HasSuffix(o.Path, "/") {
		t.Errorf("%s: path %q", o.Name, o.Path)
	}
	fields := FieldsOf(reflect.TypeOf(o.Request))
	for _, seg := range strings.Split(o.Path, "/") {
		name := strings.Trim(seg, "{}")
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
		if strings.HasPrefix(seg, "{") && (i < 0 || !fields[i].Required || o.In(name) != "path") {
			t.Errorf("%s: the path names %q, which is no required field", o.Name, name)
		}
	}
	for _, f := range fields {
		checkField(t, o, f)
	}
	want := map[Stream]reflect.Type{StreamBytes: reflect.TypeFor[Blob](), StreamSSE: reflect.TypeFor[Events]()}[o.Stream]
	if got := reflect.TypeOf(o.Response); want != nil && got != want {
		t.Errorf("%s: stream %q answers %v", o.Name, o.Stream, got)
	}
}

// checkField holds that nothing a caller can send is without a bound.
func checkField(t *testing.T, o Operation, f Field) {
	t.Helper()
	typ := f.Type
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Struct {
		if o.In(f.Name) != "body" {
			t.Errorf("%s.%s is an object outside a body", o.Name, f.Name)
		}
		for _, inner := range FieldsOf(typ) {
			checkField(t, o, inner)
		}
		return
	}
	switch typ.Kind() {
	case reflect.Bool:
	case reflect.Slice:
		if f.Rule.MaxItems == 0 || o.In(f.Name) != "body" {
			t.Errorf("%s.%s is a list without a bound, or outside a body", o.Name, f.Name)
		}
		fallthrough
	case reflect.String:
		if len(f.Rule.Enum) == 0 && (f.Rule.MaxLen == 0 || f.Rule.Format == "") {
			t.Errorf("%s.%s has no format or no bound", o.Name, f.Name)
		}
	case reflect.Int, reflect.Int64:
		if f.Rule.Max == 0 {
			t.Errorf("%s.%s has no range", o.Name, f.Name)
		}
	default:
		t.Errorf("%s.%s is a %v", o.Name, f.Name, typ)
	}
}

func TestNoTwoRoutesOverlap(t *testing.T) {
	local := slices.DeleteFunc(Operations(), func(o Operation) bool { return !o.Surfaces.Has(Local) })
	for i, a := range local {
		for _, b := range local[:i] {
			if a.Method == b.Method && overlap(strings.Split(a.Path, "/"), strings.Split(b.Path, "/")) {
				t.Errorf("%s and %s may both be meant by one request", a.Name, b.Name)
			}
		}
	}
}

func overlap(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "{") && !strings.HasPrefix(b[i], "{") {
			return false
		}
	}
	return true
}

func TestTheTableBelongsToNobody(t *testing.T) {
	Operations()[0].Name = "changed"
	if Operations()[0].Name == "changed" {
		t.Error("a caller changed the table")
	}
}

func TestAnswersOfLocalOperationsSurviveJSON(t *testing.T) {
	for _, o := range Operations() {
		if !o.Surfaces.Has(Local) || o.Stream != StreamNone {
			continue
		}
		data, err := json.Marshal(o.Response)
		if err != nil {
			t.Errorf("%s: %v", o.Name, err)
			continue
		}
		back := reflect.New(reflect.TypeOf(o.Response))
		if err := json.Unmarshal(data, back.Interface()); err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
}

func TestTheReferenceIsCurrent(t *testing.T) {
	const file = "../docs/api.md"
	want := Reference()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the table says; run: go test ./host/api -run Reference -update", file)
	}
	for _, o := range Operations() {
		if !bytes.Contains(want, []byte("`"+string(o.Name)+"`")) {
			t.Errorf("%s is not in the reference", o.Name)
		}
	}
	if !bytes.Equal(want, Reference()) {
		t.Error("the same table made two different pages")
	}
}

// TestS14_NoRequestCanSayWhatIsRun goes through every field of every request, at any depth: a caller names what
// the operator declared, and writes a step's text, which is data for the executor. Bytes of any form could
// carry anything, so no request has such a field.
func TestS14_NoRequestCanSayWhatIsRun(t *testing.T) {
	runs := regexp.MustCompile(`(?i)command|argv|^args?$|exec$|^run$|shell|script|program|hook|validat|plugin|sandbox|config|env|cwd|image|url|tool`)
	var look func(o Op, at string, typ reflect.Type)
	look = func(o Op, at string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.Uint8 {
			typ = typ.Elem()
		}
		switch typ.Kind() {
		case reflect.Struct:
			for _, f := range FieldsOf(typ) {
				if runs.MatchString(f.Name) {
					t.Errorf("%s: %s.%s could say what is run", o, at, f.Name)
				}
				look(o, at+"."+f.Name, f.Type)
			}
		case reflect.Map, reflect.Interface, reflect.Slice:
			t.Errorf("%s: %s takes anything", o, at)
		}
	}
	for _, o := range Operations() {
		if o.Request != nil {
			look(o.Name, "request", reflect.TypeOf(o.Request))
		}
	}
}
