package cli

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) pluginCommand() *cobra.Command {
	return s.group("plugin", "List, lock and verify plugin programs",
		"Plugins run only when their bytes are those that the lock file beside the configuration names.",
		s.pluginLs(), s.pluginLock(), s.pluginVerify())
}

// pluginDoc is the answer of the plugin commands.
type pluginDoc struct {
	Items []api.Plugin `json:"items"`
	File  string       `json:"file"`
	Dirs  []string     `json:"looked_for_in"`
	// Programs are what executors drive, as they are locked; Left is what could not be, by executor.
	Programs []pinDoc          `json:"programs,omitempty"`
	Left     map[string]string `json:"not_locked,omitempty"`
	Changed  []string          `json:"changed,omitempty"`
}

// pinDoc is one locked program.
type pinDoc struct {
	Executor string `json:"executor"`
	Path     string `json:"path"`
	Digest   string `json:"digest"`
	Files    string `json:"files_digest,omitempty"`
}

func (s *shell) pluginLs() *cobra.Command {
	return s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, short: "List plugins found and locked",
		long: `Lists the plugin programs that are installed or locked: where the program is, its digest and whether
the lock file names it. Needs no daemon.`,
		example: "drawspan plugin ls",
		run: func(context.Context, []string) error {
			doc, err := s.listPlugins()
			if err != nil {
				return err
			}
			return s.showPlugins(doc)
		},
	})
}

// listPlugins hashes what is installed and compares it with the lock file.
func (s *shell) listPlugins() (pluginDoc, error) {
	cfg, err := s.loadPlugins()
	if err != nil {
		return pluginDoc{}, err
	}
	return s.comparePlugins(cfg)
}

func (s *shell) comparePlugins(cfg *config.Config) (pluginDoc, error) {
	doc := pluginDoc{Items: []api.Plugin{}, File: s.lockPath(), Dirs: s.pluginDirs(cfg)}
	lock, err := s.readLock()
	if err != nil {
		return doc, err
	}
	for _, p := range lock.Programs {
		doc.Programs = append(doc.Programs, pinDoc{Executor: p.Executor, Path: p.Path, Digest: p.Digest, Files: p.Files})
	}
	found, err := pluginlock.Verify(lock, doc.Dirs)
	if err != nil {
		return doc, err
	}
	for _, v := range found {
		kind, name, _ := strings.Cut(v.Name, "-")
		x := api.Plugin{Name: name, Kind: kind, Path: v.Path, Digest: v.Actual, Locked: v.Expected, State: v.State}
		if e, ok := lock.Find(kind, name); ok {
			x.Version, x.Simulated = e.Version, e.Simulated
		}
		doc.Items = append(doc.Items, x)
	}
	doc.Items = append(doc.Items, missing(cfg, doc.Items)...)
	return doc, nil
}

// missing are the plugins that the configuration uses and that are neither installed nor locked.
func missing(cfg *config.Config, known []api.Plugin) []api.Plugin {
	var none []api.Plugin
	use := func(kind, name string) {
		same := func(x api.Plugin) bool { return x.Kind == kind && x.Name == name }
		if name != "" && !slices.ContainsFunc(known, same) && !slices.ContainsFunc(none, same) {
			none = append(none, api.Plugin{Kind: kind, Name: name, State: pluginlock.StateMissing})
		}
	}
	if cfg == nil {
		return nil
	}
	for _, e := range cfg.Executors {
		use("executor", e.Plugin)
	}
	for _, w := range cfg.Workspaces {
		for _, g := range w.Gates {
			use("validator", g.Plugin())
		}
	}
	return none
}

func (s *shell) showPlugins(doc pluginDoc) error {
	return s.show(doc, idsOf(doc.Items, func(x api.Plugin) string { return x.Kind + "-" + x.Name }), func(p *page) {
		if len(doc.Items) == 0 {
			p.line("no plugin is installed or locked; looked for in", term.Line(strings.Join(doc.Dirs, ", ")))
			return
		}
		t := term.Table{Head: []string{"KIND", "NAME", "VERSION", "STATE", "DIGEST", "PATH"}, Flex: 5}
		for _, x := range doc.Items {
			t.Rows = append(t.Rows, []string{term.Line(x.Kind), join(p.strong(x.Name), p.simulated(x.Simulated)),
				firstOf(term.Line(x.Version), "-"), p.state(x.State), firstOf(shortDigest(firstOf(x.Digest, x.Locked)), "-"),
				firstOf(term.Line(x.Path), "-")})
		}
		p.table(t)
		p.pins(s, doc)
	})
}

// pins lists the programs that executors drive.
func (p *page) pins(s *shell, doc pluginDoc) {
	if len(doc.Programs) > 0 {
		t := term.Table{Head: []string{"EXECUTOR", "PROGRAM", "DIGEST", "PATH"}, Flex: 3}
		for _, x := range doc.Programs {
			t.Rows = append(t.Rows, []string{p.strong(x.Executor), term.Line(filepath.Base(x.Path)), shortDigest(x.Digest), term.Line(s.tilde(x.Path))})
		}
		p.gap()
		p.table(t)
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Left)) {
		p.line(p.Paint(term.Ask, "left out") + ": executor " + p.strong(name) + ": " + term.Line(doc.Left[name]))
	}
}

// tilde shows the home directory as ~.
func (s *shell) tilde(path string) string {
	if rest, ok := strings.CutPrefix(path, filepath.Clean(s.io.Home)+"/"); ok && filepath.IsAbs(s.io.Home) {
		return "~/" + rest
	}
	return path
}

// shortDigest is a digest as tables show it.
func shortDigest(d string) string {
	d = term.Line(d)
	return d[:min(len(d), len("sha256:")+12)]
}

func (s *shell) pluginLock() *cobra.Command {
	return s.leaf(leaf{
		use: "lock", short: "Write the digests of the installed plugins to the lock file",
		long: `Hashes every installed plugin program, asks each, confined, what it is, and writes drawspan.lock.hcl
beside the configuration. The programs that executors drive are found and pinned, too, each with its
package and interpreter; one that is not installed is said and left out. From then on only those bytes
are executed. Look at the list before you commit the file: it is what you trust. Needs no daemon; a
running one reads it at its next reload.`,
		example: "drawspan plugin lock && drawspan config reload",
		run: func(ctx context.Context, _ []string) error {
			if s.app.Describe == nil {
				return cannot("plugin lock")
			}
			cfg, err := s.loadPlugins()
			if err != nil {
				return err
			}
			changed, err := s.lockPlugins(ctx, s.pluginDirs(cfg))
			if err != nil {
				return err
			}
			pinned, left, err := s.lockPrograms(ctx)
			if err != nil {
				return err
			}
			doc, err := s.comparePlugins(cfg)
			if err != nil {
				return err
			}
			doc.Changed, doc.Left = append(changed, pinned...), left
			if err := s.showPlugins(doc); err != nil {
				return err
			}
			s.say(s.talk.Mark(term.Good) + " wrote " + term.Line(doc.File) + ": " + counted(len(doc.Changed), "change"))
			return nil
		},
	})
}

// lockPlugins locks what is installed and answers with what that changed.
func (s *shell) lockPlugins(ctx context.Context, dirs []string) ([]string, error) {
	lock, err := s.readLock()
	if err != nil {
		return nil, err
	}
	o := s.daemonOptions()
	found, err := pluginlock.Lock(dirs, func(p pluginlock.Program) (pluginlock.Facts, error) {
		return s.app.Describe(ctx, o, p)
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fault.New(fault.PluginNotFound, "no plugin program is installed").At(strings.Join(dirs, ", ")).
			Fix("scripts/install")
	}
	changed := lock.Update(found)
	return changed, pluginlock.Write(s.lockPath(), lock)
}

// lockPrograms pins what executors drive, by the lock file that names their plugins now.
func (s *shell) lockPrograms(ctx context.Context) (changed []string, left map[string]string, err error) {
	if s.app.Pins == nil {
		return nil, nil, nil
	}
	pins, missing, err := s.app.Pins(ctx, s.daemonOptions())
	if err != nil {
		return nil, nil, err
	}
	lock, err := s.readLock()
	if err != nil {
		return nil, nil, err
	}
	for name, err := range missing {
		f := fault.From(err)
		if left == nil {
			left = map[string]string{}
		}
		left[name] = f.Message
		if f.Hint != "" {
			left[name] += " (" + f.Hint + ")"
		}
	}
	if changed = lock.Pin(pins); len(changed) == 0 {
		return nil, left, nil
	}
	return changed, left, pluginlock.Write(s.lockPath(), lock)
}

// cannot is a command that this build lacks the means for.
func cannot(what string) error {
	return fault.New(fault.NotSupported, "this build of drawspan cannot do %q", what).Fix("install a complete build: scripts/install")
}

func (s *shell) pluginVerify() *cobra.Command {
	return s.leaf(leaf{
		use: "verify", short: "Hash every plugin anew and compare with the lock file",
		long: `Hashes the plugins and compares. Exit 3 when one is missing, not locked or not the one that was
locked. Needs no daemon.`,
		example: "drawspan plugin verify",
		run: func(context.Context, []string) error {
			doc, err := s.listPlugins()
			if err != nil {
				return err
			}
			if err := s.showPlugins(doc); err != nil {
				return err
			}
			for _, x := range doc.Items {
				if x.State != pluginlock.StateOK {
					s.say(s.talk.Paint(term.Good, "fix")+": drawspan plugin lock", "  once you have made sure that the programs are yours")
					return ended{fault.ExitConfig}
				}
			}
			return nil
		},
	})
}

// pluginChecks is doctor's view of what was found.
func (s *shell) pluginChecks(cfg *config.Config) []api.Check {
	doc, err := s.comparePlugins(cfg)
	if err != nil {
		f := s.faultOf(err)
		return []api.Check{{Group: "plugins", Name: "lock", State: "fail", Detail: f.Message, Fix: s.fix(f)}}
	}
	var checks []api.Check
	for _, x := range doc.Items {
		c := api.Check{Group: "plugins", Name: x.Kind + " " + x.Name, State: "ok", Detail: fmt.Sprintf("%s at %s", shortDigest(x.Digest), x.Path)}
		switch x.State {
		case pluginlock.StateOK:
		case pluginlock.StateMissing:
			c.State, c.Detail, c.Fix = "fail", "the program is not installed", "scripts/install"
		case pluginlock.StateMismatch:
			c.State, c.Detail, c.Fix = "fail", "the program is not the one that was locked", "drawspan plugin verify"
		default:
			c.State, c.Detail, c.Fix = "warn", "the program is not locked", "drawspan plugin lock"
		}
		if x.Simulated {
			c.Detail += " [" + simulatedMarker + "]"
		}
		checks = append(checks, c)
	}
	return checks
}
