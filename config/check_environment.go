package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

func (d *decoder) checkEnvironment(s *Sandbox) {
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		d.checkVariable(s, name)
		taken[name] = "env.set"
	}
	for i, name := range s.Pass {
		where := s.element("env.pass", i)
		switch why, hint := unpassable(name); {
		case why != "":
			d.rep.at(where, problem{code: codeName, summary: why, hint: hint})
		case taken[name] != "":
			d.rep.at(where, problem{code: codeDuplicateKey, summary: fmt.Sprintf("%s is in env.set already", name), hint: "keep one"})
		default:
			taken[name] = "env.pass"
		}
	}
	for _, c := range s.Credentials {
		d.checkCredential(c, taken)
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

// private are variables that must not come from outside, by why. An entry that ends in * is a prefix. The
// groups before unsettable are not for a credential either.
var private = []struct {
	why, hint string
	names     []string
}{
	{"belongs to the daemon", "leave it out", []string{"DRAWSPAN_*", "PLUGIN_*", "INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET", "LISTEN_*", "WATCHDOG_*", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"}},
	{"is the sandbox's own", "leave it out", []string{"PATH", "HOME", "TMPDIR", "TMP", "TEMP", "PWD", "OLDPWD", "SHELL", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"}},
	{"names a proxy, and perhaps its password", `use network { mode = "proxy" }, which sets it`, []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"}},
	{"changes which code programs load", "set it to a value with env { set = { ... } } if it is meant", []string{
		"LD_*", "DYLD_*", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "NLSPATH", "MALLOC_*", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "RESOLV_*",
		"BASH_ENV", "BASH_FUNC_*", "BASHOPTS", "SHELLOPTS", "ENV", "PS4", "IFS", "CDPATH", "PROMPT_COMMAND", "ZDOTDIR",
		"PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PYTHONINSPECT", "PERL5OPT", "PERL5LIB", "PERL5DB", "PERLLIB", "RUBYOPT", "RUBYLIB",
		"NODE_OPTIONS", "NODE_PATH", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "LUA_INIT", "LUA_PATH", "LUA_CPATH",
		"GOFLAGS", "GOTOOLCHAIN", "GOENV", "CARGO_HOME", "CARGO_BUILD_*", "CARGO_TARGET_*", "RUSTC*", "RUSTFLAGS", "MAKEFLAGS", "EDITOR", "VISUAL", "PAGER", "BROWSER",
	}},
	{"configures git", "git inside has its own configuration", []string{"GIT_*"}},
	{"names a service of the session outside", "leave it out; such a service is not reachable inside", []string{
		"SSH_*", "GPG_*", "DBUS_*", "XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_*", "XAUTHORITY", "ICEAUTHORITY", "SESSION_MANAGER", "PULSE_*", "PIPEWIRE_*",
		"DOCKER_*", "CONTAINER_*", "PODMAN_*", "BUILDKIT_*", "KUBECONFIG", "KUBERNETES_*", "TMUX", "STY", "VSCODE_*", "KRB5*", "VAULT_ADDR",
	}},
}

// unsettable groups of private keep their values whatever a configuration says.
const unsettable = 4

// secretive are words in the names of variables that hold secrets.
var secretive = []string{
	"KEY", "KEYS", "APIKEY", "TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD", "PAT",
	"CREDENTIAL", "CREDENTIALS", "CREDS", "AUTH", "COOKIE", "SESSION", "DSN",
}

// unpassable says why a variable of the daemon must not be passed on; "" for one that may be.
func unpassable(name string) (why, hint string) {
	if !envPattern.MatchString(name) {
		if strings.ContainsAny(name, "*?[") {
			return quoted(name) + " is a pattern", "name each variable"
		}
		return quoted(name) + " is no name of an environment variable", "write the name only; values go into set"
	}
	if why, hint := reserved(name, len(private)); why != "" {
		return name + " is not passed on: it " + why, hint
	}
	for _, word := range strings.Split(strings.ToUpper(name), "_") {
		if slices.Contains(secretive, word) {
			return name + " looks like a secret, which is not passed on unmarked", fmt.Sprintf(`write: credential %q { from_env = %q }`, credentialName(name), name)
		}
	}
	return "", ""
}

// reserved says whose a variable is, or what it would do.
func reserved(name string, groups int) (why, hint string) {
	upper := strings.ToUpper(name) // programs read http_proxy too
	for _, group := range private[:groups] {
		for _, n := range group.names {
			if prefix, open := strings.CutSuffix(n, "*"); upper == n || open && strings.HasPrefix(upper, prefix) {
				return group.why, group.hint
			}
		}
	}
	return "", ""
}

// credentialName is a credential's name for a variable.
func credentialName(variable string) string {
	return strings.Trim(strings.ToLower(variable), "_")
}

// checkCredential finds where a secret comes from and how it is delivered; taken are the variables of
// the sandbox so far.
func (d *decoder) checkCredential(c *Credential, taken map[string]string) {
	if c.Deliver == "broker" {
		d.rep.at(c.At("deliver"), problem{code: codeNotYet, summary: `deliver "broker" is not supported yet: nothing stands between a program and its service`,
			hint: `use deliver = "env" or "file"; for a model's service a model gateway, gateway "..." { }, keeps the value outside`})
	}
	if d.checkSource(c) {
		d.checkDelivered(c, taken)
	}
}

// checkSource finds where a secret comes from. It reports false where that has no name.
func (d *decoder) checkSource(c *Credential) bool {
	d.checkOneSource(c)
	if c.Has("from_env") && (!envPattern.MatchString(c.FromEnv) || strings.HasPrefix(c.FromEnv, "DRAWSPAN_")) {
		d.rep.at(c.At("from_env"), problem{code: codeName, summary: fmt.Sprintf("from_env %s is no name of a variable that may be handed in", quoted(c.FromEnv)), hint: "the name of one variable, without $; DRAWSPAN_ names are the daemon's"})
		return false
	}
	if c.Has("from_file") && !c.Has("from_env") {
		d.checkSecretFile(c)
	}
	return true
}

func (d *decoder) checkOneSource(c *Credential) {
	switch env, file := c.Has("from_env"), c.Has("from_file"); {
	case !env && !file:
		d.rep.header(c.at, problem{code: codeMissingKey, summary: fmt.Sprintf("%s does not say where its value is", c.block), hint: `add: from_env = "NAME", or from_file = "~/path"`})
	case env && file:
		d.rep.at(c.At("from_file"), problem{code: codeDuplicateKey, summary: fmt.Sprintf("%s has from_env and from_file", c.block), hint: "keep one"})
	}
}

// checkDelivered fills in the variable's name and refuses one that is in use or means something else.
func (d *decoder) checkDelivered(c *Credential, taken map[string]string) {
	where := c.At("variable")
	if !c.Has("variable") {
		upper := strings.ToUpper(strings.ReplaceAll(c.Name, "-", "_"))
		switch {
		case c.Deliver == "file":
			c.Variable = upper + "_FILE"
		case c.FromEnv != "":
			c.Variable = c.FromEnv
		default:
			c.Variable = upper
		}
	}
	if !envPattern.MatchString(c.Variable) {
		d.rep.at(where, problem{code: codeName, summary: fmt.Sprintf("%s is no name of an environment variable", quoted(c.Variable)), hint: `add: variable = "NAME"`})
		return
	}
	if why, _ := reserved(c.Variable, unsettable); why != "" {
		d.rep.at(where, problem{code: codeName, summary: fmt.Sprintf("%s cannot be set to %s: the variable %s", c.Variable, c.block, why), hint: `give another: variable = "NAME"`})
		return
	}
	if by := taken[c.Variable]; by != "" {
		d.rep.at(where, problem{code: codeDuplicateKey, summary: fmt.Sprintf("%s sets %s, which %s sets already", c.block, c.Variable, by), hint: `give another: variable = "NAME"`})
		return
	}
	taken[c.Variable] = c.block
}

// checkSecretFile looks at the file's name and mode, never into it. One that is not there yet is only
// warned of: secrets come and go.
func (d *decoder) checkSecretFile(c *Credential) {
	p, ok := d.anchored(&c.Origin, "from_file", c.FromFile)
	if !ok {
		c.FromFile = ""
		return
	}
	where := c.At("from_file")
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if within(p, dir) {
			d.rep.at(where, problem{code: codeExposed, summary: fmt.Sprintf("from_file %s is a window into the running system", quoted(p)), hint: "name a file that holds the secret"})
			return
		}
	}
	if _, err := os.Lstat(p); os.IsNotExist(err) {
		d.rep.warn(where, problem{code: codePathMissing, summary: fmt.Sprintf("%s is not there yet; a launch needs it", quoted(p)), hint: "create it, mode 0600, before the first run"})
		c.FromFile = p
		d.outsideState(&c.Origin, "from_file", resolved(p))
		return
	}
	p, info, ok := d.existing(&c.Origin, "from_file", c.FromFile)
	if !ok {
		c.FromFile = ""
		return
	}
	c.FromFile = p
	switch {
	case !info.Mode().IsRegular():
		d.rep.at(where, problem{code: codeValue, summary: fmt.Sprintf("from_file %s is not a regular file", quoted(p)), hint: "name a file that holds the secret and nothing else"})
	case info.Mode().Perm()&0o077 != 0:
		d.rep.at(where, problem{code: codeExposed, summary: fmt.Sprintf("from_file %s may be used by others than its owner (mode %04o)", quoted(p), info.Mode().Perm()), hint: "chmod 600 " + p})
	default:
		d.outsideState(&c.Origin, "from_file", p)
	}
}

// checkSecretPlace refuses a secret where an attempt could read it beside its declaration, or put
// another file in its place.
func (d *decoder) checkSecretPlace(c *Credential) {
	p := c.FromFile
	if p == "" {
		return
	}
	p = resolved(p)
	where := c.At("from_file")
	for _, w := range d.cfg.Workspaces {
		if w.Root != "" && within(p, w.Root) {
			d.rep.at(where, problem{code: codeRepository, summary: fmt.Sprintf("from_file %s lies in %s, where it can become part of a result", quoted(p), w.block), hint: "move it out of the repository"})
			return
		}
	}
	for _, s := range d.cfg.Sandboxes {
		for _, dir := range s.Write {
			if dir != "" && within(p, dir) {
				d.rep.at(where, problem{code: codeExposed, summary: fmt.Sprintf("from_file %s lies where %s may write, so another file could be put in its place", quoted(p), s.block), hint: "move it elsewhere"})
				return
			}
		}
	}
}
