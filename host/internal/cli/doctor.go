package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) doctorCommand() *cobra.Command {
	return s.leaf(leaf{
		use: "doctor", short: "Try what drawspan needs of this machine, and say how to fix what is missing",
		long: `Tries, rather than guesses: the configuration, the sandbox with a real launch, and with one at the
level of each sandbox that the configuration uses, git, plugins and where they are looked for, state
directory and socket, and the daemon's own checks when one runs. Needs no daemon. Exit 1 when something
fails; warnings do not count.`,
		example: "drawspan doctor",
		run: func(ctx context.Context, _ []string) error {
			d := s.examine(ctx)
			if err := s.show(d, nil, func(p *page) { p.doctor(d) }); err != nil {
				return err
			}
			if !d.OK {
				return ended{fault.ExitInternal}
			}
			return nil
		},
	})
}

// examine collects every check.
func (s *shell) examine(ctx context.Context) api.Doctor {
	var checks []api.Check
	if s.app.Doctor != nil {
		checks = s.app.Doctor(ctx, s.daemonOptions())
	} else {
		checks = s.configChecks()
	}
	for i, dir := range s.libexec() {
		if c := dirCheck(i, dir); s.app.Doctor == nil || c.State != "ok" {
			checks = append(checks, c)
		}
	}
	checks = append(checks, s.daemonChecks(ctx, checks)...)
	d := api.Doctor{OK: true, Checks: checks}
	for _, c := range checks {
		d.OK = d.OK && c.State != "fail"
	}
	return d
}

// configChecks are for a build without a daemon: configuration and plugins.
func (s *shell) configChecks() []api.Check {
	if len(s.configPaths()) == 0 {
		return []api.Check{{Group: "configuration", Name: "files", State: "warn",
			Detail: "none found; looked for " + strings.Join(s.defaultConfigs(), ", "), Fix: "write a drawspan.hcl, see examples/"}}
	}
	c := api.Check{Group: "configuration", Name: "files", State: "ok", Detail: strings.Join(s.configPaths(), ", ")}
	cfg, diags, err := s.judged()
	if err == nil {
		err = diags.Err()
	}
	switch {
	case err != nil:
		f := s.faultOf(err)
		c.State, c.Detail, c.Fix = "fail", strings.TrimPrefix(f.Where+": "+f.Message, ": "), "drawspan validate"
	case len(diags) > 0:
		c.State, c.Detail, c.Fix = "warn", c.Detail+": "+counted(len(diags), "warning"), "drawspan validate"
	}
	return append([]api.Check{c}, s.pluginChecks(cfg)...)
}

// daemonChecks is the daemon's view, where it differs, when there is one; that there is none is only a
// warning.
func (s *shell) daemonChecks(ctx context.Context, own []api.Check) []api.Check {
	socket := s.socketPath()
	where := firstOf(s.g.address, socket)
	d, err := ask[api.Doctor](ctx, s, api.OpDoctor, api.Empty{})
	if err != nil {
		f := s.faultOf(err)
		state := "fail"
		if f.Code == fault.Unavailable {
			state = "warn"
		}
		return []api.Check{{Group: "daemon", Name: "reachable", State: state, Detail: f.Message + " (" + where + ")", Fix: s.fix(f)}}
	}
	checks := []api.Check{{Group: "daemon", Name: "reachable", State: "ok", Detail: where}}
	if in, err := ask[api.Instance](ctx, s, api.OpInstanceDescribe, api.Empty{}); err == nil {
		c := api.Check{Group: "daemon", Name: "version", State: "ok", Detail: in.Version}
		if mine := s.version().Version; in.Version != mine {
			c.State, c.Detail = "warn", fmt.Sprintf("the daemon is %s, this program %s", in.Version, mine)
			c.Fix = "restart the daemon: drawspan serve"
		}
		checks = append(checks, c)
	}
	if c, ok := socketCheck(socket); ok && s.g.address == "" {
		checks = append(checks, c)
	}
	for _, c := range d.Checks {
		// What it sees as this program does is said once.
		if !slices.Contains(own, c) {
			c.Group = "daemon: " + c.Group
			checks = append(checks, c)
		}
	}
	return checks
}

// socketCheck looks at who may reach the socket.
func socketCheck(path string) (api.Check, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return api.Check{}, false
	}
	c := api.Check{Group: "daemon", Name: "socket", State: "ok", Detail: fmt.Sprintf("mode %04o", info.Mode().Perm())}
	if info.Mode().Perm()&0o077 != 0 {
		c.State, c.Fix = "fail", "stop whoever changed it, then: drawspan serve"
	}
	return c, true
}

// dirCheck looks at a directory in which plugins are looked for.
func dirCheck(i int, dir string) api.Check {
	c := api.Check{Group: "plugins", Name: fmt.Sprintf("looked for, %d", i+1), State: "ok", Detail: dir}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		c.Detail += " (does not exist)"
	case !info.IsDir():
		c.State, c.Detail, c.Fix = "fail", dir+" is no directory", "remove it, or name another directory"
	case info.Mode().Perm()&0o022 != 0:
		c.State, c.Detail, c.Fix = "warn", dir+" is writable by others", "chmod go-w "+dir
	}
	return c
}

func (p *page) doctor(d api.Doctor) {
	group := ""
	width := 0
	for _, c := range d.Checks {
		width = max(width, term.Width(term.Line(c.Name)))
	}
	for _, c := range d.Checks {
		if c.Group != group {
			if group != "" {
				p.gap()
			}
			group = c.Group
			p.line(p.strong(group))
		}
		p.line("  "+term.Pad(p.state(c.State), len("* fail")), term.Pad(term.Line(c.Name), width), firstLine(c.Detail))
		if c.Fix != "" && c.State != "ok" {
			p.line("    " + p.Paint(term.Good, "fix") + ": " + term.Line(c.Fix))
		}
	}
	p.gap()
	n := map[string]int{}
	for _, c := range d.Checks {
		n[c.State]++
	}
	p.line(fmt.Sprintf("%d ok, %d warn, %d fail", n["ok"], n["warn"], n["fail"]))
}
