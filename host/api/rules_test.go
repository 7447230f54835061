package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestAPositionHasOneSpelling(t *testing.T) {
	for _, s := range []string{"0.0", "1.42", "9223372036854775807.1"} {
		if p, err := ParsePosition(s); err != nil || p.String() != s {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	}
	for _, s := range []string{"", "1", ".", "1.", ".1", "01.2", "1.02", "+1.2", "-1.2", "1.2.3", " 1.2", "1.2\n", "a.b", "9223372036854775808.1"} {
		if p, err := ParsePosition(s); err == nil {
			t.Errorf("%q is taken for %v", s, p)
		}
	}
	for _, c := range []struct {
		p, q string
		want bool
	}{{"1.2", "1.1", true}, {"1.1", "1.1", false}, {"2.0", "1.9", true}, {"1.9", "2.0", false}, {"1.10", "1.9", true}} {
		p, _ := ParsePosition(c.p)
		q, _ := ParsePosition(c.q)
		if got := p.After(q); got != c.want {
			t.Errorf("%s after %s is %v", c.p, c.q, got)
		}
	}
}

func TestRulesTakeWhatIsMeantAndRefuseTheRest(t *testing.T) {
	for field, c := range map[string]struct{ good, bad []string }{
		"run_id":          {[]string{"run_01KAMX5T3Q8J9Z7W6V5R4P3N2M", "run_01K"}, []string{"run_", "step_01K", "run_../../etc", "run_a/b", "../x", "run_%2e", "run_\x00", "RUN_1", "run_" + strings.Repeat("1", 27)}},
		"workspace":       {[]string{"api", "web-2", "a.b"}, []string{"../api", "a/b", "-api", ".", " api", "a\n"}},
		"base":            {[]string{"main", "refs/heads/x", "release/1.2"}, []string{"-x", "--upload-pack=sh", "a b", "a..\x00", "a~1", "a:b", "a\nb", "a^"}},
		"idempotency_key": {[]string{"k", "a/b:c"}, []string{"a b", "é", strings.Repeat("k", MaxKey+1)}},
		"title":           {[]string{"fix the é 🙂"}, []string{"a\x1b[31m", "a\nb", "a\u202eb", strings.Repeat("t", 257)}},
		"text":            {[]string{"a\nb\tc"}, []string{"a\x00b", strings.Repeat("t", MaxText+1)}},
		"wall":            {[]string{"10m", "1h30m", "1.5s", "250ms"}, []string{"10", "-1m", "1d", "10m ", "m", "1e9s"}},
		"name":            {[]string{"diff.patch", "validation/tests/stdout.log"}, []string{"../x", "/x", "a//b", "a/../b", ".", "a\x00"}},
		"dir":             {[]string{"/tmp/x"}, []string{"x", "./x", "~/x", "/a\x00"}},
		"kind":            {[]string{"step.passed", "attempt.*"}, []string{"*", "a*", "a..b", "A.b", ".*"}},
		"since":           {[]string{"2026-11-22T03:04:05Z", "2026-11-22T03:04:05.5+01:00"}, []string{"yesterday", "2026-11-22"}},
		"after":           {[]string{"1.5"}, []string{"5", "01.5"}},
		"decision":        {[]string{"allow", "deny", "answer"}, []string{"Allow", "yes", "allow "}},
		"expect":          {[]string{"none"}, []string{"all"}},
	} {
		r, ok := RuleOf(reflect.TypeFor[Empty](), field)
		if !ok {
			t.Errorf("%s has no rule", field)
		}
		for _, v := range c.good {
			if problem := r.Check(v); problem != "" {
				t.Errorf("%s %q: %s", field, v, problem)
			}
		}
		for _, v := range c.bad {
			if r.Check(v) == "" {
				t.Errorf("%s takes %q", field, v)
			}
		}
	}
}

func TestARuleOfATypeWinsOverThatOfTheName(t *testing.T) {
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[RunListRequest]():      "closed",
		reflect.TypeFor[StepListRequest]():     "queued",
		reflect.TypeFor[ApprovalListRequest](): "all",
	} {
		r, ok := RuleOf(typ, "state")
		if !ok || r.Check(want) != "" || r.Check("nonsense") == "" {
			t.Errorf("%v: %+v, %v", typ, r, ok)
		}
	}
	if _, ok := RuleOf(reflect.TypeFor[Empty](), "state"); ok {
		t.Error("state has a rule of its own")
	}
	r, _ := RuleOf(reflect.TypeFor[RunListRequest](), "limit")
	if r.CheckNumber(MaxPageSize) != "" || r.CheckNumber(MaxPageSize+1) == "" || r.CheckNumber(-1) == "" {
		t.Errorf("limit: %+v", r)
	}
}

func TestOpenAPIReferencesOnlyShapesThatItHas(t *testing.T) {
	data, err := OpenAPI("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAPI("1.2.3")
	if err != nil || string(again) != string(data) {
		t.Errorf("the same table made two documents: %v", err)
	}
	var doc struct {
		OpenAPI    string
		Info       struct{ Version string }
		Components struct {
			Schemas   map[string]json.RawMessage
			Responses map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil || doc.OpenAPI != "3.1.0" || doc.Info.Version != "1.2.3" {
		t.Fatalf("head is %+v, %v", doc, err)
	}
	refs := 0
	for _, part := range strings.Split(string(data), `"$ref": "#/components/`)[1:] {
		refs++
		kind, name, _ := strings.Cut(part[:strings.IndexByte(part, '"')], "/")
		known := doc.Components.Schemas
		if kind == "responses" {
			known = doc.Components.Responses
		}
		if len(known[name]) < 3 {
			t.Errorf("%s/%s is referred to and not there", kind, name)
		}
	}
	if refs < len(Operations()) {
		t.Errorf("only %d references", refs)
	}
	for _, name := range []string{"Run", "RunList", "Step", "Event", "ErrorBody"} {
		if _, ok := doc.Components.Schemas[name]; !ok {
			t.Errorf("shape %s is missing", name)
		}
	}
}
