package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is a directory with a home, two repositories and the files under test.
type world struct {
	t    *testing.T
	dir  string
	home string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, home: filepath.Join(dir, "home")}
	for _, d := range []string{"home/src/api", "home/src/web", "home/.local"} {
		w.mkdir(d)
	}
	return w
}

func (w *world) mkdir(name string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Join(w.dir, name), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	w.mkdir(filepath.Dir(name))
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) source() Source {
	return Source{Paths: []string{"drawspan.hcl"}, Home: w.home, Dir: w.dir}
}

// load writes and loads drawspan.hcl.
func (w *world) load(text string) (*Config, Diagnostics) {
	w.t.Helper()
	w.write("drawspan.hcl", text)
	return Load(w.source())
}

// good loads a text that must have no problems.
func (w *world) good(text string) *Config {
	w.t.Helper()
	return w.mustLoad(text, w.source())
}

func (w *world) mustLoad(text string, src Source) *Config {
	w.t.Helper()
	w.write("drawspan.hcl", text)
	cfg, diags := Load(src)
	if diags.HasErrors() || cfg == nil {
		w.t.Fatalf("unexpected problems:\n%s", rendered(diags))
	}
	return cfg
}

func rendered(ds Diagnostics) string {
	var b strings.Builder
	if err := ds.Text(&b, 0, false); err != nil {
		return err.Error()
	}
	return b.String()
}

// brief is each problem as "code line:column".
func brief(ds Diagnostics) []string {
	out := []string{}
	for _, d := range ds {
		where := "-"
		if d.Range != nil {
			where = fmt.Sprintf("%d:%d", d.Range.Start.Line, d.Range.Start.Column)
		}
		out = append(out, d.Code+" "+where)
	}
	return out
}

const minimal = `version = 1

sandbox "box" {}

executor "go" {
  plugin  = "command"
  sandbox = "box"
}

workspace "api" {
  root      = "~/src/api"
  base      = "main"
  executors = ["go"]
}
`

func TestDefaultsAreFilledIn(t *testing.T) {
	w := newWorld(t)
	cfg := w.good(minimal)
	m, s, e, ws := cfg.Daemon, cfg.Sandboxes[0], cfg.Executors[0], cfg.Workspaces[0]
	for what, pair := range map[string][2]any{
		"version":         {cfg.Version, int64(1)},
		"state_dir":       {m.StateDir, filepath.Join(w.home, ".local/state/drawspan")},
		"max_parallel":    {m.MaxParallel, int64(4)},
		"listen":          {m.Listen, ""},
		"log":             {m.LogLevel + m.LogFormat + m.LogFile, "infotext"},
		"shutdown_grace":  {m.ShutdownGrace, 30 * time.Second},
		"stop":            {[3]time.Duration{m.StopProtocol, m.StopInterrupt, m.StopTerminate}, [3]time.Duration{5e9, 5e9, 5e9}},
		"level":           {s.Level, defaultLevel},
		"on_shortfall":    {s.OnShortfall, "refuse"},
		"processes":       {s.Processes, int64(512)},
		"open_files":      {s.OpenFiles, int64(4096)},
		"file_size":       {s.FileSize, int64(2 << 30)},
		"output":          {s.Output, int64(64 << 20)},
		"tmp":             {s.Tmp, int64(512 << 20)},
		"wall":            {s.Wall, 30 * time.Minute},
		"sandbox place":   {s.Declared(), "drawspan.hcl:3"},
		"executor config": {string(e.Config), "{}"},
		"question":        {e.QuestionDeadline, 10 * time.Minute},
		"question answer": {e.QuestionDefault, "deny"},
		"root":            {ws.Root, filepath.Join(w.home, "src/api")},
		"bases":           {strings.Join(ws.Bases, " "), "main"},
		"write":           {strings.Join(ws.Write, " "), "**"},
		"budget":          {ws.Wall, time.Hour},
		"place":           {ws.At("executors[0]").Start, Pos{Line: 13, Column: 16, Byte: 170}},
		"fallback place":  {ws.At("paths.write"), ws.at},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %v, want %v", what, pair[0], pair[1])
		}
	}
	if ws.Has("paths.write") || !ws.Has("root") {
		t.Error("Has does not tell written keys from defaults")
	}
}

const full = `version = 1

variable "limit" {
  type    = number
  default = 400
}

locals {
  lines = var.limit + 100
}

daemon {
  state_dir      = "~/state"
  max_parallel   = 2
  listen         = "127.0.0.1:7070"
  run_as         = "drawspan"
  shutdown_grace = "1m"
  log {
    level  = "debug"
    format = "json"
    file   = "/var/log/drawspan.log"
  }
  stop {
    protocol  = "1s"
    interrupt = "2s"
    terminate = "1m30s"
  }
}

plugin "executor-acme" {
  dir = "~/src"
}

sandbox "box" {
  level        = "strict"
  on_shortfall = "degrade"
  floor        = "isolated"
  backend      = "native"
  toolchain "go" {
    root = "~/src"
  }
  filesystem {
    read      = ["~/src/web"]
    write     = ["~/data"]
    protect   = [".vscode", "go.mod"]
    sensitive = "hold"
  }
  git {
    import = "none"
  }
  network {
    mode              = "proxy"
    allow             = ["api.example.com", "*.example.org:8443"]
    private_addresses = true
  }
  env {
    set  = { CI = "1" }
    pass = ["LANG", "LC_ALL"]
  }
  credential "some-api" {
    from_env = "SOME_API_KEY"
  }
  credential "upper-cased" {
    from_file = "~/secret"
  }
  credential "in-a-file" {
    from_file = "~/secret"
    deliver   = "file"
  }
  credential "named" {
    from_env = "OTHER"
    deliver  = "file"
    variable = "NAMED_PATH"
  }
  syscalls {
    allow = ["ptrace", "process_vm_readv"]
  }
  limits {
    processes  = 64
    open_files = 256
    file_size  = "1MiB"
    output     = "64KiB"
    tmp        = "1GiB"
    wall       = "2d"
    memory     = "4GiB"
    disk       = "8GiB"
    cpus       = 2
    cpu_time   = "90m"
  }
}

gateway "model" {
  upstream = "https://api.example.com/base"
  wire     = "messages"
  models   = ["some-*"]
  credential {
    from_env = "MODEL_KEY"
  }
  budget {
    calls         = 200
    input_tokens  = 2000000
    output_tokens = 100000
  }
}

executor "go" {
  plugin  = "acme"
  sandbox = "box"
  gateway = "model"
  program = "~/bin/agent"
  config {
    program = ["gofmt", "-w", "."]
    depth   = 2.5
    deep    = { a = [true, "x"] }
  }
  questions {
    deadline = "1h"
    default  = "allow"
  }
}

workspace "api" {
  root         = "~/src/api"
  base         = "main"
  bases        = ["main", "feature/*"]
  executors    = ["go"]
  max_parallel = 1
  paths {
    write  = ["src/**"]
    forbid = ["**/*.pem"]
  }
  provision {
    copy  = [".env.test"]
    link  = ["vendor/modules"]
    ports = 3
    run "deps" {
      command = ["npm", "ci", "-x", "-x"]
      sandbox = "box"
      timeout = "5m"
    }
    run "more" {
      command = ["true"]
    }
  }
  cache "npm" {
    variable = "npm_config_cache"
    size     = "600MiB"
  }
  budget {
    wall = "10m"
  }
  gate "paths" {
    validator = "paths"
  }
  gate "tests" {
    validator = "command"
    sandbox   = "box"
    needs     = ["paths"]
    on_fail   = "hold"
    timeout   = "5m"
    retries   = 2
    paths     = ["**/*.go"]
    on_error  = "hold"
    config {
      run = ["go", "test", "./..."]
    }
  }
  gate "review" {
    when     = diff.lines > local.lines || touches(diff, "go.mod")
    hold     = "A person looks."
    deadline = "30d"
    default  = "pass"
    optional = true
  }
}
`

func TestEveryKeyReachesItsField(t *testing.T) {
	w := newWorld(t)
	w.write("home/src/api/.env.test", "X=1")
	w.write("home/secret", "hunter2")
	w.mkdir("home/data")
	if err := os.Chmod(filepath.Join(w.home, "secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := w.good(full)
	got, want := string(cfg.Effective()), strings.NewReplacer("HOME", w.home, "LEVEL", defaultLevel, "\n", "", "\t", "").Replace(`{"daemon":{
"listen":"127.0.0.1:7070","log":{"file":"/var/log/drawspan.log","format":"json","level":"debug"},"max_parallel":2,
"run_as":"drawspan","shutdown_grace":"1m","state_dir":"HOME/state",
"stop":{"interrupt":"2s","protocol":"1s","terminate":"1m30s"}},
"executor":{"go":{"config":{"deep":{"a":[true,"x"]},"depth":2.5,"program":["gofmt","-w","."]},"gateway":"model","plugin":"acme",
"program":"HOME/bin/agent","questions":{"deadline":"1h","default":"allow"},"sandbox":"box"}},
"gateway":{"model":{"budget":{"calls":200,"input_tokens":2000000,"output_tokens":100000},"credential":{"from_env":"MODEL_KEY","from_file":""},
"models":["some-*"],"upstream":"https://api.example.com/base","wire":"messages"}},
"plugin":{"executor-acme":{"dir":"HOME/src"}},
"sandbox":{"box":{"accept_unsandboxed":false,"backend":"native",
"credential":{"in-a-file":{"deliver":"file","from_env":"","from_file":"HOME/secret","variable":"IN_A_FILE_FILE"},
"named":{"deliver":"file","from_env":"OTHER","from_file":"","variable":"NAMED_PATH"},
"some-api":{"deliver":"env","from_env":"SOME_API_KEY","from_file":"","variable":"SOME_API_KEY"},
"upper-cased":{"deliver":"env","from_env":"","from_file":"HOME/secret","variable":"UPPER_CASED"}},
"env":{"pass":["LANG","LC_ALL"],"set":{"CI":"1"}},
"filesystem":{"protect":[".vscode","go.mod"],"read":["HOME/src/web"],"sensitive":"hold","write":["HOME/data"]},
"floor":"isolated","git":{"import":"none"},
"level":"strict","limits":{"cpu_time":"1h30m","cpus":2,"disk":"8GiB","file_size":"1MiB","memory":"4GiB","open_files":256,
"output":"64KiB","processes":64,"tmp":"1GiB","wall":"2d"},
"network":{"allow":["api.example.com","*.example.org:8443"],"mode":"proxy","private_addresses":true},
"on_shortfall":"degrade","syscalls":{"allow":["ptrace","process_vm_readv"]},
"toolchain":{"go":{"build_cache":"","module_cache":"","packages":"","root":"HOME/src"}}},
"default":{"accept_unsandboxed":false,"backend":"auto","env":{"pass":[],"set":{}},
"filesystem":{"protect":[],"read":[],"sensitive":"flag","write":[]},"floor":"","git":{"import":"pack"},
"level":"LEVEL","limits":{"cpu_time":"0s","cpus":0,"disk":"0B","file_size":"2GiB","memory":"0B","open_files":4096,
"output":"64MiB","processes":512,"tmp":"512MiB","wall":"30m"},
"network":{"allow":[],"mode":"none","private_addresses":false},"on_shortfall":"refuse","syscalls":{"allow":[]}}},
"version":1,
"workspace":{"api":{"base":"main","bases":["main","feature/*"],"budget":{"wall":"10m"},"cache":{"npm":{"size":"600MiB","variable":"npm_config_cache"}},"executors":["go"],
"gate":{"paths":{"config":{},"deadline":"1d","default":"fail","hold":"","needs":[],"on_error":"closed","on_fail":"fail","optional":false,
"paths":[],"retries":0,"sandbox":"default","timeout":"0s","validator":"paths","when":""},
"review":{"config":{},"deadline":"30d","default":"pass","hold":"A person looks.","needs":[],"on_error":"closed","on_fail":"fail","optional":true,
"paths":[],"retries":0,"sandbox":"","timeout":"0s","validator":"","when":"diff.lines > local.lines || touches(diff, \"go.mod\") with local.lines = 500"},
"tests":{"config":{"run":["go","test","./..."]},"deadline":"1d","default":"fail","hold":"","needs":["paths"],"on_error":"hold","on_fail":"hold","optional":false,
"paths":["**/*.go"],"retries":2,"sandbox":"box","timeout":"5m","validator":"command","when":""}},
"gates":[],"max_parallel":1,"paths":{"forbid":["**/*.pem"],"write":["src/**"]},"provision":{"copy":[".env.test"],"link":["vendor/modules"],"ports":3,"run":{
"deps":{"command":["npm","ci","-x","-x"],"order":1,"sandbox":"box","timeout":"5m"},
"more":{"command":["true"],"order":2,"sandbox":"default","timeout":"10m"}}},"root":"HOME/src/api"}}}`)
	if got != want {
		t.Errorf("effective configuration:\ngot  %s\nwant %s", got, want)
	}
	if strings.Contains(got, "hunter2") {
		t.Error("the value of a credential is in the effective configuration")
	}
	if !json.Valid(cfg.Effective()) {
		t.Error("the effective configuration is not JSON")
	}
}

func TestTheSameMeaningHasTheSameEffectiveForm(t *testing.T) {
	w := newWorld(t)
	one := string(w.good(minimal).Effective())
	moved := "# comment\n" + strings.ReplaceAll(minimal, `"main"`, `"${"ma"}in"`) + "\ndaemon {}\n"
	if two := string(w.good(moved).Effective()); two != one {
		t.Errorf("got %s\nwant %s", two, one)
	}
}

func TestJSONSaysTheSameAsHCL(t *testing.T) {
	w := newWorld(t)
	w.write("drawspan.hcl.json", `{
  "//": "a comment",
  "version": 1,
  "sandbox": {"box": {}},
  "executor": {"go": {"plugin": "command", "sandbox": "box"}},
  "workspace": {"api": {
    "root": "~/src/api", "base": "main", "executors": ["go"],
    "gate": [{"review": {"when": "${diff.lines > 10}", "hold": "look"}}]
  }}
}`)
	src := w.source()
	src.Paths = []string{"drawspan.hcl.json"}
	cfg, diags := Load(src)
	if diags.HasErrors() {
		t.Fatal(rendered(diags))
	}
	want := w.good(strings.Replace(minimal, `["go"]`, `["go"]
  gate "review" {
    when = diff.lines > 10
    hold = "look"
  }`, 1))
	if string(cfg.Effective()) != string(want.Effective()) {
		t.Errorf("got  %s\nwant %s", cfg.Effective(), want.Effective())
	}
	if at := cfg.Workspaces[0].Declared(); at != "drawspan.hcl.json:6" {
		t.Errorf("declared at %q", at)
	}
}

func TestADirectoryIsOneConfigurationWithoutTheLockFile(t *testing.T) {
	w := newWorld(t)
	halves := strings.SplitAfter(minimal, "sandbox \"box\" {}\n")
	w.write("conf/10.hcl", halves[0])
	w.write("conf/20.hcl", halves[1])
	w.write("conf/drawspan.lock.hcl", "this is { not configuration")
	w.write("conf/.hidden.hcl", "nor { this")
	w.write("conf/notes.txt", "nor this")
	src := w.source()
	src.Paths = []string{"conf"}
	cfg, diags := Load(src)
	if diags.HasErrors() {
		t.Fatal(rendered(diags))
	}
	if got := strings.Join(cfg.Files, " "); got != "conf/10.hcl conf/20.hcl" {
		t.Errorf("files: %s", got)
	}
}

func TestALoadDoesNotKeepWhatItWasGiven(t *testing.T) {
	w := newWorld(t)
	one, two := w.good(minimal), w.good(minimal)
	one.Workspaces[0].Write[0] = "changed"
	if two.Workspaces[0].Write[0] != "**" || w.good(minimal).Workspaces[0].Write[0] != "**" {
		t.Error("two loads share a slice")
	}
}

func TestALinkInALinkIsRefused(t *testing.T) {
	w := newWorld(t)
	w.write("home/src/api/deep/er/x", "")
	text := strings.Replace(minimal, "executors = [\"go\"]", "executors = [\"go\"]\n  provision {\n    link = [\"deep/er\", \"deep\"]\n  }", 1)
	_, diags := w.load(text)
	if got := brief(diags); !slices.Equal(got, []string{"invalid_value 15:24"}) {
		t.Errorf("got %q in\n%s", got, text)
	}
}

func TestAWorkspaceWithoutExecutorsIsJudgedOnly(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{strings.Replace(minimal, "  executors = [\"go\"]\n", "", 1), strings.Replace(minimal, "[\"go\"]", "[]", 1)} {
		ws := w.good(text).Workspaces[0]
		if ws.Executors == nil || len(ws.Executors) != 0 {
			t.Errorf("executors are %v", ws.Executors)
		}
	}
}

func TestRootsNeedNotBeHereWhereOnlyPluginsAreOfInterest(t *testing.T) {
	w := newWorld(t)
	w.write("drawspan.hcl", strings.Replace(minimal, "~/src/api", "~/gone", 1))
	src := w.source()
	if _, diags := Load(src); !diags.HasErrors() {
		t.Error("a root that is not there is taken")
	}
	src.Elsewhere = true
	if cfg, diags := Load(src); diags.HasErrors() || cfg.Workspaces[0].Root != "" {
		t.Error(rendered(diags))
	}
	w.mkdir("home/gone") // no program is pinned out of a workspace that is here
	if cfg, diags := Load(src); diags.HasErrors() || filepath.Base(cfg.Workspaces[0].Root) != "gone" {
		t.Error(rendered(diags))
	}
}
