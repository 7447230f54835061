package real

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
)

// program is one agent of the matrix: what was installed, and which plugin drives it.
type program struct {
	name     string // its directory in scripts/agents.d
	bin      string // its program there
	plugin   string
	profile  string
	wire     string
	model    string
	fast     bool
	unasking bool // it asks leave for nothing
	resumes  bool // a follow-up goes on in its own session
	// insists is how long it may go on asking a model that fails, where it has no setting for that.
	insists time.Duration
}

// matrix lists the agents. Their versions are those of scripts/agents.d.
func matrix() []program {
	return []program{
		{name: "codex", bin: "codex", plugin: "codex", model: "gpt-5.5", wire: sdk.WireResponses, fast: true, resumes: true},
		{name: "claude", bin: "claude", plugin: "claude", wire: sdk.WireMessages, fast: true, resumes: true},
		{name: "gemini", bin: "gemini", plugin: "acp", profile: "gemini", wire: sdk.WireGemini, fast: true},
		{name: "qwen", bin: "qwen", plugin: "acp", profile: "qwen", wire: sdk.WireChat, insists: 110 * time.Second},
		{name: "opencode", bin: "opencode", plugin: "acp", profile: "opencode", wire: sdk.WireChat, insists: 110 * time.Second},
		{name: "copilot", bin: "copilot", plugin: "acp", profile: "copilot", wire: sdk.WireChat},
		{name: "codex-acp", bin: "codex-acp", plugin: "acp", profile: "codex-acp", wire: sdk.WireResponses, unasking: true},
		{name: "claude-agent-acp", bin: "claude-agent-acp", plugin: "acp", profile: "claude-agent-acp", wire: sdk.WireMessages},
	}
}

// settings are the plugin's config block. Codex's newest models are offered one tool that runs JavaScript, which
// no script can speak, so an older one is named.
func (p program) settings() map[string]string {
	all := map[string]string{}
	if p.profile != "" {
		all["profile"] = p.profile
	}
	if p.model != "" {
		all["model"] = p.model
	}
	return all
}

// Where things are, and how much is tried.
const (
	agentsVar = "DRAWSPAN_AGENTS" // a directory with NAME/node_modules for each agent
	prefixVar = "DRAWSPAN_PREFIX" // the built programs
	laneVar   = "DRAWSPAN_REAL"   // "full" for every agent and many repetitions
	onlyVar   = "DRAWSPAN_ONLY"   // agents' names, to try these alone
	roundsVar = "DRAWSPAN_ROUNDS" // how often each agent is cancelled; the lane says it otherwise
)

func full() bool { return os.Getenv(laneVar) == "full" }

// rounds is how often a thing is repeated that must hold every time: few on the fast lane.
func rounds(few, many int) int {
	if n, err := strconv.Atoi(os.Getenv(roundsVar)); err == nil && n > 0 {
		return n
	}
	if full() {
		return many
	}
	return few
}

// each runs a test for every agent of the lane whose plugin is built.
func each(t *testing.T, test func(t *testing.T, p program)) {
	t.Helper()
	if os.Getenv(agentsVar) == "" {
		t.Skip(agentsVar + " is not set: scripts/agents test installs the programs and sets it")
	}
	only := strings.Fields(os.Getenv(onlyVar))
	for _, p := range matrix() {
		if len(only) > 0 && !strings.Contains(" "+strings.Join(only, " ")+" ", " "+p.name+" ") || len(only) == 0 && !p.fast && !full() {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// installed is the program as the host hands it over.
func (p program) installed(t *testing.T) *sdk.Installed {
	t.Helper()
	link := filepath.Join(os.Getenv(agentsVar), p.name, "node_modules", ".bin", p.bin)
	path, err := filepath.EvalSymlinks(link)
	if err != nil {
		t.Fatalf("%s is not installed: scripts/agents install does that: %v", p.name, err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	in := &sdk.Installed{Name: p.bin, Path: path, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil))}
	head := make([]byte, 64)
	if n, err := f.ReadAt(head, 0); err == nil || n > 2 {
		if bytes.HasPrefix(head, []byte("#!")) && bytes.Contains(head, []byte("node")) {
			node, err := exec.LookPath("node")
			if err != nil {
				t.Fatalf("%s needs Node: %v", p.name, err)
			}
			if in.Interpreter, err = filepath.EvalSymlinks(node); err != nil {
				t.Fatal(err)
			}
		}
	}
	return in
}

// version is the one that scripts/agents.d pins.
func (p program) version(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "scripts", "agents.d", p.name, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var pinned struct{ Dependencies map[string]string }
	if err := json.Unmarshal(text, &pinned); err != nil {
		t.Fatal(err)
	}
	for _, v := range pinned.Dependencies {
		return v
	}
	t.Fatalf("%s names no version", p.name)
	return ""
}
