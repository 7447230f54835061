package policy

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/work"
)

// preset is how the tools of one kind are found: a program, and what must lie in the same root. It starts
// no process.
type preset struct {
	program string // in the root's bin
	beside  string // glob below the root
	tries   []string
	hint    string
}

// node shows Node.js with npm, and of npm's cache the packages alone.
func (c *compiler) node(t *config.Toolchain, offline bool) (work.Toolchain, bool) {
	root, ok := c.home(t, preset{program: "node", beside: "lib/node_modules/*", hint: `name the directory that holds bin/node: toolchain "node" { root = "/path" }`})
	if !ok {
		return work.Toolchain{}, false
	}
	out := tools(t, root, map[string]string{
		"npm_config_audit": "false", "npm_config_fund": "false", "npm_config_update_notifier": "false", "npm_config_logs_max": "0",
		"COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
	})
	if offline {
		maps.Copy(out.Env, map[string]string{"npm_config_offline": "true", "COREPACK_ENABLE_NETWORK": "0", "YARN_ENABLE_NETWORK": "0", "YARN_ENABLE_TELEMETRY": "0"})
	}
	dir, ok := c.directory(t, "packages", t.Packages, cmp.Or(c.host.NpmCache, filepath.Join(c.host.Home, ".npm")))
	if packages, found := realDir(filepath.Join(dir, "_cacache")); ok && found {
		out.Overlay, out.Env["npm_config_cache"] = []string{packages}, dir
	}
	return out, true
}

// python shows an interpreter, or a virtual environment with the interpreter that it is made of.
func (c *compiler) python(t *config.Toolchain, offline bool) (work.Toolchain, bool) {
	look := preset{program: "python3", beside: "lib/python3*/os.py", hint: `name the directory that holds bin/python3: toolchain "python" { root = "/path" }`}
	var environment string
	if _, err := os.Stat(filepath.Join(t.Root, "pyvenv.cfg")); err == nil && t.Root != "" {
		environment = t.Root
	}
	root, ok := c.home(t, look)
	if !ok {
		return work.Toolchain{}, false
	}
	out := tools(t, root, map[string]string{
		"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_CONFIG_FILE": "/dev/null", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1",
	})
	if environment != "" {
		out.Read = append(out.Read, environment)
		out.Path = []string{filepath.Join(environment, "bin")}
		out.Env["VIRTUAL_ENV"] = environment
	}
	if offline {
		maps.Copy(out.Env, map[string]string{"PIP_NO_INDEX": "1", "UV_OFFLINE": "1"})
	}
	if t.Packages != "" {
		if wheels, ok := c.directory(t, "packages", t.Packages, ""); ok {
			out.Read = append(out.Read, wheels)
			maps.Copy(out.Env, map[string]string{"PIP_FIND_LINKS": wheels, "UV_FIND_LINKS": wheels})
		}
	}
	return out, true
}

// rust shows the compiler and cargo themselves, never rustup, which would choose and load others; and of
// cargo's home the packages alone, for its credentials are there too.
func (c *compiler) rust(t *config.Toolchain, offline bool) (work.Toolchain, bool) {
	look := preset{program: "rustc", beside: "lib/rustlib/*", hint: `name the directory that "rustc --print sysroot" prints: toolchain "rust" { root = "/path" }`}
	look.tries = c.rustup()
	root, ok := c.home(t, look)
	if !ok {
		return work.Toolchain{}, false
	}
	out := tools(t, root, map[string]string{})
	if offline {
		out.Env["CARGO_NET_OFFLINE"] = "true"
	}
	dir, ok := c.directory(t, "packages", t.Packages, cmp.Or(c.host.CargoHome, filepath.Join(c.host.Home, ".cargo")))
	for _, name := range []string{"registry", "git"} {
		if packages, found := realDir(filepath.Join(dir, name)); ok && found {
			out.Overlay, out.Env["CARGO_HOME"] = append(out.Overlay, packages), dir
		}
	}
	return out, true
}

var defaultToolchain = regexp.MustCompile(`(?m)^default_toolchain *= *"([A-Za-z0-9._-]{1,128})"`)

// maxSettings bounds rustup's settings.
const maxSettings = 1 << 20

// rustup is the compiler of rustup's default toolchain, where there is one.
func (c *compiler) rustup() []string {
	home := cmp.Or(c.host.RustupHome, filepath.Join(c.host.Home, ".rustup"))
	settings := filepath.Join(home, "settings.toml")
	if info, err := os.Stat(settings); err != nil || !info.Mode().IsRegular() || info.Size() > maxSettings {
		return nil
	}
	text, err := os.ReadFile(settings)
	if err != nil {
		return nil
	}
	if m := defaultToolchain.FindSubmatch(text); m != nil {
		return []string{filepath.Join(home, "toolchains", string(m[1]), "bin", "rustc")}
	}
	return nil
}

// tools are a toolchain with its directory of programs.
func tools(t *config.Toolchain, root string, env map[string]string) work.Toolchain {
	return work.Toolchain{Name: t.Name, Read: []string{root}, Path: []string{filepath.Join(root, "bin")}, Env: env}
}

// home finds the root of a preset's tools: declared, or that of the first program in PATH.
func (c *compiler) home(t *config.Toolchain, p preset) (string, bool) {
	if t.Root != "" {
		root, ok := p.root(filepath.Join(t.Root, "bin", p.program))
		if !ok {
			c.report(t, "root", "toolchain_missing", fmt.Sprintf("root %q holds no %s toolchain: bin/%s is not a program with %s beside it", t.Root, t.Name, p.program, p.beside), p.hint)
		}
		return root, ok
	}
	tries := slices.Clone(p.tries)
	for _, dir := range filepath.SplitList(c.host.Path) {
		if filepath.IsAbs(dir) {
			tries = append(tries, filepath.Join(dir, p.program))
		}
	}
	for _, try := range append(tries, filepath.Join("/usr/bin", p.program)) {
		if root, ok := p.root(try); ok {
			return root, true
		}
	}
	c.report(t, "root", "toolchain_missing", fmt.Sprintf("toolchain %q: there is no %s in PATH that is itself the program, with %s beside it", t.Name, p.program, p.beside), "install it, or "+p.hint)
	return "", false
}

// root is where a program belongs. A script that only finds another one does not count, and neither does a
// link to a program of another name, such as a version manager.
func (p preset) root(command string) (string, bool) {
	real, err := filepath.EvalSymlinks(command)
	if err != nil || !native(real) {
		return "", false
	}
	root := filepath.Dir(filepath.Dir(real))
	if !strings.HasPrefix(filepath.Base(real), p.program) || filepath.Base(filepath.Dir(real)) != "bin" {
		return "", false
	}
	if root == "/usr" {
		return root, true // every view has it, and distributions put what is beside elsewhere
	}
	found, err := fs.Glob(os.DirFS(root), p.beside) // so that nothing in the name of the root is a glob
	return root, err == nil && len(found) > 0 && root != "/"
}

// native reports an executable file that is no script.
func native(file string) bool {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return false
	}
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 4)
	n, err := f.Read(magic)
	return err == nil && n == 4 && string(magic) == "\x7fELF"
}

// provision is what a workspace prepares, with own copies of everything.
func (c *compiler) provision(w *config.Workspace) work.Provision {
	out := work.Provision{Copy: slices.Clone(w.Provision), Link: slices.Clone(w.Link), Ports: int(w.Ports)}
	for _, r := range w.Runs {
		out.Runs = append(out.Runs, work.ProvisionRun{
			Name: r.Name, Argv: slices.Clone(r.Command), Sandbox: c.of(r.Sandbox), Timeout: r.Timeout, Declared: r.Declared(),
		})
	}
	for _, k := range w.Caches {
		out.Caches = append(out.Caches, work.Cache{Name: k.Name, Variable: k.Variable, Size: k.Size})
	}
	return out
}
