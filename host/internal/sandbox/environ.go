package sandbox

import (
	"maps"
	"slices"
	"strings"
)

const defaultPath = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

// environment is the payload's: what the request says, then the policy's variables, then those of its
// toolchains, then the defaults. Nothing comes from the daemon's own environment.
func environment(r Request) []string {
	vars := map[string]string{"HOME": insideHome, "PATH": defaultPath, "TMPDIR": "/tmp"}
	for _, t := range r.Policy.Toolchains {
		maps.Copy(vars, t.Env)
	}
	maps.Copy(vars, r.Policy.Env)
	for _, entry := range r.Env {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			vars[name] = value
		}
	}
	var first []string
	for _, t := range r.Policy.Toolchains {
		first = append(first, t.Path...)
	}
	vars["PATH"] = strings.Join(append(first, vars["PATH"]), ":")
	env := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}
