package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// fixed are the variables that every run has: no traffic but to the model, no updates, few retries (the
// host retries), and nothing that outlives the attempt.
var fixed = map[string]string{
	"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
	"CLAUDE_CODE_MAX_RETRIES":                  "2",
	"CLAUDE_CODE_DISABLE_AUTO_MEMORY":          "1",
	"CLAUDE_CODE_DISABLE_CRON":                 "1",
	"DISABLE_AUTOUPDATER":                      "1",
	"DISABLE_ERROR_REPORTING":                  "1",
	"DISABLE_TELEMETRY":                        "1",
	"CLAUDE_CONFIG_DIR":                        "", // see environment
}

// credentials are the variables that give access to a model, and say where one is.
var credentials = []string{
	"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_BASE_URL",
	"CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY",
}

// noCredential is what to do where there is none of them.
const noCredential = "Claude Code has no credential: name a gateway of wire \"messages\" in the executor, " +
	"or hand ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN in by a credential block of its sandbox"

// loginBytes bounds the file that a login of Claude Code is.
const loginBytes = 64 << 10

// forbidden are tools that take the work to where it is not judged.
const forbidden = "EnterWorktree,ExitWorktree"

// arguments never hold a word of the step: its text goes by standard input.
func arguments(s settings, resume string) []string {
	args := []string{
		"-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose",
		"--permission-prompt-tool", "stdio", "--permission-mode", s.Mode, "--disallowedTools", forbidden,
	}
	if !s.Repository {
		args = append(args, "--setting-sources", "user", "--strict-mcp-config")
	}
	if s.Model != "" {
		args = append(args, "--model", s.Model)
	}
	if s.MaxTurns > 0 {
		args = append(args, "--max-turns", strconv.Itoa(int(s.MaxTurns)))
	}
	if resume != "" {
		args = append(args, "--resume", resume)
	}
	return args
}

// environment is what Claude Code sees. Where there is a gateway, no credential but its key reaches it.
func environment(s settings, config string, g *sdk.Gateway) []string {
	set := map[string]string{}
	for _, from := range []map[string]string{s.Env, fixed} {
		for key, value := range from {
			set[key] = value
		}
	}
	set["CLAUDE_CONFIG_DIR"] = config
	base := os.Environ()
	if g != nil {
		base = slices.DeleteFunc(base, func(pair string) bool {
			key, _, _ := strings.Cut(pair, "=")
			return slices.Contains(credentials, key)
		})
		set["ANTHROPIC_BASE_URL"], set["ANTHROPIC_API_KEY"] = g.URL, g.Key
	}
	return agent.Environ(base, []string{"ANTHROPIC_", "CLAUDE_CODE_"}, set)
}

func loginFile() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".claude", ".credentials.json")
}

// configDir makes a fresh directory for everything that Claude Code writes of itself, so that no trust and
// no permission of another attempt counts. A login that was handed in is taken along.
func configDir() (string, error) {
	dir, err := os.MkdirTemp("", "claude-")
	if err != nil {
		return "", fmt.Errorf("make a home for Claude Code: %w", err)
	}
	login, err := os.Open(loginFile())
	if err != nil {
		return dir, nil // there is none
	}
	defer login.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(login, loginBytes))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ".credentials.json"), data, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("take the login of Claude Code along: %w", err)
	}
	return dir, nil
}

// native is the program itself: the npm package has a script in its place where its own installation did
// not run, and scripts start another process that signals do not reach.
func native(p sdk.Installed) sdk.Installed {
	at := strings.LastIndex(p.Path, "/@anthropic-ai/claude-code/")
	if at < 0 || isBinary(p.Path) {
		return p
	}
	name := "claude-code-" + runtime.GOOS + "-" + strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
	scope := p.Path[:at] + "/@anthropic-ai/"
	for _, dir := range []string{scope, scope + "claude-code/node_modules/@anthropic-ai/"} {
		for _, variant := range []string{"", "-musl"} {
			if path := dir + name + variant + "/claude"; isBinary(path) {
				return sdk.Installed{Name: p.Name, Path: path}
			}
		}
	}
	return p
}

func isBinary(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	magic := make([]byte, 4)
	_, err = io.ReadFull(f, magic)
	return err == nil && string(magic) == "\x7fELF"
}

// The session that Claude Code keeps is a file below a directory that is named after where it ran.
const (
	stateDir    = "session" // in the kept state, whatever the tree was
	maxTreeName = 200       // longer ones get a digest that is not ours to know
)

var (
	notInName   = regexp.MustCompile(`[^a-zA-Z0-9]`)
	sessionForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// sessionDir is where the session of a tree is below the config directory, or "".
func sessionDir(tree string) string {
	if real, err := filepath.EvalSymlinks(tree); err == nil {
		tree = real
	}
	name := notInName.ReplaceAllString(tree, "-")
	if len(name) > maxTreeName {
		return ""
	}
	return "projects/" + name
}

// restore puts a session back and returns its id; "" where it cannot be continued.
func restore(config, tree string, r *sdk.Resume) string {
	dir := sessionDir(tree)
	if r == nil || len(r.State) == 0 || dir == "" || !sessionForm.MatchString(r.Session) {
		return ""
	}
	var files []sdk.StateFile
	for _, f := range r.State {
		rest, ours := strings.CutPrefix(f.Path, stateDir+"/")
		if !ours {
			return ""
		}
		files = append(files, sdk.StateFile{Path: dir + "/" + rest, Data: f.Data})
	}
	if agent.Unpack(config, files) != nil {
		return ""
	}
	return r.Session
}

// keep collects the session's files for a follow-up; none where they are too large.
func keep(config, tree, session string) ([]sdk.StateFile, error) {
	dir := sessionDir(tree)
	if dir == "" || !sessionForm.MatchString(session) {
		return nil, nil
	}
	files, err := agent.Pack(config, []string{dir + "/" + session + ".jsonl", dir + "/" + session})
	for i, f := range files {
		files[i].Path = stateDir + strings.TrimPrefix(f.Path, dir)
	}
	return files, err
}
