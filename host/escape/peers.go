package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/escape/catalogue"
)

// Versions of the packages that scripts/escape installs; a comparison names what it compared.
const (
	srtVersion   = "0.0.83"
	codexVersion = "0.169.0"
)

// peer is another way to run a probe.
type peer struct {
	name    string
	missing func(g *rig) string // why it cannot be run here, or ""
	wrap    func(g *rig) func(w *world, argv []string) *exec.Cmd
}

// ours is the name under which our own sandbox is in the comparison.
const ours = "drawspan"

// peers are compared in this order.
func peers() []peer {
	return []peer{
		{ours, func(*rig) string { return "" }, nil},
		{"bubblewrap, minimal view", needProgram("bwrap"), func(*rig) func(*world, []string) *exec.Cmd { return minimalView }},
		{"bubblewrap, read-only root", needProgram("bwrap"), func(*rig) func(*world, []string) *exec.Cmd { return readOnlyRoot }},
		{"codex " + codexVersion + ", workspace-write", needPackage(codexProgram), codex},
		{"sandbox-runtime " + srtVersion + ", writes the tree, home denied", needPackage(srtProgram), srt},
		{"no sandbox", func(*rig) string { return "" }, func(*rig) func(*world, []string) *exec.Cmd { return unconfined }},
	}
}

func needProgram(name string) func(*rig) string {
	return func(*rig) string {
		if _, err := exec.LookPath(name); err != nil {
			return name + " is not installed"
		}
		return ""
	}
}

func needPackage(find func(*rig) (string, error)) func(*rig) string {
	return func(g *rig) string {
		if _, err := find(g); err != nil {
			return err.Error()
		}
		for _, p := range []string{"node", "bwrap", "socat", "rg"} {
			if _, err := exec.LookPath(p); err != nil {
				return p + ", which it needs, is not installed"
			}
		}
		return ""
	}
}

// npmDir is where scripts/escape installs packages: a cache outside of the project.
func npmDir() string { return os.Getenv("DRAWSPAN_ESCAPE_NPM") }

func codexProgram(*rig) (string, error) {
	found, err := filepath.Glob(npmDir() + "/node_modules/@openai/codex-linux-*/vendor/*/bin/codex")
	if err != nil || len(found) == 0 {
		return "", errors.New("@openai/codex could not be installed from npm")
	}
	return found[0], nil
}

func srtProgram(*rig) (string, error) {
	p := npmDir() + "/node_modules/@anthropic-ai/sandbox-runtime/dist/cli.js"
	if _, err := os.Stat(p); err != nil {
		return "", errors.New("@anthropic-ai/sandbox-runtime could not be installed from npm")
	}
	return p, nil
}

// carelessEnv is the environment of a daemon that has secrets in it; the peers get what it passes on.
func carelessEnv(w *world, more ...string) []string {
	return append(append(os.Environ(), w.careless()...), more...)
}

func wrapped(w *world, env []string, prefix, argv []string) *exec.Cmd {
	path, err := exec.LookPath(prefix[0])
	if err != nil {
		path = prefix[0] // starting it says what is wrong
	}
	return &exec.Cmd{Path: path, Args: append(slices.Clone(prefix), argv...), Env: env, Dir: w.target.Tree}
}

func minimalView(w *world, argv []string) *exec.Cmd {
	prefix := []string{"bwrap", "--unshare-all", "--new-session", "--die-with-parent", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin",
		"--ro-bind", "/usr", "/usr"}
	for _, dir := range []string{"/bin", "/lib", "/lib64", "/sbin"} {
		if target, err := os.Readlink(dir); err == nil {
			prefix = append(prefix, "--symlink", target, dir)
		}
	}
	prefix = append(prefix, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", argv[0], argv[0],
		"--bind", w.target.Tree, w.target.Tree, "--chdir", w.target.Tree, "--")
	return wrapped(w, carelessEnv(w), prefix, argv)
}

func readOnlyRoot(w *world, argv []string) *exec.Cmd {
	prefix := []string{"bwrap", "--unshare-all", "--new-session", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
		"--tmpfs", "/tmp", "--bind", w.target.Tree, w.target.Tree, "--ro-bind", argv[0], argv[0], "--chdir", w.target.Tree, "--"}
	return wrapped(w, carelessEnv(w), prefix, argv)
}

// codex is told not to make temporary directories writable: the canaries of this run lie in one.
func codex(g *rig) func(*world, []string) *exec.Cmd {
	return func(w *world, argv []string) *exec.Cmd {
		program, _ := codexProgram(g) // it was found before
		prefix := []string{program, "sandbox", "-c", `sandbox_mode="workspace-write"`,
			"-c", "sandbox_workspace_write.exclude_tmpdir_env_var=true", "-c", "sandbox_workspace_write.exclude_slash_tmp=true", "--"}
		return wrapped(w, carelessEnv(w, "CODEX_HOME="+npmDir()+"/codex-home"), prefix, argv)
	}
}

func srt(g *rig) func(*world, []string) *exec.Cmd {
	return func(w *world, argv []string) *exec.Cmd {
		program, _ := srtProgram(g) // it was found before
		settings := filepath.Join(npmDir(), "settings-"+w.target.Mark+".json")
		text := fmt.Sprintf(`{"network":{"allowedDomains":[],"deniedDomains":[]},"filesystem":{"denyRead":[%q],"allowWrite":["."],"denyWrite":[]}}`, w.target.Home)
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			return exec.Command("/nonexistent")
		}
		return wrapped(w, carelessEnv(w), []string{"node", program, "-s", settings, "--"}, argv)
	}
}

// comparePeers runs every one in a process of its own, because each needs a world of its own, and prints what
// each let through.
func (g *rig) comparePeers(out io.Writer, jsonFile string) (int, error) {
	var all [][]line
	var names []string
	for _, p := range peers() {
		if why := p.missing(g); why != "" {
			fmt.Fprintf(out, "%s: skipped: %s\n", p.name, why)
			continue
		}
		lines, err := g.inProcess(p.name)
		if err != nil {
			return 1, fmt.Errorf("%s: %w", p.name, err)
		}
		all, names = append(all, lines), append(names, p.name)
	}
	if err := writeJSON(jsonFile, slices.Concat(all...)); err != nil {
		return 1, err
	}
	return printPeers(out, names, all)
}

func (g *rig) inProcess(name string) ([]line, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var said bytes.Buffer
	cmd := exec.Command(self, "--level", g.level, "--peer", name)
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, said.String())
	}
	var lines []line
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%q: %w", s.Text(), err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// onePeer runs the list under one of them and prints JSON lines.
func (g *rig) onePeer(out io.Writer, name string) (int, error) {
	i := slices.IndexFunc(peers(), func(p peer) bool { return p.name == name })
	if i < 0 {
		return 1, fmt.Errorf("there is no %q", name)
	}
	enc := json.NewEncoder(out)
	for _, p := range catalogue.All() {
		if p.Where == catalogue.OursOnly || p.Where == catalogue.Confined && name == "no sandbox" {
			continue
		}
		var r *result
		var err error
		if name == ours {
			r, err = g.confined(&p, nil)
		} else {
			r, err = g.plain(&p, peers()[i].wrap(g))
		}
		if err != nil {
			return 1, err
		}
		l := line{Probe: p.ID, Name: p.Title, Layer: p.Layer, Claimed: p.Level, Level: g.level, Backend: name,
			Refused: r.refused(), Broken: r.broken(), Detail: r.detail()}
		if err := enc.Encode(l); err != nil {
			return 1, err
		}
	}
	return 0, nil
}

// printPeers counts on the list that all of them ran. A probe that cannot be tried somewhere counts as
// refused there.
func printPeers(out io.Writer, names []string, all [][]line) (int, error) {
	count := make(map[string]int)
	for _, lines := range all {
		for _, l := range lines {
			count[l.Probe]++
		}
	}
	var b strings.Builder
	var best, own tally
	for i, lines := range all {
		var c tally
		for _, l := range lines {
			if count[l.Probe] == len(all) {
				c.add(&l)
			}
		}
		if names[i] == ours {
			own = c
		} else if names[i] != "no sandbox" && c.refused > best.refused {
			best = c
		}
		fmt.Fprintf(&b, "| %s | %d of %d | %d of %d | %s |\n", names[i], c.refused, c.total, len(c.numbers)-len(c.open), len(c.numbers),
			strings.Join(c.through, " "))
	}
	if best.total > 0 {
		fmt.Fprintf(&b, "\nours to the best other: %d to %d probes, %.2f; let through: %d to %d\n", own.refused, best.refused,
			float64(own.refused)/float64(best.refused), len(own.through), len(best.through))
	}
	_, err := io.WriteString(out, b.String())
	return 0, err
}

// tally counts probes, and numbers of the catalogue: a number is refused when all of its probes are.
type tally struct {
	refused, total int
	through        []string
	numbers, open  map[int]bool
}

func (c *tally) add(l *line) {
	if c.numbers == nil {
		c.numbers, c.open = make(map[int]bool), make(map[int]bool)
	}
	c.total++
	n := catalogue.Number(l.Probe)
	c.numbers[n] = true
	if l.Refused || l.Broken {
		c.refused++
		return
	}
	c.open[n] = true
	c.through = append(c.through, l.Probe)
}
