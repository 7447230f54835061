package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// levels from the weakest to the strongest.
var levels = []string{"off", "guarded", "isolated", "strict", "vm"}

func (d *decoder) checkSandbox(s *Sandbox) {
	d.checkLevel(s)
	for i, written := range s.Read {
		key := fmt.Sprintf("filesystem.read[%d]", i)
		if !s.Has(key) {
			key = "filesystem.read"
		}
		if p, _, ok := d.existing(&s.Origin, key, written); ok {
			s.Read[i] = p
			d.mayShow(&s.Origin, key, p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		d.checkVariable(s, name)
	}
	for _, t := range s.Toolchains {
		for _, f := range []struct {
			key  string
			path *string
		}{{"root", &t.Root}, {"module_cache", &t.ModuleCache}, {"build_cache", &t.BuildCache}} {
			if p, ok := d.directory(&t.Origin, f.key, *f.path); ok {
				*f.path = p
				d.mayShow(&t.Origin, f.key, p)
			}
		}
	}
}

func (d *decoder) checkVariable(s *Sandbox, name string) {
	where := s.At("env.set")
	if s.Has("env.set." + name) {
		where = s.At("env.set." + name)
	}
	switch {
	case !envPattern.MatchString(name):
		d.rep.at(where, problem{code: codeName, summary: fmt.Sprintf("%s is no name of an environment variable", quoted(name))})
	case strings.HasPrefix(name, "DRAWSPAN_"):
		d.rep.at(where, problem{code: codeName, summary: fmt.Sprintf("%s is reserved: names starting with DRAWSPAN_ are the daemon's", quoted(name))})
	}
}

// checkLevel refuses levels that this version cannot give, and settings that only make sense together.
func (d *decoder) checkLevel(s *Sandbox) {
	degrade := s.OnShortfall == "degrade"
	level, floor := slices.Index(levels, s.Level), slices.Index(levels, s.Floor)
	switch {
	case level < 0: // reported already
	case s.Level == "off":
		d.checkOff(s, degrade)
	case s.AcceptUnsandboxed:
		d.rep.at(s.At("accept_unsandboxed"), problem{code: codeNoEffect, summary: fmt.Sprintf("accept_unsandboxed has no effect with level %q", s.Level), hint: "leave it out"})
	case s.Level == "vm":
		d.rep.at(s.At("level"), problem{code: codeNotYet, summary: `level "vm" is not supported yet`, hint: `use level = "isolated"`})
	case s.Level == "strict" && !(degrade && floor >= 0 && floor < level):
		d.rep.at(s.At("level"), problem{code: codeNotYet, summary: `level "strict" is not supported yet; "isolated" can be reached`,
			hint: `use level = "isolated", or add on_shortfall = "degrade" and floor = "isolated"`})
	default:
		d.checkFloor(s, degrade)
	}
}

func (d *decoder) checkOff(s *Sandbox, degrade bool) {
	switch {
	case !s.AcceptUnsandboxed:
		d.rep.at(s.At("level"), problem{code: codeUnsandboxed, summary: `level "off" runs programs with all rights of the daemon`, hint: `use level = "isolated", or say so: accept_unsandboxed = true`})
	case degrade:
		d.rep.at(s.At("on_shortfall"), problem{code: codeNoEffect, summary: `nothing is below level "off"`, hint: "leave on_shortfall out"})
	case s.Floor != "":
		d.rep.at(s.At("floor"), problem{code: codeNoEffect, summary: `floor has no effect with level "off"`, hint: "leave it out"})
	}
}

func (d *decoder) checkFloor(s *Sandbox, degrade bool) {
	switch {
	case degrade && s.Floor == "":
		d.rep.header(s.At("on_shortfall"), problem{code: codeMissingKey, summary: `on_shortfall = "degrade" needs a floor`, hint: `add: floor = "guarded"`})
	case !degrade && s.Floor != "":
		d.rep.at(s.At("floor"), problem{code: codeNoEffect, summary: `floor has no effect without on_shortfall = "degrade"`, hint: "leave it out, or degrade"})
	case degrade && slices.Index(levels, s.Floor) >= slices.Index(levels, s.Level):
		d.rep.at(s.At("floor"), problem{code: codeValue, summary: fmt.Sprintf("floor %q is not below level %q", s.Floor, s.Level), hint: "lower the floor, or refuse"})
	}
}

// mayShow refuses host paths that no sandbox may see, even when asked to.
func (d *decoder) mayShow(o *Origin, key, p string) {
	where := o.At(key)
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run"} {
		if within(p, dir) {
			d.rep.at(where, problem{code: codeExposed, summary: fmt.Sprintf("%s shows %s, a window into the running system", key, dir), hint: "leave it out"})
			return
		}
	}
	if p == "/" {
		d.rep.at(where, problem{code: codeExposed, summary: key + " shows the whole machine", hint: "name the directories that are needed"})
		return
	}
	if strings.HasPrefix(d.src.Home, "/") && d.src.Home != "/" && within(resolved(d.src.Home), p) {
		d.rep.at(where, problem{code: codeExposed, summary: fmt.Sprintf("%s shows the whole home directory, keys and tokens included", key), hint: "name the directories in it that are needed"})
		return
	}
	d.outsideState(o, key, p)
}

// outsideState refuses a path that contains the state directory or lies in it.
func (d *decoder) outsideState(o *Origin, key, p string) {
	state := d.state()
	if state == "" || !within(p, state) && !within(state, p) {
		return
	}
	d.rep.at(o.At(key), problem{code: codeStateOverlap, summary: fmt.Sprintf("%s %s and the state directory %s contain one another", key, quoted(p), quoted(state)), hint: "move one of the two"})
}

// state is the state directory with symlinks resolved, or "" where it was refused.
func (d *decoder) state() string {
	if !strings.HasPrefix(d.cfg.Daemon.StateDir, "/") {
		return ""
	}
	return resolved(d.cfg.Daemon.StateDir)
}
