package policy

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/egress"
	"github.com/drawspan/drawspan/host/internal/work"
)

func (c *compiler) sandbox(s *config.Sandbox) *work.SandboxPolicy {
	out := &work.SandboxPolicy{
		Name: s.Name, Level: s.Level, OnShortfall: s.OnShortfall, Floor: s.Floor, Backend: s.Backend,
		Read: slices.Clone(s.Read), Write: slices.Clone(s.Write), Protect: slices.Clone(s.Protect),
		Sensitive: s.Sensitive, Import: s.Import, Env: maps.Clone(s.Env), Pass: slices.Clone(s.Pass), Calls: slices.Clone(s.Calls),
		Network:   work.NetworkPolicy{Mode: s.Network, Allow: c.allowed(s), Private: s.PrivateAddresses},
		Processes: int(s.Processes), OpenFiles: int(s.OpenFiles), FileSize: s.FileSize, Tmp: s.Tmp, Output: s.Output,
		Memory: s.Memory, Disk: s.Disk, CPUs: int(s.CPUs), CPUTime: s.CPUTime, Wall: s.Wall, Declared: s.Declared(),
	}
	for _, t := range s.Toolchains {
		if tc, ok := c.toolchain(t, s); ok {
			out.Toolchains = append(out.Toolchains, tc)
		}
	}
	for _, k := range s.Credentials {
		out.Credentials = append(out.Credentials, work.Credential{
			Name: k.Name, FromEnv: k.FromEnv, FromFile: k.FromFile, Deliver: k.Deliver, Variable: k.Variable, Declared: k.Declared(),
		})
	}
	c.apartFromSocket(s)
	out.Widenings = widenings(s, out.Network.Allow)
	return out
}

// allowed are the sandbox's rules for the proxy in their one spelling, each with its port.
func (c *compiler) allowed(s *config.Sandbox) []string {
	out := []string{}
	first := map[egress.Rule]string{}
	for i, text := range s.Allow {
		key := fmt.Sprintf("network.allow[%d]", i)
		rule, err := egress.ParseRule(text)
		if err != nil && s.Hidden("network.allow") {
			c.complain(s.At(key), config.Diagnostic{Code: "invalid_host", Summary: "network.allow: a sensitive value is no host to allow"})
			continue
		}
		if err != nil {
			f := fault.From(err)
			c.complain(s.At(key), config.Diagnostic{Code: "invalid_host", Summary: "network.allow: " + f.Message, Hint: f.Hint})
			continue
		}
		if by, twice := first[rule]; twice {
			c.complain(s.At(key), config.Diagnostic{Code: "invalid_value", Summary: fmt.Sprintf("network.allow: %q says the same as %q", text, by), Hint: "keep one"})
			continue
		}
		if rule.Private() && !s.PrivateAddresses {
			c.complain(s.At(key), config.Diagnostic{Code: "invalid_host", Summary: fmt.Sprintf("network.allow: %q is a private address", text), Hint: "add: private_addresses = true"})
			continue
		}
		first[rule] = text
		out = append(out, rule.String())
	}
	return out
}

// apartFromSocket refuses what would show the daemon's own socket, wherever it was put. The state
// directory, where it is otherwise, is refused already.
func (c *compiler) apartFromSocket(s *config.Sandbox) {
	if !filepath.IsAbs(c.host.Socket) {
		return
	}
	socket := filepath.Clean(c.host.Socket)
	if real, err := filepath.EvalSymlinks(filepath.Dir(socket)); err == nil {
		socket = filepath.Join(real, filepath.Base(socket))
	}
	for _, list := range []struct {
		key   string
		paths []string
	}{{"filesystem.read", s.Read}, {"filesystem.write", s.Write}} {
		for i, p := range list.paths {
			key := fmt.Sprintf("%s[%d]", list.key, i)
			if inside(socket, p) {
				c.complain(s.At(key), config.Diagnostic{Code: "exposes_host", Summary: fmt.Sprintf("%s %q shows the daemon's socket %q", key, p, socket),
					Hint: "name a directory without it, or put the socket elsewhere"})
			}
		}
	}
}

// widenings are what a sandbox gives beyond the defaults, each with the place where it is written.
func widenings(s *config.Sandbox, allowed []string) []work.Widening {
	var out []work.Widening
	add := func(key, at, value string) {
		if s.Hidden(key) {
			value = "(sensitive)"
		}
		out = append(out, work.Widening{Sandbox: s.Name, Key: key, Value: value, Declared: s.At(at).String()})
	}
	if s.BelowDefault() {
		add("level", "level", s.Level)
	}
	if s.OnShortfall == "degrade" {
		add("on_shortfall", "on_shortfall", "degrade to "+s.Floor)
	}
	if s.Network != work.NetworkNone {
		add("network.mode", "network.mode", s.Network)
	}
	if s.PrivateAddresses {
		add("network.private_addresses", "network.private_addresses", strconv.FormatBool(true))
	}
	for _, list := range []struct {
		key    string
		values []string
	}{
		{"filesystem.read", s.Read}, {"filesystem.write", s.Write}, {"network.allow", allowed},
		{"env.pass", s.Pass}, {"syscalls.allow", s.Calls},
	} {
		for i, v := range list.values {
			add(list.key, fmt.Sprintf("%s[%d]", list.key, i), v)
		}
	}
	for _, t := range s.Toolchains {
		out = append(out, work.Widening{Sandbox: s.Name, Key: "toolchain", Value: t.Name, Declared: t.Declared()})
	}
	for _, k := range s.Credentials {
		out = append(out, work.Widening{Sandbox: s.Name, Key: "credential", Value: k.Name, Declared: k.Declared()})
	}
	return out
}

// Widenings are those of every sandbox that an executor or a gate uses, sorted and each once.
func Widenings(p *work.Policy) []work.Widening {
	var out []work.Widening
	collect := func(s *work.SandboxPolicy) {
		if s != nil {
			out = append(out, s.Widenings...)
		}
	}
	for _, e := range p.Executors {
		collect(e.Sandbox)
		if e.Program != nil && e.Sandbox != nil { // it is shown inside
			out = append(out, work.Widening{Sandbox: e.Sandbox.Name, Key: "program", Value: e.Program.Name, Declared: e.Program.Declared})
		}
	}
	for _, w := range p.Workspaces {
		for _, g := range w.Gates {
			collect(g.Sandbox)
		}
		for _, r := range w.Provision.Runs {
			collect(r.Sandbox)
		}
	}
	slices.SortFunc(out, func(a, b work.Widening) int {
		return cmp.Or(cmp.Compare(a.Sandbox, b.Sandbox), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Declared, b.Declared))
	})
	return slices.Compact(out)
}

// NewWidenings are those that next has and old has not, wherever each of them is written.
func NewWidenings(old, next *work.Policy) []work.Widening {
	had := map[work.Widening]bool{}
	for _, w := range Widenings(old) {
		w.Declared = ""
		had[w] = true
	}
	return slices.DeleteFunc(Widenings(next), func(w work.Widening) bool {
		w.Declared = ""
		return had[w]
	})
}
