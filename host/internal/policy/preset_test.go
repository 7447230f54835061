package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/work"
)

// tool puts a program into the world: what the kernel would load, or a script that finds another.
func (w *world) tool(name string, script bool) {
	w.t.Helper()
	w.mkdir(filepath.Dir(name))
	text := "\x7fELF..."
	if script {
		text = "#!/bin/sh\nexec something-else\n"
	}
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// chain is the one toolchain of a box with that block, or what was found to be wrong.
func (w *world) chain(host Host, block string) (work.Toolchain, config.Diagnostics) {
	w.t.Helper()
	p, diags := Compile(w.load(strings.Replace(text, `toolchain "go" {}`, block, 1)), host)
	if p == nil {
		return work.Toolchain{}, diags
	}
	return p.Executors["fmt"].Sandbox.Toolchains[0], diags
}

// say is a toolchain in one line, with short paths.
func (w *world) say(t work.Toolchain) string {
	return strings.ReplaceAll(fmt.Sprint(t.Read, t.Overlay, t.Path), w.dir, "")
}

func TestNodeIsFoundWithThePackagesOfItsCacheAlone(t *testing.T) {
	w := newWorld(t)
	w.tool("shims/node", true)
	w.tool("node [20]/bin/node", false)
	w.mkdir("node [20]/lib/node_modules/npm", "home/.npm/_cacache", "home/.npm/_logs")
	host := Host{Home: w.home, Path: w.dir + "/shims:" + w.dir + "/node [20]/bin"}
	got, diags := w.chain(host, `toolchain "node" {}`)
	if want := "[/node [20]] [/home/.npm/_cacache] [/node [20]/bin]"; w.say(got) != want {
		t.Errorf("got %s, want %s: %v", w.say(got), want, diags.Err())
	}
	if got.Env["npm_config_offline"] != "true" || got.Env["npm_config_cache"] != filepath.Join(w.home, ".npm") {
		t.Errorf("environment %v", got.Env)
	}
	got, _ = w.chain(host, "toolchain \"node\" {}\n  network {\n    mode = \"proxy\"\n    allow = [\"registry.example.com\"]\n  }")
	if _, set := got.Env["npm_config_offline"]; set || got.Name != "node" {
		t.Errorf("a sandbox with a network is told to stay offline: %v", got.Env)
	}
}

func TestPythonMayBeAVirtualEnvironment(t *testing.T) {
	w := newWorld(t)
	w.tool("py/bin/python3.12", false)
	w.mkdir("py/lib/python3.12", "home/venv/bin", "home/wheels")
	w.goodFile("py/lib/python3.12/os.py")
	w.goodFile("home/venv/pyvenv.cfg")
	for link, to := range map[string]string{"home/venv/bin/python3": "py/bin/python3.12", "py/bin/python3": "py/bin/python3.12"} {
		if err := os.Symlink(filepath.Join(w.dir, to), filepath.Join(w.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	host := Host{Home: w.home, Path: w.dir + "/py/bin"}
	got, diags := w.chain(host, `toolchain "python" {}`)
	if want := "[/py] [] [/py/bin]"; w.say(got) != want || got.Env["PIP_NO_INDEX"] != "1" {
		t.Errorf("got %s, want %s: %v %v", w.say(got), want, diags.Err(), got.Env)
	}
	got, diags = w.chain(Host{Home: w.home}, "toolchain \"python\" {\n    root = \"~/venv\"\n    packages = \"~/wheels\"\n  }")
	if want := "[/py /home/venv /home/wheels] [] [/home/venv/bin]"; w.say(got) != want {
		t.Errorf("got %s, want %s: %v", w.say(got), want, diags.Err())
	}
	if got.Env["PIP_FIND_LINKS"] != filepath.Join(w.home, "wheels") || got.Env["VIRTUAL_ENV"] != filepath.Join(w.home, "venv") {
		t.Errorf("environment %v", got.Env)
	}
}

func (w *world) goodFile(name string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), nil, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func TestRustIsTheDefaultOfRustupAndNeverRustup(t *testing.T) {
	w := newWorld(t)
	w.tool("home/.cargo/bin/rustup", false)
	if err := os.Symlink(filepath.Join(w.home, ".cargo/bin/rustup"), filepath.Join(w.home, ".cargo/bin/rustc")); err != nil {
		t.Fatal(err)
	}
	w.tool("home/.rustup/toolchains/stable/bin/rustc", false)
	w.mkdir("home/.rustup/toolchains/stable/lib/rustlib/x86", "home/.cargo/registry", "home/.cargo/git")
	w.goodFile("home/.cargo/credentials.toml")
	if err := os.WriteFile(filepath.Join(w.home, ".rustup/settings.toml"), []byte("version = \"12\"\ndefault_toolchain = \"stable\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, diags := w.chain(Host{Home: w.home, Path: w.home + "/.cargo/bin"}, `toolchain "rust" {}`)
	if want := "[/home/.rustup/toolchains/stable] [/home/.cargo/registry /home/.cargo/git] [/home/.rustup/toolchains/stable/bin]"; w.say(got) != want {
		t.Errorf("got %s, want %s: %v", w.say(got), want, diags.Err())
	}
	if got.Env["CARGO_NET_OFFLINE"] != "true" || got.Env["CARGO_HOME"] != filepath.Join(w.home, ".cargo") {
		t.Errorf("environment %v", got.Env)
	}
}

func TestAToolThatIsNotThereIsReportedWithWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.mkdir("home/empty/bin")
	for _, name := range []string{"node", "python", "rust"} {
		_, diags := w.chain(Host{Home: w.home}, fmt.Sprintf("toolchain %q {\n    root = \"~/empty\"\n  }", name))
		if !slices.ContainsFunc(diags, func(d config.Diagnostic) bool { return d.Code == "toolchain_missing" && d.Hint != "" }) {
			t.Errorf("%s: %v", name, diags)
		}
	}
}

func TestWhatPreparesATreeIsCompiledWithItsSandbox(t *testing.T) {
	w := newWorld(t)
	next := strings.Replace(text, "copy = [\".env\"]\n", "copy = [\".env\"]\n    link = [\"node_modules\"]\n    ports = 2\n    run \"deps\" {\n      command = [\"npm\", \"ci\"]\n      sandbox = \"box\"\n    }\n", 1)
	next = strings.Replace(next, "  provision {", "  cache \"npm\" {\n    variable = \"npm_config_cache\"\n  }\n  provision {", 1)
	p := w.compile(w.load(next))
	got := p.Workspaces["api"].Provision
	if got.Ports != 2 || !slices.Equal(got.Link, []string{"node_modules"}) || len(got.Caches) != 1 || got.Caches[0] != (work.Cache{Name: "npm", Variable: "npm_config_cache", Size: 4 << 30}) {
		t.Errorf("provision %+v", got)
	}
	if len(got.Runs) != 1 || !slices.Equal(got.Runs[0].Argv, []string{"npm", "ci"}) || got.Runs[0].Sandbox.Name != "box" || got.Runs[0].Declared == "" {
		t.Errorf("runs %+v", got.Runs)
	}
	if got.Runs[0].Sandbox == p.Executors["fmt"].Sandbox {
		t.Error("a run shares its sandbox with an executor")
	}
}
