package policy

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/work"
)

// wide is a sandbox that gives everything there is to give below its level.
const wide = `sandbox "box" {
  level        = "guarded"
  on_shortfall = "refuse"
  backend      = "bwrap"
  filesystem {
    read = [
      "~/src/web",
    ]
    write     = ["~/data"]
    protect   = [".vscode"]
    sensitive = "deny"
  }
  git {
    import = "none"
  }
  network {
    mode = "proxy"
    allow = [
      "API.example.com",
      "*.example.org:8443",
      "10.0.0.7:80",
    ]
    private_addresses = true
  }
  env {
    set  = { CI = "1" }
    pass = ["LANG"]
  }
  credential "api" {
    from_env = "API_KEY"
  }
  credential "other" {
    from_file = "~/secret"
    deliver   = "file"
  }
  syscalls {
    allow = ["ptrace"]
  }
  limits {
    memory   = "1GiB"
    disk     = "2GiB"
    cpus     = 3
    cpu_time = "4m"
  }
}
`

// withSandbox puts another sandbox into the configuration, at its lines from 12 on.
func withSandbox(box string) string {
	from, to := strings.Index(text, "sandbox \"box\""), strings.Index(text, "executor \"fmt\"")
	return text[:from] + box + text[to:]
}

func newWideWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.mkdir("home/data")
	if err := os.WriteFile(filepath.Join(w.home, "secret"), []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestASandboxIsCompiledWhole(t *testing.T) {
	w := newWideWorld(t)
	got := w.compile(w.load(withSandbox(wide))).Executors["fmt"].Sandbox
	widenings := got.Widenings
	got.Widenings = nil
	want := &work.SandboxPolicy{
		Name: "box", Level: "guarded", OnShortfall: "refuse", Backend: "bwrap", Declared: "drawspan.hcl:12",
		Read: []string{filepath.Join(w.home, "src/web")}, Write: []string{filepath.Join(w.home, "data")}, Protect: []string{".vscode"},
		Sensitive: "deny", Import: "none", Env: map[string]string{"CI": "1"}, Pass: []string{"LANG"}, Calls: []string{"ptrace"},
		Network:   work.NetworkPolicy{Mode: "proxy", Allow: []string{"api.example.com:443", "*.example.org:8443", "10.0.0.7:80"}, Private: true},
		Processes: 512, OpenFiles: 4096, FileSize: 2 << 30, Tmp: 512 << 20, Output: 64 << 20, Wall: 30 * time.Minute,
		Memory: 1 << 30, Disk: 2 << 30, CPUs: 3, CPUTime: 4 * time.Minute, Toolchains: []work.Toolchain{},
		Credentials: []work.Credential{
			{Name: "api", FromEnv: "API_KEY", Deliver: "env", Variable: "API_KEY", Declared: "drawspan.hcl:40"},
			{Name: "other", FromFile: filepath.Join(w.home, "secret"), Deliver: "file", Variable: "OTHER_FILE", Declared: "drawspan.hcl:43"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sandbox:\ngot  %+v\nwant %+v", got, want)
	}
	wantLines := []string{
		"level guarded 13", "network.mode proxy 28", "network.private_addresses true 34",
		"filesystem.read HOME/src/web 18", "filesystem.write HOME/data 20",
		"network.allow api.example.com:443 30", "network.allow *.example.org:8443 31", "network.allow 10.0.0.7:80 32",
		"env.pass LANG 38", "syscalls.allow ptrace 48", "credential api 40", "credential other 43",
	}
	if lines := w.lines(widenings); !slices.Equal(lines, wantLines) {
		t.Errorf("widenings: got %q, want %q", lines, wantLines)
	}
}

// lines are widenings of the sandbox "box" as "key value line".
func (w *world) lines(all []work.Widening) []string {
	var out []string
	for _, x := range all {
		line, ok := strings.CutPrefix(x.Declared, "drawspan.hcl:")
		if x.Sandbox != "box" || !ok {
			w.t.Errorf("a widening without its place: %+v", x)
		}
		out = append(out, strings.ReplaceAll(strings.Join([]string{x.Key, x.Value, line}, " "), w.home, "HOME"))
	}
	return out
}

func TestTheDefaultsWidenNothing(t *testing.T) {
	w := newWorld(t)
	p := w.compile(w.load(withSandbox("sandbox \"box\" {}\n")))
	if got := Widenings(p); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	for change, want := range map[string]string{
		"level = \"guarded\"":                          "level guarded 13",
		"level = \"off\"\n  accept_unsandboxed = true": "level off 13",
		"level = \"strict\"":                           "",
		"level = \"strict\"\n  on_shortfall = \"degrade\"\n  floor = \"guarded\"":                    "on_shortfall degrade to guarded 14",
		"limits {\n    memory = \"1GiB\"\n  }\n  git {\n    import = \"none\"\n  }":                  "",
		"filesystem {\n    protect = [\"x\"]\n    sensitive = \"hold\"\n  }":                         "",
		"level = \"guarded\"\n  network {\n    mode = \"host\"\n  }":                                 "level guarded 13; network.mode host 15",
		"network {\n    mode = \"proxy\"\n    allow = concat([\"a.example\"], [\"b.example\"])\n  }": "network.allow a.example:443 15; network.allow b.example:443 15; network.mode proxy 14",
	} {
		p := w.compile(w.load(withSandbox("sandbox \"box\" {\n  " + change + "\n}\n")))
		if got := strings.Join(w.lines(Widenings(p)), "; "); got != want {
			t.Errorf("%s: got %q, want %q", change, got, want)
		}
	}
}

// What two executors and two gates use is one widening; what nobody uses is none.
func TestWideningsAreThoseInUseEachOnce(t *testing.T) {
	w := newWideWorld(t)
	unused := strings.Replace(wide, `"box"`, `"unused"`, 1)
	old := w.compile(w.load(text))
	next := w.compile(w.load(withSandbox(wide) + unused))
	all := Widenings(next)
	if len(all) != 12 || !slices.IsSortedFunc(all, func(a, b work.Widening) int { return strings.Compare(a.Key+a.Value, b.Key+b.Value) }) {
		t.Errorf("got %q", w.lines(all))
	}
	added := w.lines(NewWidenings(old, next))
	if len(added) != 11 || slices.ContainsFunc(added, func(s string) bool { return strings.HasPrefix(s, "filesystem.read") }) {
		t.Errorf("what was there before is new: %q", added)
	}
	moved := w.compile(w.load("# a comment\n" + text))
	if again := NewWidenings(old, moved); len(again) != 0 {
		t.Errorf("a comment widens: %+v", again)
	}
}

func TestAProgramThatIsShownInsideWidens(t *testing.T) {
	w := newWideWorld(t)
	plain := w.compile(w.load(text))
	shown := w.compile(w.load(text))
	for _, e := range shown.Executors {
		e.Program = &work.ProgramDecl{Name: "agent", Declared: "drawspan.hcl:9"}
	}
	added := NewWidenings(plain, shown)
	if len(added) != 1 || added[0].Key != "program" || added[0].Value != "agent" || added[0].Declared != "drawspan.hcl:9" || added[0].Sandbox == "" {
		t.Errorf("%+v", added)
	}
}

func TestAnAllowListIsReadAsTheProxyReadsIt(t *testing.T) {
	w := newWorld(t)
	for entry, want := range map[string]string{
		"a.example/x": "invalid_host", "https://a.example": "invalid_host", "*": "invalid_host", "*.com": "invalid_host", "a..b": "invalid_host",
		"user@a.example": "invalid_host", "a.example:0": "invalid_host", "a.example:99999": "invalid_host", "127.0.0.1": "invalid_host",
		"localhost": "invalid_host", "169.254.169.254": "invalid_host", "0x7f000001": "invalid_host", "2130706433": "invalid_host",
		"[::1]:443": "invalid_host", "ä.example": "invalid_host", "a.example ": "invalid_host", "": "invalid_host",
		"10.0.0.7": "invalid_host", "GOOD.example": "invalid_value", "good.example:443": "invalid_value", "good.example.": "invalid_value",
	} {
		source := withSandbox("sandbox \"box\" {\n  network {\n    mode = \"proxy\"\n    allow = [\"good.example\",\n      \"" + entry + "\"]\n  }\n}\n")
		p, diags := Compile(w.load(source), w.host())
		if p != nil || len(diags) != 1 || diags[0].Code != want || diags[0].Range.String() != "drawspan.hcl:16" || diags[0].Hint == "" || config.Explain(diags[0].Code) == "" {
			t.Errorf("%q: got %v, %+v", entry, p, diags)
		}
	}
}

func TestASensitiveEntryIsNotShown(t *testing.T) {
	w := newWorld(t)
	source := "variable \"s\" {\n  default = \"VALUE\"\n  sensitive = true\n}\n" +
		withSandbox("sandbox \"box\" {\n  network {\n    mode = \"proxy\"\n    allow = [var.s]\n  }\n}\n")
	p, diags := Compile(w.load(strings.Replace(source, "VALUE", "no/host", 1)), w.host())
	if p != nil || len(diags) != 1 || strings.Contains(diags.Err().Error(), "no/host") {
		t.Errorf("got %+v", diags)
	}
	p = w.compile(w.load(strings.Replace(source, "VALUE", "quiet.example", 1)))
	if list := Widenings(p); len(list) != 2 || list[0].Key != "network.allow" || list[0].Value != "(sensitive)" {
		t.Errorf("got %+v", list)
	}
}

func TestTheSocketIsNeverShownWhereverItIs(t *testing.T) {
	w := newWideWorld(t)
	w.mkdir("home/data/run", "home/data/more")
	for key, line := range map[string]string{"read": "drawspan.hcl:14", "write": "drawspan.hcl:14"} {
		cfg := w.load(withSandbox("sandbox \"box\" {\n  filesystem {\n    " + key + " = [\"~/data\"]\n  }\n}\n"))
		host := w.host()
		host.Socket = filepath.Join(w.home, "data/run/drawspan.sock")
		p, diags := Compile(cfg, host)
		if p != nil || len(diags) != 1 || diags[0].Code != "exposes_host" || diags[0].Range.String() != line {
			t.Errorf("%s: got %v, %+v", key, p, diags)
		}
		host.Socket = filepath.Join(w.home, "run/drawspan.sock")
		if _, diags := Compile(cfg, host); diags.HasErrors() {
			t.Errorf("%s: a socket elsewhere: %v", key, diags.Err())
		}
	}
}
