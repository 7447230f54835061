package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/tool"
)

// keyVariable names the credential for Codex. Codex keeps it from the commands that it runs.
const keyVariable = "DRAWSPAN_CODEX_KEY"

// vendorURL is where the model is when the operator declared no gateway.
const vendorURL = "https://api.openai.com/v1"

// home is the directory that Codex keeps its own things in, one for each attempt.
type home struct {
	dir string
	env []string
}

// makeHome makes the directory and the configuration. It lies below the user's home, since Codex refuses
// to work from a directory for temporary files, and the operator's own ~/.codex is never touched.
func makeHome(environ []string, s settings, a *sdk.Attempt) (*home, error) {
	url, key, err := model(environ, a.Gateway)
	if err != nil {
		return nil, err
	}
	user := value(environ, "HOME")
	if !filepath.IsAbs(user) {
		return nil, &sdk.Failure{Class: "sandbox", Message: "HOME is not set; codex needs a directory of its own"}
	}
	dir, err := os.MkdirTemp(user, ".codex-")
	if err != nil {
		return nil, fmt.Errorf("make a home for codex: %w", err)
	}
	h := &home{dir: dir}
	h.env = agent.Environ(environ, nil, map[string]string{"CODEX_HOME": dir, keyVariable: key, "RUST_LOG": "error", "NO_COLOR": "1"})
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), configuration(s, url, a.Tree), 0o600); err != nil {
		h.remove()
		return nil, fmt.Errorf("make a home for codex: %w", err)
	}
	return h, nil
}

func (h *home) remove() { os.RemoveAll(h.dir) } //nolint:errcheck // it goes with the sandbox in any case

// model is the base of the model's endpoint and the credential for it.
func model(environ []string, g *sdk.Gateway) (url, key string, err error) {
	if g != nil {
		if g.Wire != "" && g.Wire != sdk.WireResponses {
			return "", "", &sdk.Failure{Class: "policy", Message: fmt.Sprintf(
				"the gateway forwards the wire %q, and codex speaks %q: name another gateway", g.Wire, sdk.WireResponses)}
		}
		return strings.TrimRight(g.URL, "/") + "/v1", g.Key, nil
	}
	for _, name := range []string{"CODEX_API_KEY", "OPENAI_API_KEY"} {
		if key = value(environ, name); key != "" {
			url = vendorURL
			if base := value(environ, "OPENAI_BASE_URL"); base != "" {
				url = base
			}
			return url, key, nil
		}
	}
	return "", "", &sdk.Failure{Class: "auth", Message: "codex has no credential: name a gateway with wire \"responses\" in the executor, " +
		"or hand OPENAI_API_KEY in by a credential block of its sandbox"}
}

func value(environ []string, name string) string {
	for _, pair := range slices.Backward(environ) {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			return v
		}
	}
	return ""
}

// features that stay off: what reaches out, runs by itself, goes on after the turn or retries for ever.
var featuresOff = []string{"apps", "browser_use", "browser_use_external", "computer_use", "daemon_auto_start", "goals", "hooks",
	"image_generation", "in_app_browser", "memories", "plugins", "remote_plugin", "skill_mcp_dependency_install",
	"unbounded_connection_retries"}

// configuration is config.toml. A JSON string is a TOML string too.
func configuration(s settings, url, tree string) []byte {
	var b strings.Builder
	set := func(key, value string) { fmt.Fprintf(&b, "%s = %s\n", key, quote(value)) }
	if s.Model != "" {
		set("model", s.Model)
	}
	if s.Effort != "" {
		set("model_reasoning_effort", s.Effort)
	}
	set("model_provider", "drawspan")
	set("sandbox_mode", s.policy())
	set("web_search", "disabled")
	b.WriteString("check_for_update_on_startup = false\nsuppress_unstable_features_warning = true\n" +
		"project_root_markers = []\n") // the tree is the project, whatever lies above it
	b.WriteString("[analytics]\nenabled = false\n[feedback]\nenabled = false\n[history]\npersistence = \"none\"\n")
	b.WriteString("[shell_environment_policy]\ninherit = \"core\"\n")
	b.WriteString("[sandbox_workspace_write]\nexclude_slash_tmp = true\nexclude_tmpdir_env_var = true\n")
	b.WriteString("[features]\ndefault_mode_request_user_input = true\n")
	for _, name := range featuresOff {
		fmt.Fprintf(&b, "%s = false\n", name)
	}
	b.WriteString("[model_providers.drawspan]\nname = \"drawspan\"\nwire_api = \"responses\"\n")
	set("base_url", url)
	set("env_key", keyVariable)
	b.WriteString("request_max_retries = 1\nstream_max_retries = 1\nstream_idle_timeout_ms = 300000\nsupports_websockets = false\n")
	// Codex writes "trusted" for a tree that it may change, unless something is written already.
	for _, path := range places(tree) {
		fmt.Fprintf(&b, "[projects.%s]\ntrust_level = \"untrusted\"\n", quote(path))
	}
	return []byte(b.String())
}

// places are the names that a tree has.
func places(tree string) []string {
	list := []string{tree}
	if real, err := filepath.EvalSymlinks(tree); err == nil && real != tree {
		list = append(list, real)
	}
	return list
}

func quote(text string) string {
	raw, err := json.Marshal(strings.ToValidUTF8(text, "\uFFFD"))
	if err != nil {
		return `""` // strings always encode
	}
	return strings.ReplaceAll(string(raw), "\x7f", `\u007f`)
}

// threadForm is what an id must look like to be part of a pattern and of a file's name.
var threadForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z-]{7,63}$`)

// restore puts back what is kept of a session; false where there is nothing to go on with.
func (h *home) restore(r *sdk.Resume) bool {
	if r == nil || len(r.State) == 0 || !threadForm.MatchString(r.Session) {
		return false
	}
	for _, f := range r.State {
		if !strings.HasPrefix(f.Path, "sessions/") {
			return false // it is configuration, or not of this plugin
		}
	}
	return agent.Unpack(h.dir, r.State) == nil
}

// session is what a follow-up needs: the record of the one thread.
func (h *home) session(thread string) ([]sdk.StateFile, error) {
	if !threadForm.MatchString(thread) {
		return nil, fmt.Errorf("the thread's id %.80q cannot be kept", thread)
	}
	files, err := agent.Pack(h.dir, []string{"sessions/*/*/*/rollout-*" + thread + ".jsonl"})
	if err == nil && len(files) == 0 {
		return nil, errors.New("codex wrote no record of the thread")
	}
	return files, err
}

// native is the program inside the npm package, which the package's own script would start: without the
// script no second process stands between the plugin and Codex.
func native(p sdk.Installed) sdk.Installed {
	dir := filepath.Dir(filepath.Dir(p.Path)) // .../@openai/codex of .../@openai/codex/bin/codex.js
	if p.Interpreter == "" || filepath.Base(dir) != "codex" {
		return p
	}
	for _, pattern := range []string{
		filepath.Join(filepath.Dir(dir), "codex-linux-*", "vendor", "*", "bin", "codex"),
		filepath.Join(dir, "node_modules", "@openai", "codex-linux-*", "vendor", "*", "bin", "codex"),
		filepath.Join(dir, "vendor", "*", "bin", "codex"),
		filepath.Join(dir, "vendor", "*", "codex", "codex"),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		for _, path := range found {
			if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				p.Path, p.Interpreter = path, ""
				return p
			}
		}
	}
	return p
}

const helpTime = 20 * time.Second

// offersServer says that the program has an app-server. It is asked only where the app-server did not answer.
func offersServer(ctx context.Context, p sdk.Installed, env []string) bool {
	bounded, cancel := context.WithTimeout(ctx, helpTime)
	defer cancel()
	r, err := tool.Run(bounded, tool.Command{Argv: agent.Argv(p, modeServer, "--help"), Env: env})
	return err == nil && !r.Stopped && r.ExitCode == 0 && strings.Contains(r.Tail, modeServer)
}
