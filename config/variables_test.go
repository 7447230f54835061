package config

import (
	"slices"
	"strings"
	"testing"
)

const withVariables = minimal + `
variable "many" {
  type     = number
  default  = 1
  from_env = "MANY"
}
variable "bases" {
  type    = list(string)
  default = ["main"]
}
variable "token" {
  default   = "from the file"
  sensitive = true
}
locals {
  double = var.many * 2
  twice  = local.double * 2
  all    = concat(var.bases, ["x/*"])
}
daemon {
  max_parallel = local.twice
}
executor "other" {
  plugin  = "command"
  sandbox = "box"
  config {
    bases = local.all
    token = "t-${var.token}"
    open  = "shown"
  }
}
`

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestAVariableTakesTheNearestValue(t *testing.T) {
	w := newWorld(t)
	w.write("a.hcl", "many = 5\n")
	w.write("b.hcl.json", `{"many": 6}`)
	for _, row := range []struct {
		name string
		set  func(*Source)
		want int64
		from string
	}{
		{"default", func(*Source) {}, 4, "default"},
		{"from_env", func(s *Source) { s.Env = env(map[string]string{"MANY": "3"}) }, 12, "env"},
		{"environment", func(s *Source) { s.Env = env(map[string]string{"MANY": "3", "DRAWSPAN_VAR_many": "4"}) }, 16, "env"},
		{"file", func(s *Source) {
			s.Env, s.VarFiles = env(map[string]string{"MANY": "3"}), []string{"a.hcl"}
		}, 20, "var-file"},
		{"later file", func(s *Source) { s.VarFiles = []string{"a.hcl", "b.hcl.json"} }, 24, "var-file"},
		{"command line", func(s *Source) {
			s.VarFiles, s.Vars = []string{"a.hcl"}, map[string]string{"many": "7", "bases": `["a", "b"]`}
		}, 28, "var"},
	} {
		src := w.source()
		row.set(&src)
		cfg := w.mustLoad(withVariables, src)
		if cfg.Daemon.MaxParallel != row.want || cfg.Variables[0].From != row.from {
			t.Errorf("%s: got %d from %s, want %d from %s", row.name, cfg.Daemon.MaxParallel, cfg.Variables[0].From, row.want, row.from)
		}
	}
}

func TestValuesFromOutsideAreChecked(t *testing.T) {
	w := newWorld(t)
	w.write("bad.hcl", "many = \"x\"\nmni = 1\n")
	for _, row := range []struct {
		name string
		set  func(*Source)
		want []string
		part string
	}{
		{"another type", func(s *Source) { s.Vars = map[string]string{"many": "x"} }, []string{"variable_value 16:1"}, "number"},
		{"undeclared", func(s *Source) { s.Vars = map[string]string{"mony": "1"} }, []string{"unknown_reference -"}, `did you mean "many"?`},
		{"no literal", func(s *Source) { s.Vars = map[string]string{"bases": "local.x"} }, []string{"variable_value 21:1"}, "not a value"},
		{"a bomb", func(s *Source) { s.Vars = map[string]string{"bases": strings.Repeat("[", 1000)} }, []string{"variable_value 21:1"}, "deeper"},
		{"control characters", func(s *Source) { s.Vars = map[string]string{"bases": "[\"\x00\"]"} }, []string{"variable_value 21:1"}, "NUL"},
		{"in a file", func(s *Source) { s.VarFiles = []string{"bad.hcl"} }, []string{"variable_value 1:8", "unknown_reference 2:7"}, "did you mean"},
		{"no file", func(s *Source) { s.VarFiles = []string{"none.hcl"} }, []string{"unreadable_file 0:0"}, "no such file"},
	} {
		src := w.source()
		row.set(&src)
		w.write("drawspan.hcl", withVariables)
		_, diags := Load(src)
		if got := brief(diags); !slices.Equal(got, row.want) || !strings.Contains(rendered(diags), row.part) {
			t.Errorf("%s: got %q, want %q with %q in\n%s", row.name, got, row.want, row.part, rendered(diags))
		}
	}
}

func TestSensitiveValuesAreMaskedEverywhereButInTheirPlace(t *testing.T) {
	w := newWorld(t)
	src := w.source()
	src.Vars = map[string]string{"token": "hunter2"}
	cfg := w.mustLoad(withVariables, src)
	e := cfg.Executor("other")
	if want := `{"bases":["main","x/*"],"open":"shown","token":"t-hunter2"}`; string(e.Config) != want {
		t.Errorf("config is %s, want %s", e.Config, want)
	}
	shown := string(cfg.Effective())
	if strings.Contains(shown, "hunter2") || !strings.Contains(shown, `"token":"(sensitive)"`) || !strings.Contains(shown, `"open":"shown"`) {
		t.Errorf("effective configuration: %s", shown)
	}
	if v := cfg.Variables[2]; v.Value != `"(sensitive)"` || v.From != "var" {
		t.Errorf("variable: %+v", v)
	}
	src.Vars["token"] = "hunter3"
	other := w.mustLoad(withVariables, src)
	if string(other.Effective()) != shown {
		t.Error("the effective configuration tells secrets apart")
	}
	for i, s := range cfg.Settings() {
		if o := other.Settings()[i]; s.Same(o) == (s.Block == `executor "other"` && s.Key == "config") {
			t.Errorf("%s %s: Same is %v", s.Block, s.Key, s.Same(o))
		}
	}
}

func TestMessagesDoNotQuoteSensitiveValues(t *testing.T) {
	w := newWorld(t)
	src := w.source()
	src.Vars = map[string]string{"s": "hunter2"}
	for _, use := range []string{
		"sandbox \"x\" {\n level = var.s\n}", "executor \"x\" {\n plugin = upper(var.s)\n sandbox = \"box\"\n}",
		"sandbox \"x\" {\n limits {\n wall = var.s\n }\n}", "sandbox \"x\" {\n limits {\n tmp = var.s\n }\n}",
		"daemon {\n max_parallel = var.s\n}", "sandbox \"x\" {\n env {\n set = { A = [var.s] }\n }\n}",
		"locals {\n a = var.s + 1\n}", "locals {\n a = {}[var.s]\n}",
		"executor \"x\" {\n plugin = \"x\"\n sandbox = \"box\"\n questions {\n default = var.s\n }\n}",
	} {
		w.write("drawspan.hcl", minimal+"variable \"s\" {\n sensitive = true\n}\n"+use)
		_, diags := Load(src)
		if text := rendered(diags); !diags.HasErrors() || strings.Contains(strings.ToLower(text), "hunter2") {
			t.Errorf("%s:\n%s", use, text)
		}
	}
}
