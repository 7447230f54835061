package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Hosts and paths that nobody reads in two ways.
var (
	hostPattern = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`)
	basePattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*/?$`)
)

// maxModel is the longest pattern of a model's name.
const maxModel = 128

func (d *decoder) checkGateway(g *Gateway) {
	d.checkUpstream(g)
	for i, m := range g.Models {
		if why := badModel(m); why != "" {
			d.rep.at(g.element("models", i), problem{code: codeValue, summary: fmt.Sprintf("models: %s %s", show(m, g.Hidden("models")), why),
				hint: "a model's name, with * for any part of it: \"claude-*\""})
		}
	}
	c := g.Credential()
	if c == nil {
		return
	}
	d.checkSource(c)
	g.FromEnv, g.FromFile = c.FromEnv, c.FromFile
}

// Credential is where the real credential of the gateway is; nil for none.
func (g *Gateway) Credential() *Credential {
	if !g.Has("credential.from_env") && !g.Has("credential.from_file") {
		return nil
	}
	c := &Credential{Name: g.Name, FromEnv: g.FromEnv, FromFile: g.FromFile}
	c.block, c.at, c.keys = "credential of "+g.block, g.At("credential.from_env"), map[string]Range{}
	for _, key := range []string{"from_env", "from_file"} {
		if at, ok := g.keys["credential."+key]; ok {
			c.keys[key], c.at = at, at
		}
	}
	return c
}

// checkUpstream wants one address that nothing but its owner answers at, and puts it into its one spelling.
func (d *decoder) checkUpstream(g *Gateway) {
	if g.Upstream == "" {
		return
	}
	u, why, hint := upstream(g.Upstream)
	if why == "" && d.cfg.Daemon.Listen != "" && u.Host == d.cfg.Daemon.Listen {
		why, hint = "is the daemon itself", "name the model's service"
	}
	if why != "" {
		d.rep.at(g.At("upstream"), problem{code: codeValue, summary: fmt.Sprintf("upstream %s %s", show(g.Upstream, g.Hidden("upstream")), why), hint: hint})
		return
	}
	g.Upstream = u.String()
}

// upstream reads an address; why says what is wrong with it.
func upstream(text string) (u *url.URL, why, hint string) {
	const example = `for example: "https://api.example.com"`
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return nil, "is no address of a service", example
	}
	for _, rule := range []struct {
		broken    bool
		why, hint string
	}{
		{u.Scheme != "https" && u.Scheme != "http", "is neither https nor http", example},
		{u.User != nil, "holds a user", "leave it out; the secret goes into credential { from_env = ... }"},
		{strings.ContainsAny(text, "?#"), "has a query or a fragment", "leave them out"},
		{!hostPattern.MatchString(u.Host), "names no host", example},
		{!basePattern.MatchString(u.EscapedPath()) || strings.Contains(u.Path, "/."), "has a path that is not plain", example},
		{!usablePort(u.Port()), "has no usable port", example},
		{u.Scheme == "http" && !onLoopback(u.Hostname()), "is not encrypted", `use https, or an address of this machine's loopback: "http://127.0.0.1:8080"`},
	} {
		if rule.broken {
			return nil, rule.why, rule.hint
		}
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, "", ""
}

func usablePort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

func onLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() && !ip.Is4In6() && ip.Zone() == ""
}

func badModel(m string) string {
	switch {
	case m == "":
		return "is empty"
	case len(m) > maxModel:
		return fmt.Sprintf("is longer than %d bytes", maxModel)
	}
	for _, c := range m {
		if c <= ' ' || c >= 0x7f {
			return "holds a character that no model's name has"
		}
	}
	return ""
}

// checkGatewayOf wants a gateway to be declared, and a network of the launch's own to put it into: on the
// machine's own loopback everybody could call it.
func (d *decoder) checkGatewayOf(e *Executor) {
	if e.Gateway == "" {
		return
	}
	where := e.At("gateway")
	g := d.cfg.Gateway(e.Gateway)
	if g == nil {
		d.unknownName(where, "gateway", e.Gateway, names(d.cfg.Gateways, func(g *Gateway) string { return g.Name }))
		return
	}
	s := d.cfg.Sandbox(e.Sandbox)
	if s == nil {
		return // reported already
	}
	if why := withoutNetwork(s); why != "" {
		d.rep.at(where, problem{code: codeNoEffect, summary: fmt.Sprintf("gateway %s cannot be given to %s: %s has %s, and no network of its own", quoted(e.Gateway), e.block, s.block, why),
			detail: "On the machine's own loopback every program of the machine could call it.", hint: `use a sandbox with level = "strict"`})
	}
	d.checkKeptOutside(e, g, s)
}

// withoutNetwork says what leaves a sandbox without a network of its own; "" where it has one.
func withoutNetwork(s *Sandbox) string {
	switch {
	case s.Level == "off":
		return `level "off"`
	case s.Network == "host":
		return `network.mode "host"`
	case s.Backend == "landlock":
		return `backend "landlock"`
	}
	return ""
}

// checkKeptOutside warns of a credential that comes in by another door.
func (d *decoder) checkKeptOutside(e *Executor, g *Gateway, s *Sandbox) {
	for _, c := range s.Credentials {
		if g.FromEnv != "" && c.FromEnv == g.FromEnv || g.FromFile != "" && c.FromFile == g.FromFile {
			d.rep.warn(e.At("gateway"), problem{code: codeNoEffect, summary: fmt.Sprintf("%s keeps a credential outside that %s hands in", g.block, s.block),
				hint: "leave " + c.block + " out"})
		}
	}
}
