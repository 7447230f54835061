package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// check looks at what one block alone cannot know, and at the world: names, paths, combinations.
func (d *decoder) check() {
	d.addDefaultSandbox()
	d.checkDaemon()
	d.checkPlugins()
	d.checkClients()
	for _, s := range d.cfg.Sandboxes {
		d.checkSandbox(s)
	}
	for _, g := range d.cfg.Gateways {
		d.checkGateway(g)
	}
	d.checkExecutors()
	for _, w := range d.cfg.Workspaces {
		d.checkWorkspace(w)
	}
	d.checkGateSets()
	d.checkRoots()
	d.checkRepositories()
}

func (d *decoder) checkDaemon() {
	m := &d.cfg.Daemon
	where := m.Origin
	if where.at.Filename == "" {
		where.at = d.cfg.at // the default's problems need some place
	}
	if p, ok := d.anchored(&where, "state_dir", m.StateDir); ok {
		m.StateDir = p
		if p == "/" {
			d.rep.at(m.At("state_dir"), problem{code: codeValue, summary: "state_dir must not be /"})
		}
	}
	if p, ok := d.anchored(&where, "log.file", m.LogFile); ok {
		m.LogFile = p
	}
	if m.RunAs != "" && !userPattern.MatchString(m.RunAs) {
		d.rep.at(m.At("run_as"), problem{code: codeName, summary: fmt.Sprintf("run_as %s is no user name", quoted(m.RunAs))})
	}
	if m.RunAs == "root" || m.RunAs == "0" {
		d.rep.at(m.At("run_as"), problem{code: codeValue, summary: "run_as must not be root", hint: "name an unprivileged user"})
	}
	d.checkListen(m)
}

// checkListen accepts loopback addresses only. A host name is refused too: what it resolves to is
// decided elsewhere.
func (d *decoder) checkListen(m *Daemon) {
	if m.Listen == "" {
		return
	}
	where := m.At("listen")
	at, err := netip.ParseAddrPort(m.Listen)
	if err == nil && at.Addr().IsLoopback() && at.Addr().Zone() == "" && !at.Addr().Is4In6() {
		return
	}
	if err == nil {
		d.rep.at(where, problem{code: codeNotLoopback, summary: fmt.Sprintf("listen %s is not a loopback address", quoted(m.Listen)),
			detail: "The daemon is never reachable from other machines.", hint: fmt.Sprintf("write 127.0.0.1:%d", at.Port())})
		return
	}
	host, port, _ := strings.Cut(m.Listen, ":")
	if n, err := strconv.ParseUint(port, 10, 16); err == nil && host != "" && !strings.Contains(host, ":") {
		d.rep.at(where, problem{code: codeNotLoopback, summary: fmt.Sprintf("listen %s names a host, which may resolve to any address", quoted(m.Listen)),
			detail: "The daemon is never reachable from other machines.", hint: fmt.Sprintf("write 127.0.0.1:%d", n)})
		return
	}
	p := problem{code: codeNotLoopback, summary: fmt.Sprintf("listen %s is not a loopback address with a port", quoted(m.Listen)), hint: "for example: 127.0.0.1:7070, or [::1]:7070"}
	d.rep.at(where, p)
}

// clientPattern is what the socket takes for a client's name.
var clientPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// operatorName is how the operator's own command line calls itself.
const operatorName = "cli"

// deciding is the operation that no pattern grants.
const deciding = "approval.decide"

// checkClients refuses grants that grant nothing.
func (d *decoder) checkClients() {
	for _, c := range d.cfg.Clients {
		if !clientPattern.MatchString(c.Name) {
			d.rep.header(c.at, problem{code: codeName, summary: fmt.Sprintf("no client can call itself %s", quoted(c.Name)), hint: "a client's name is lower-case letters, digits and -, at most 32"})
		}
		if c.Name == operatorName {
			d.rep.header(c.at, problem{code: codeName, summary: fmt.Sprintf("%s is the operator's own command line", quoted(c.Name)), hint: "it may do everything; name another program"})
		}
		for i, g := range c.Operations {
			known := d.src.Operations == nil || slices.ContainsFunc(d.src.Operations, func(op string) bool { return (&Client{Operations: []string{g}}).May(op) })
			if _, err := doublestar.Match(g, ""); err != nil || !known {
				d.rep.at(c.element("operations", i), problem{code: codeValue, summary: fmt.Sprintf("%s grants no operation", quoted(g)), hint: meant(g, d.src.Operations, "operation")})
			}
		}
	}
}

// May reports whether the client is granted an operation. To decide in the operator's place has to be written
// out: no pattern grants it.
func (c *Client) May(operation string) bool {
	return slices.ContainsFunc(c.Operations, func(g string) bool {
		ok, err := doublestar.Match(g, operation)
		return err == nil && ok && (operation != deciding || g == deciding)
	})
}

func (d *decoder) checkPlugins() {
	for _, p := range d.cfg.Plugins {
		if dir, ok := d.directory(&p.Origin, "dir", p.Dir); ok {
			p.Dir = dir
			d.outsideState(&p.Origin, "dir", dir)
		}
	}
}

func (d *decoder) checkExecutors() {
	for _, e := range d.cfg.Executors {
		d.sandboxNamed(&e.Origin, e.Sandbox)
		d.checkPermissions(e)
		d.checkGatewayOf(e)
		d.checkProgram(e)
		if p, unknown := d.unlocked("executor", e.Plugin); unknown { // its steps fail, those of others do not: a gate is not left out by it
			d.rep.warn(e.At("plugin"), p)
		}
	}
}

// checkProgram takes a name for PATH as it is, and makes a place absolute.
func (d *decoder) checkProgram(e *Executor) {
	switch {
	case e.Program == "" || programPattern.MatchString(e.Program):
	case strings.ContainsAny(e.Program, "/~"):
		if p, ok := d.anchored(&e.Origin, "program", e.Program); ok {
			e.Program = p
		}
	default:
		d.rep.at(e.At("program"), problem{code: codeName, summary: fmt.Sprintf("program %s is not a name that is looked for in PATH", quoted(e.Program)),
			hint: `write a name such as "claude", or a place such as "~/bin/claude"`})
	}
}

// sandboxNamed reports a sandbox that is not declared.
func (d *decoder) sandboxNamed(o *Origin, name string) {
	if name == "" || d.cfg.Sandbox(name) != nil {
		return
	}
	d.unknownName(o.At("sandbox"), "sandbox", name, names(d.cfg.Sandboxes, func(s *Sandbox) string { return s.Name }))
}

func (d *decoder) unknownName(where Range, kind, name string, known []string) {
	d.rep.at(where, problem{code: codeReference, summary: fmt.Sprintf("%s %s is not declared", kind, quoted(name)), hint: meant(name, known, kind)})
}

func names[T any](all []T, of func(T) string) []string {
	out := make([]string, 0, len(all))
	for _, x := range all {
		out = append(out, of(x))
	}
	return out
}

// addDefaultSandbox makes the sandbox that gates fall back to explicit, with its defaults.
func (d *decoder) addDefaultSandbox() {
	byDefault := func(g *Gate) bool { return g.Sandbox == defaultSandbox }
	used := slices.ContainsFunc(d.cfg.Workspaces, func(w *Workspace) bool { return slices.ContainsFunc(w.Gates, byDefault) }) ||
		slices.ContainsFunc(d.cfg.GateSets, func(s *GateSet) bool { return slices.ContainsFunc(s.Gates, byDefault) }) ||
		slices.ContainsFunc(d.cfg.Workspaces, func(w *Workspace) bool {
			return slices.ContainsFunc(w.Runs, func(r *run) bool { return r.Sandbox == defaultSandbox })
		})
	if !used || d.cfg.Sandbox(defaultSandbox) != nil {
		return
	}
	s := &Sandbox{Name: defaultSandbox, Origin: Origin{block: `sandbox "default"`}}
	fields := tagged(s)
	each(&sandboxSchema, "", func(dotted string, k *key) {
		if f, ok := fields[dotted]; ok && k.def != "" {
			d.preset(k, f)
		}
	})
	d.cfg.Sandboxes = append(d.cfg.Sandboxes, s)
}
