package policy

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/work"
)

// toolchain resolves a preset to this machine's paths. Those other than Go are told to stay offline where
// the sandbox has no network; Go always is.
func (c *compiler) toolchain(t *config.Toolchain, s *config.Sandbox) (work.Toolchain, bool) {
	offline := s.Network == work.NetworkNone
	switch t.Name {
	case "node":
		return c.node(t, offline)
	case "python":
		return c.python(t, offline)
	case "rust":
		return c.rust(t, offline)
	}
	return c.golang(t)
}

func (c *compiler) golang(t *config.Toolchain) (work.Toolchain, bool) {
	root, ok := c.goRoot(t)
	if !ok {
		return work.Toolchain{}, false
	}
	out := work.Toolchain{
		Name: t.Name, Read: []string{root}, Path: []string{filepath.Join(root, "bin")},
		Env: map[string]string{
			"GOROOT": root, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOSUMDB": "off",
			"GOENV": "off", "GOTELEMETRY": "off", "GOFLAGS": "-buildvcs=false",
		},
	}
	if dir, ok := c.directory(t, "module_cache", t.ModuleCache, c.host.moduleCache()); ok {
		out.Env["GOMODCACHE"] = dir
		if !inside(dir, root) {
			out.Read = append(out.Read, dir)
		}
	}
	if dir, ok := c.directory(t, "build_cache", t.BuildCache, c.host.buildCache()); ok {
		out.Env["GOCACHE"] = dir
		out.Overlay = []string{dir}
	}
	return out, true
}

// directory is a declared directory, or the machine's own where that exists. A cache that nobody has
// made yet is left out: the tool then uses the sandbox's private home.
func (c *compiler) directory(t *config.Toolchain, key, declared, usual string) (string, bool) {
	if declared != "" {
		if real, ok := realDir(declared); ok {
			return real, true
		}
		c.report(t, key, "path_missing", fmt.Sprintf("%s %q is not a directory", key, declared), "create it, or leave it out")
		return "", false
	}
	return realDir(usual)
}

func (c *compiler) report(t *config.Toolchain, key, code, summary, hint string) {
	c.complain(t.At(key), config.Diagnostic{Code: code, Summary: summary, Hint: hint})
}

func (c *compiler) complain(where config.Range, d config.Diagnostic) {
	d.Severity, d.Range = "error", &where
	c.diags = append(c.diags, d)
}

// goRoot finds the Go root: declared, GOROOT, the go command in PATH, or the place of the official
// archive. It starts no process.
func (c *compiler) goRoot(t *config.Toolchain) (string, bool) {
	if t.Root != "" {
		root, ok := rootOf(filepath.Join(t.Root, "bin", "go"))
		if !ok {
			c.report(t, "root", "toolchain_missing", fmt.Sprintf("root %q holds no Go toolchain: there is no bin/go with src and pkg beside it", t.Root), "name the directory that `go env GOROOT` prints")
		}
		return root, ok
	}
	tries := []string{}
	if c.host.GoRoot != "" {
		tries = append(tries, filepath.Join(c.host.GoRoot, "bin", "go"))
	}
	for _, dir := range filepath.SplitList(c.host.Path) {
		if filepath.IsAbs(dir) {
			tries = append(tries, filepath.Join(dir, "go"))
		}
	}
	for _, try := range append(tries, "/usr/local/go/bin/go") {
		if root, ok := rootOf(try); ok {
			return root, true
		}
	}
	c.report(t, "root", "toolchain_missing", `toolchain "go": there is no Go toolchain in GOROOT, PATH or /usr/local/go`, `install Go, or name its place: toolchain "go" { root = "/path/to/go" }`)
	return "", false
}

// rootOf is the Go root that a go command belongs to. Wrappers that only find another go do not count.
func rootOf(command string) (string, bool) {
	real, err := filepath.EvalSymlinks(command)
	if err != nil {
		return "", false
	}
	info, err := os.Stat(real)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", false
	}
	root := filepath.Dir(filepath.Dir(real))
	for _, part := range []string{"src", "pkg"} {
		if info, err := os.Stat(filepath.Join(root, part)); err != nil || !info.IsDir() {
			return "", false
		}
	}
	return root, filepath.Base(filepath.Dir(real)) == "bin"
}

func (h Host) moduleCache() string {
	switch {
	case h.GoModCache != "":
		return h.GoModCache
	case len(filepath.SplitList(h.GoPath)) > 0:
		return filepath.Join(filepath.SplitList(h.GoPath)[0], "pkg", "mod")
	}
	return filepath.Join(h.Home, "go", "pkg", "mod")
}

func (h Host) buildCache() string {
	switch {
	case h.GoCache != "":
		return h.GoCache
	case h.CacheHome != "":
		return filepath.Join(h.CacheHome, "go-build")
	}
	return filepath.Join(h.Home, ".cache", "go-build")
}

// realDir is an absolute directory with symlinks resolved.
func realDir(p string) (string, bool) {
	if !filepath.IsAbs(p) {
		return "", false
	}
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		return "", false
	}
	info, err := os.Stat(real)
	return real, err == nil && info.IsDir()
}

func inside(p, dir string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && filepath.IsLocal(rel)
}
