package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inWorkspace puts lines into the minimal configuration's workspace, and blocks after it.
func inWorkspace(inside, after string) string {
	return strings.Replace(minimal, "executors = [\"go\"]\n", "executors = [\"go\"]\n"+inside+"\n", 1) + after
}

const commonSet = `
gates "common" {
  gate "paths" {
    validator = "paths"
  }
  gate "tests" {
    validator = "command"
    needs     = ["paths"]
    when      = gates.paths.verdict == "pass"
  }
}
`

func gateNames(w *Workspace) string {
	return strings.Join(names(w.Gates, func(g *Gate) string { return g.Name }), " ")
}

func TestAGateSetStandsInEveryWorkspaceThatNamesIt(t *testing.T) {
	w := newWorld(t)
	second := strings.NewReplacer(`workspace "api"`, `workspace "web"`, "src/api", "src/web").Replace(minimal[strings.Index(minimal, "workspace"):])
	cfg := w.good(inWorkspace("  gates = [\"common\"]\n  gate \"own\" {\n    hold = \"look\"\n    needs = [\"tests\"]\n  }", commonSet+strings.Replace(second, "executors", "gates = [\"common\"]\n  executors", 1)))
	if api, web := gateNames(cfg.Workspaces[0]), gateNames(cfg.Workspaces[1]); api != "paths tests own" || web != "paths tests" {
		t.Errorf("gates are %q and %q", api, web)
	}
	g := cfg.Workspaces[1].Gates[1]
	if g.Block() != `workspace "web" gate "tests"` || g.Set != "common" || g.Declared() != "drawspan.hcl:25" || !slices.Equal(g.After(), []string{"paths"}) {
		t.Errorf("%s of %q at %s after %v", g.Block(), g.Set, g.Declared(), g.After())
	}
	if cfg.Workspaces[0].Gates[1] == g {
		t.Error("two workspaces share one gate")
	}
}

// The place of a gate, and no more, tells whether it came from a set: the same gates mean the same.
func TestASetMeansWhatItsGatesMean(t *testing.T) {
	w := newWorld(t)
	body := strings.TrimSuffix(strings.TrimPrefix(commonSet, "\ngates \"common\" {\n"), "}\n")
	shared := w.good(inWorkspace("  gates = [\"common\"]", commonSet))
	w.write("ci/common.gates.hcl", body)
	filed := w.good(inWorkspace("  gates = [\"common\"]", "gates \"common\" {\n  file = \"ci/common.gates.hcl\"\n}\n"))
	plain := w.good(inWorkspace(body, ""))
	effective := func(c *Config) string {
		s := string(c.Effective())
		s = strings.Replace(s, `"gates":["common"]`, `"gates":[]`, 1)
		from, to := strings.Index(s, `"gates":{`), strings.Index(s, `"sandbox":{`)
		if from < 0 {
			return s
		}
		return s[:from] + s[to:]
	}
	if a, b, c := effective(shared), effective(filed), effective(plain); a != b || b != c {
		t.Errorf("the effective configurations differ:\n%s\n%s\n%s", a, b, c)
	}
	set := filed.GateSet("common")
	if set.File != "ci/common.gates.hcl" || len(set.Digest) != len("sha256:")+64 || !slices.Contains(filed.Files, "ci/common.gates.hcl") {
		t.Errorf("set %+v of %q", set, filed.Files)
	}
	if at := filed.Workspaces[0].Gates[0].Declared(); at != "ci/common.gates.hcl:1" {
		t.Errorf("declared at %s", at)
	}
}

func TestNamesThatCollideAreRefusedWithBothPlaces(t *testing.T) {
	w := newWorld(t)
	for name, row := range map[string]struct{ text, code, first string }{
		"a set and the workspace": {inWorkspace("  gates = [\"common\"]\n  gate \"tests\" {\n    hold = \"x\"\n  }", commonSet), "duplicate_block 15:8", "drawspan.hcl:24"},
		"two sets": {inWorkspace("  gates = [\"common\", \"more\"]", commonSet+"gates \"more\" {\n  gate \"paths\" {\n    hold = \"x\"\n  }\n}\n"),
			"duplicate_block 14:22", "drawspan.hcl:18"},
		"two gates of a set": {inWorkspace("  gates = [\"more\"]", "gates \"more\" {\n  gate \"a\" {\n    hold = \"x\"\n  }\n  gate \"a\" {\n    hold = \"x\"\n  }\n}\n"),
			"duplicate_block 20:8", "drawspan.hcl:17"},
		"two sets of a name": {inWorkspace("  gates = [\"common\"]", commonSet+commonSet), "duplicate_block 28:7", "drawspan.hcl:17"},
	} {
		_, diags := w.load(row.text)
		if got := brief(diags); len(got) != 1 || got[0] != row.code || !strings.Contains(diags[0].Detail, row.first) {
			t.Errorf("%s: got %q, want %s\n%s", name, got, row.code, rendered(diags))
		}
	}
}

func TestBadGateSetsAreRefused(t *testing.T) {
	w := newWorld(t)
	use := "  gates = [\"s\"]"
	set := func(body string) string { return inWorkspace(use, "gates \"s\" {\n"+body+"\n}\n") }
	for name, row := range map[string]struct{ text, want string }{
		"an unknown set":           {inWorkspace("  gates = [\"comon\"]", commonSet), "unknown_reference 14:12"},
		"an empty set":             {set(""), "empty_gate 16:1"},
		"authority in a set":       {set("  executors = [\"go\"]"), "unknown_attribute 17:3"},
		"a sandbox in a set":       {set("  sandbox \"x\" {}"), "unknown_block 17:3"},
		"a file and gates":         {set("  file = \"gates.hcl\"\n  gate \"a\" {\n    hold = \"x\"\n  }"), "no_effect 18:3"},
		"a file that is not there": {set("  file = \"none.gates.hcl\""), "unreadable_file 17:10"},
		"a file of another name":   {set("  file = \"rules.hcl\""), "invalid_value 17:10"},
		"a file outside":           {set("  file = \"../gates.hcl\""), "outside_root 17:10"},
		"a file with a trick":      {set("  file = \"a\\u0007/gates.hcl\""), "invalid_value 17:10"},
		"a file twice": {inWorkspace(use, "gates \"s\" {\n  file = \"ok.gates.hcl\"\n}\ngates \"t\" {\n  file = \"./ok.gates.hcl\"\n}\n"),
			"duplicate_block 20:10"},
		"a gate in a set that is unknown here": {set("  gate \"a\" {\n    hold = \"x\"\n    needs = [\"b\"]\n  }"), "unknown_reference 19:14"},
		"a link":                               {set("  file = \"link.gates.hcl\""), "path_is_symlink 17:10"},
	} {
		w.write("ok.gates.hcl", "gate \"a\" {\n  hold = \"x\"\n}\n")
		if err := os.Symlink("ok.gates.hcl", filepath.Join(w.dir, "link.gates.hcl")); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		_, diags := w.load(row.text)
		if got := brief(diags); !slices.Contains(got, row.want) {
			t.Errorf("%s: got %q, want %s\n%s", name, got, row.want, rendered(diags))
		}
	}
}

// A gate file may lie in the repository that is judged: it can hold gates, and reach nothing else.
func TestAGateFileHoldsNothingButGates(t *testing.T) {
	w := newWorld(t)
	main := inWorkspace("  gates = [\"s\"]", "variable \"token\" {\n  default = \"hunter2\"\n  sensitive = true\n}\ngates \"s\" {\n  file = \"gates.hcl\"\n}\n")
	gate := "gate \"a\" {\n  hold = \"x\"\n}\n"
	for name, row := range map[string]struct{ text, want string }{
		"a version":               {gate + "version = 1\n", "unknown_attribute 4:1"},
		"a sandbox":               {gate + "sandbox \"box\" {}\n", "unknown_block 4:1"},
		"a workspace":             {gate + "workspace \"x\" {}\n", "unknown_block 4:1"},
		"a set":                   {gate + "gates \"x\" {}\n", "unknown_block 4:1"},
		"a variable":              {gate + "variable \"x\" {}\n", "unknown_block 4:1"},
		"nothing":                 {"", "empty_gate 1:1"},
		"a secret":                {"gate \"a\" {\n  validator = \"command\"\n  config {\n    run = [var.token]\n  }\n}\n", "unknown_reference 4:12"},
		"a local":                 {"gate \"a\" {\n  hold = local.x\n}\n", "unknown_reference 2:10"},
		"a secret in a condition": {"gate \"a\" {\n  hold = \"x\"\n  when = diff.lines > var.token\n}\n", "unknown_reference 3:23"},
		"no HCL":                  {"gate \"a\" {", "syntax 1:10"},
		"too much":                {strings.Repeat("#", maxFile+1), "too_large 0:0"},
		"too deep":                {"gate \"a\" {\n  hold = " + strings.Repeat("(", 100), "too_large 2:73"},
		"an unknown key":          {"gate \"a\" {\n  hold = \"x\"\n  any_validation_fails = true\n}\n", "unknown_attribute 3:3"},
		"an undeclared sandbox":   {"gate \"a\" {\n  validator = \"paths\"\n  sandbox = \"wide\"\n}\n", "unknown_reference 3:13"},
	} {
		w.write("gates.hcl", row.text)
		_, diags := w.load(main)
		if got := brief(diags); len(got) != 1 || got[0] != row.want || diags[0].Range.Filename != "gates.hcl" || strings.Contains(rendered(diags), "hunter2") {
			t.Errorf("%s: got %q, want %s\n%s", name, got, row.want, rendered(diags))
		}
	}
}

func TestAGateFileBesideTheConfigurationIsNotTakenForOne(t *testing.T) {
	w := newWorld(t)
	w.write("conf/drawspan.hcl", inWorkspace("  gates = [\"s\"]", "gates \"s\" {\n  file = \"gates.hcl\"\n}\n"))
	w.write("conf/gates.hcl", "gate \"a\" {\n  hold = \"x\"\n}\n")
	src := w.source()
	src.Paths = []string{"conf"}
	cfg, diags := Load(src)
	if diags.HasErrors() || gateNames(cfg.Workspaces[0]) != "a" || strings.Join(cfg.Files, " ") != "conf/drawspan.hcl conf/gates.hcl" {
		t.Fatal(rendered(diags))
	}
	w.write("conf/more.gates.hcl", "gate \"b\" {\n  hold = \"x\"\n}\n")
	if _, diags := Load(src); len(diags) != 1 || diags[0].Code != codeNoEffect || diags[0].Range.Filename != "conf/more.gates.hcl" {
		t.Errorf("a gate file that nothing names: %s", rendered(diags))
	}
}

func TestFilesCanComeFromElsewhere(t *testing.T) {
	w := newWorld(t)
	held := map[string]string{
		filepath.Join(w.dir, "ci/drawspan.hcl"): inWorkspace("  gates = [\"s\"]", "gates \"s\" {\n  file = \"gates.hcl\"\n}\n"),
		filepath.Join(w.dir, "ci/gates.hcl"):    "gate \"a\" {\n  hold = \"x\"\n}\n",
	}
	src := w.source()
	src.Paths = []string{"ci/drawspan.hcl"}
	src.Read = func(path string) ([]byte, error) {
		if text, ok := held[path]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}
	cfg, diags := Load(src)
	if diags.HasErrors() || gateNames(cfg.Workspaces[0]) != "a" {
		t.Fatal(rendered(diags))
	}
	delete(held, filepath.Join(w.dir, "ci/gates.hcl"))
	if _, diags := Load(src); !slices.Equal(brief(diags), []string{"unreadable_file 17:10"}) {
		t.Error(rendered(diags))
	}
}

func TestASetThatNoWorkspaceNamesIsWarnedAbout(t *testing.T) {
	w := newWorld(t)
	_, diags := w.load(minimal + commonSet)
	if len(diags) != 1 || diags[0].Severity != "warning" || diags[0].Code != codeNoEffect {
		t.Error(rendered(diags))
	}
	_, diags = w.load(minimal + strings.Replace(commonSet, `"paths"`+"\n  }", `"paths"`+"\n    on_error = \"warn\"\n  }", 1))
	if !slices.Contains(brief(diags), "invalid_value 19:16") {
		t.Errorf("what is wrong in it is not said: %s", rendered(diags))
	}
}

func TestF10_AGateOverAnUnknownValidatorIsAnError(t *testing.T) {
	w := newWorld(t)
	text := inWorkspace("  gate \"tests\" {\n    validator = \"comand\"\n  }\n  gate \"real\" {\n    validator = \"real-executor\"\n  }", "")
	src := w.source()
	for name, row := range map[string]struct {
		locked []string
		want   []string
		hint   string
	}{
		"nothing is locked yet": {nil, []string{}, ""},
		"another is locked":     {[]string{"command", "paths"}, []string{"unknown_plugin 15:17"}, `did you mean "command"?`},
		"only executors are":    {[]string{}, []string{"unknown_plugin 15:17"}, "drawspan plugin lock"},
		"it is locked":          {[]string{"comand"}, []string{}, ""},
	} {
		w.write("drawspan.hcl", text)
		src.Plugins = func(kind string) []string {
			return map[string][]string{"validator": row.locked, "executor": {"command"}}[kind]
		}
		_, diags := Load(src)
		if got := brief(diags); !slices.Equal(got, row.want) || len(diags) > 0 && !strings.Contains(diags[0].Hint, row.hint) {
			t.Errorf("%s: got %q\n%s", name, got, rendered(diags))
		}
	}
}

func TestAnExecutorWithAnUnknownPluginIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	w.write("drawspan.hcl", strings.Replace(minimal, `"command"`, `"comand"`, 1))
	src := w.source()
	src.Plugins = func(string) []string { return []string{"command"} }
	cfg, diags := Load(src)
	if cfg == nil || len(diags) != 1 || diags[0].Severity != "warning" || diags[0].Code != codePlugin || !strings.Contains(diags[0].Hint, `did you mean "command"?`) {
		t.Error(rendered(diags))
	}
}
