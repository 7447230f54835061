package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/sdktest/modelserver"
)

// real is one of the shipped profiles with its program, as npm installed it.
type real struct {
	profile profile
	program sdk.Installed
	wire    string
	home    string
	tree    string
}

// eachReal runs a test for every shipped profile whose program is below $DRAWSPAN_AGENTS.
func eachReal(t *testing.T, test func(t *testing.T, r *real)) {
	dir := os.Getenv("DRAWSPAN_AGENTS")
	if dir == "" {
		t.Skip("DRAWSPAN_AGENTS names no directory with the programs; see scripts/agents")
	}
	for _, p := range shipped() {
		t.Run(p.Name, func(t *testing.T) { test(t, newReal(t, dir, p)) })
	}
}

func newReal(t *testing.T, dir string, p profile) *real {
	t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(dir, p.Name, "node_modules", ".bin", p.Program))
	if err != nil {
		t.Skipf("%s is not installed: %v", p.Program, err)
	}
	r := &real{profile: p, program: sdk.Installed{Name: p.Program, Path: path}, wire: sdk.WireChat}
	for _, wire := range []string{sdk.WireGemini, sdk.WireMessages, sdk.WireResponses, sdk.WireChat} {
		if _, ok := p.Wires[wire]; ok {
			r.wire = wire
		}
	}
	head := make([]byte, 4)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Read(head); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(head, []byte("\x7fELF")) {
		if r.program.Interpreter, err = exec.LookPath("node"); err != nil {
			t.Skip("node is not installed")
		}
	}
	base, err := os.MkdirTemp("/var/tmp", "acp-real-") // codex refuses a home below the temporary directory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	r.home, r.tree = filepath.Join(base, "home"), filepath.Join(base, "tree")
	for _, d := range []string{r.home, r.tree, filepath.Join(base, "tmp")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	git := exec.Command("git", "init", "-q", r.tree)
	if out, err := git.CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	return r
}

func (r *real) file(name string) string {
	data, _ := os.ReadFile(filepath.Join(r.tree, name))
	return string(data)
}

// run performs one attempt.
func (r *real) run(ctx context.Context, t *testing.T, s *modelserver.Server, host *recorder, resume *sdk.Resume) (sdk.Result, error) {
	t.Helper()
	a := &sdk.Attempt{
		ID: "att_real", Instruction: "do what the script says", Tree: r.tree, Config: []byte(`{"profile":"` + r.profile.Name + `"}`),
		Program: &r.program, Gateway: &sdk.Gateway{URL: s.URL, Key: s.Key, Wire: r.wire}, Host: host, Resume: resume,
	}
	environ := func() []string {
		return []string{
			"HOME=" + r.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + filepath.Join(filepath.Dir(r.tree), "tmp"), "LANG=C.UTF-8",
			"IS_SANDBOX=1", "OPENAI_API_KEY=real-secret", "ANTHROPIC_API_KEY=real-secret", "GEMINI_API_KEY=real-secret",
		}
	}
	return executor{environ: environ}.Run(ctx, a)
}

// within bounds a test with a real program.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestRealAnEditThatIsAllowedIsDoneAndToldAndCounted(t *testing.T) {
	eachReal(t, func(t *testing.T, r *real) {
		s := modelserver.Start(t, modelserver.Script{Dir: r.tree, Steps: []modelserver.Step{
			modelserver.Write("hello.txt", "hi\n"), modelserver.Text("all is done"),
		}})
		host := newRecorder(true)
		result, err := r.run(within(t), t, s, host, nil)
		if err != nil || result.Failed || result.StopReason != "end_turn" || result.Denied {
			t.Fatalf("result = %+v, %v\n%s", result, err, host.dump())
		}
		if got := r.file("hello.txt"); got != "hi\n" {
			t.Errorf("hello.txt = %q", got)
		}
		if !strings.Contains(result.Summary, "all is done") || result.Session == "" || result.Version == "" {
			t.Errorf("summary, session, version = %q, %q, %q", result.Summary, result.Session, result.Version)
		}
		t.Logf("usage %+v; state %d files; asked %d", result.Usage, len(result.State), len(host.asked))
		t.Log(host.dump())
	})
}

var _ = sdktest.Patience
