package sandbox

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

const defaultPath = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

// environment is the payload's: what the request says, then the policy's variables, then those of its
// toolchains, then the defaults. Nothing comes from the daemon's own environment.
func environment(r Request) []string {
	// There is no /etc/gitconfig inside, and git gives up over one that it is not allowed to read.
	vars := map[string]string{"HOME": insideHome, "PATH": defaultPath, "TMPDIR": "/tmp", "GIT_CONFIG_NOSYSTEM": "1"}
	for _, t := range r.Policy.Toolchains {
		maps.Copy(vars, t.Env)
	}
	maps.Copy(vars, r.Policy.Env)
	if r.Policy.Network.Mode == spec.NetworkProxy {
		maps.Copy(vars, proxyVariables())
	}
	for _, s := range r.Secrets {
		vars[s.Variable] = string(s.Value)
		if s.Deliver == "file" {
			vars[s.Variable] = path.Join(spec.SecretDir, s.Name)
		}
	}
	for _, entry := range r.Env {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			vars[name] = value
		}
	}
	var first []string
	for _, t := range r.Policy.Toolchains {
		first = append(first, t.Path...)
	}
	first = append(first, r.Search...)
	vars["PATH"] = strings.Join(append(first, vars["PATH"]), ":")
	env := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}

// proxyVariables tell programs where the proxy is. Both spellings are in use; Node looks at them only
// when it is told to.
func proxyVariables() map[string]string {
	at := fmt.Sprintf("http://127.0.0.1:%d", spec.ProxyPort)
	const direct = "localhost,127.0.0.1,::1"
	return map[string]string{
		"HTTP_PROXY": at, "HTTPS_PROXY": at, "http_proxy": at, "https_proxy": at,
		"NO_PROXY": direct, "no_proxy": direct, "NODE_USE_ENV_PROXY": "1",
	}
}
