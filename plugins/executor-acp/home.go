package main

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// start is everything that the start of an agent needs.
type start struct {
	argv  []string
	env   []string
	home  string
	files map[string]string
	auth  string
	// restored says that the home holds the session of the attempt before.
	restored bool
}

// plan says how the agent of a profile is started for an attempt, and refuses what cannot work.
func plan(s settings, p profile, a *sdk.Attempt, environ []string) (start, error) {
	out := start{home: lookup(environ, "HOME"), auth: p.Auth}
	if out.home == "" || !filepath.IsAbs(out.home) {
		return out, &sdk.Failure{Class: "sandbox", Message: "the sandbox has no home directory for the agent (HOME is not set)"}
	}
	w, err := wired(p, a.Gateway)
	if err != nil {
		return out, err
	}
	if w.Auth != "" {
		out.auth = w.Auth
	}
	model, own := s.Model, p.Own
	if a.Gateway != nil {
		own = nil // no credential but the gateway's key reaches the agent
		if model == "" {
			model = p.Model
		}
	}
	fill := filler(out.home, a, model)
	args := slices.Concat(p.Args, p.Guard.Args, w.Args)
	set, files := map[string]string{}, map[string]string{}
	if model != "" {
		args = slices.Concat(args, p.ModelArgs)
		maps.Copy(set, p.ModelEnv)
	}
	for _, from := range []map[string]string{p.Guard.Env, w.Env, p.Env} { // the operator's word is the last
		maps.Copy(set, from)
	}
	for _, from := range []map[string]string{p.Files, p.Guard.Files, w.Files} {
		maps.Copy(files, from)
	}
	for i := range args {
		args[i] = fill(args[i])
	}
	for key := range set {
		set[key] = fill(set[key])
	}
	for name := range files {
		files[name] = fill(files[name])
	}
	out.argv = agent.Argv(native(p, *a.Program), args...)
	out.env, out.files = agent.Environ(environ, own, set), files
	return out, nil
}

// wired is what a profile does for the gateway of an attempt.
func wired(p profile, g *sdk.Gateway) (wiring, error) {
	if g == nil {
		return wiring{}, nil
	}
	w, ok := p.Wires[g.Wire]
	if !ok {
		return w, &sdk.Failure{Class: "policy", Message: fmt.Sprintf("the profile %s does not speak to a gateway of wire %s; it speaks %s",
			p.Name, g.Wire, strings.Join(slices.Sorted(maps.Keys(p.Wires)), ", "))}
	}
	return w, nil
}

// filler replaces the placeholders of a profile.
func filler(home string, a *sdk.Attempt, model string) func(string) string {
	pairs := []string{"{home}", home, "{tree}", a.Tree, "{model}", model}
	if a.Gateway != nil {
		pairs = append(pairs, "{url}", a.Gateway.URL, "{key}", a.Gateway.Key)
	}
	return strings.NewReplacer(pairs...).Replace
}

// native is the binary of a program whose launcher would start it as one more process.
func native(p profile, found sdk.Installed) sdk.Installed {
	const modules = "/node_modules/"
	at := strings.Index(found.Path, modules)
	if p.Native == "" || at < 0 || found.Interpreter == "" {
		return found
	}
	matches, err := filepath.Glob(found.Path[:at+len(modules)] + p.Native)
	if err != nil || len(matches) == 0 {
		return found
	}
	return sdk.Installed{Name: found.Name, Path: matches[0]}
}

func lookup(environ []string, key string) string {
	for _, pair := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(pair, key+"="); ok {
			return value
		}
	}
	return ""
}

// furnish writes the files of a profile below the home. What is there already belongs to a credential that
// the operator hands in and stays, unless a gateway takes its place.
func (s start) furnish(replace bool) error {
	root, err := os.OpenRoot(s.home)
	if err != nil {
		return fmt.Errorf("prepare the agent's home: %w", err)
	}
	defer root.Close() //nolint:errcheck // the files are closed
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if _, err := root.Lstat(name); err == nil && !replace {
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return fmt.Errorf("prepare the agent's home: %w", err)
		}
		if err := root.WriteFile(name, []byte(s.files[name]), 0o600); err != nil {
			return fmt.Errorf("prepare the agent's home: %w", err)
		}
	}
	return nil
}

// restore puts the session of the attempt before back, before the agent starts and begins to write. Where that
// cannot be, a new session begins with what was said last.
func (s *start) restore(r *sdk.Resume) {
	s.restored = r != nil && len(r.State) > 0 && r.Session != "" && len(r.Session) <= sdk.MaxName && agent.Unpack(s.home, r.State) == nil
}

// guarded refuses a tree with configuration that the agent would run code from, where it has no switch.
func guarded(p profile, tree string) error {
	for _, name := range p.Guard.Refuse {
		if _, err := os.Lstat(filepath.Join(tree, filepath.FromSlash(name))); err == nil {
			return &sdk.Failure{Class: "policy", Message: fmt.Sprintf("the repository has %s, and %s runs code from it that it does not let switch off; "+
				"set repository_config = true in the executor's config block to let it", name, p.Name)}
		}
	}
	return nil
}

// kept are the patterns of a session's files.
func (p profile) kept(session string) []string {
	if session == "" || !local(session) || strings.ContainsAny(session, `/*?[\`) {
		return nil
	}
	var all []string
	for _, pattern := range p.State {
		all = append(all, strings.ReplaceAll(pattern, "{session}", session))
	}
	return all
}
