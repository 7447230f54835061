package real

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk/sdktest/modelserver"
)

// site is a daemon with an operator's configuration: one executor and one gateway for each case, all of one agent.
type site struct {
	home   string
	env    []string
	models map[string]*modelserver.Server
}

// scripted is one case of a site.
type scripted struct {
	script modelserver.Script
	gate   string // more of the gateway block
	rules  string // the permission blocks; "" allows all
}

// serve starts a daemon for the agent; it ends with the test.
func serve(t *testing.T, p program, cases map[string]scripted) *site {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("root: the daemon never runs as root; scripts/agents drops it")
	}
	home, err := os.MkdirTemp("", "h") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("chmod", "-R", "u+w", home).Run() // sealed trees are read-only
		_ = os.RemoveAll(home)                             // the next run does not need it
	})
	s := &site{home: home, models: map[string]*modelserver.Server{}}
	prefix, in := os.Getenv(prefixVar), p.installed(t)
	path := filepath.Join(prefix, "bin") + ":/usr/local/bin:/usr/bin:/bin"
	if in.Interpreter != "" {
		path = filepath.Dir(in.Interpreter) + ":" + path
	}
	s.env = []string{"HOME=" + home, "PATH=" + path, "LANG=C.UTF-8", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost"}
	write(t, filepath.Join(home, "repo", "README.md"), "# A project\n")
	write(t, filepath.Join(home, "repo", "src", "app.txt"), "one\ntwo\n")
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "base"}} {
		s.must(t, append([]string{"git", "-C", filepath.Join(home, "repo")}, args...)...)
	}
	write(t, filepath.Join(home, "drawspan.hcl"), s.configure(t, p, in.Path, cases))
	s.must(t, "drawspan", "plugin", "lock")
	s.daemon(t)
	return s
}

// configure writes the operator's file, and starts a model's server for each case.
func (s *site) configure(t *testing.T, p program, path string, cases map[string]scripted) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("version = 1\n\nsandbox \"agent\" {\n  limits {\n    processes = 1024\n  }\n}\n")
	var names []string
	for name, c := range cases {
		model := modelserver.Start(t, c.script)
		s.models[name] = model
		names = append(names, fmt.Sprintf("%q", name))
		rules := c.rules
		if rules == "" {
			rules = "  permission \"all\" {\n    decision = \"allow\"\n  }\n"
		}
		config := ""
		for key, value := range p.settings() {
			config += fmt.Sprintf("    %s = %q\n", key, value)
		}
		if config != "" {
			config = "  config {\n" + config + "  }\n"
		}
		fmt.Fprintf(&b, "\ngateway %q {\n  upstream = %q\n  wire     = %q\n%s}\n", name, model.URL, p.wire, c.gate)
		fmt.Fprintf(&b, "\nexecutor %q {\n  plugin  = %q\n  sandbox = \"agent\"\n  gateway = %q\n  program = %q\n%s%s}\n", name, p.plugin, name, path, rules, config)
	}
	fmt.Fprintf(&b, "\nworkspace \"w\" {\n  root      = \"~/repo\"\n  base      = \"main\"\n  executors = [%s]\n}\n", strings.Join(names, ", "))
	return b.String()
}

func (s *site) command(args ...string) *exec.Cmd {
	path := args[0]
	if path == "drawspan" {
		path = filepath.Join(os.Getenv(prefixVar), "bin", "drawspan")
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir, cmd.Env = s.home, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// must runs a command that has to succeed.
func (s *site) must(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := s.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return out
}

// daemon starts the daemon and waits until it answers.
func (s *site) daemon(t *testing.T) {
	t.Helper()
	cmd := s.command("drawspan", "serve", "--json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log := &locked{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		if err := cmd.Wait(); err != nil {
			t.Errorf("the daemon: %v", err)
		}
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", log.String())
		}
	})
	var ready struct{ Socket string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil || ready.Socket == "" {
		t.Fatalf("the daemon does not answer: %v\n%s", err, log.String())
	}
}

// done is what of `drawspan do --json` is looked at.
type done struct {
	ID      string
	State   string
	Attempt struct {
		ID, Outcome, Reason string
		Simulated           bool
		Death               struct {
			Proved    bool
			Survivors int
			Took      time.Duration
			Kill      time.Duration
		}
	}
	AttemptID string `json:"attempt_id"`
}

// do has one step performed; its exit code is the step's.
func (s *site) do(t *testing.T, executor string) (done, string) {
	t.Helper()
	cmd := s.command("drawspan", "do", "Do what the script says.", "--with", executor, "--json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, _ := cmd.Output() // the document says how it went
	var d done
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("do --with %s: %v\n%s%s", executor, err, out, stderr.String())
	}
	return d, string(out)
}

// buried fails the test unless the attempt's death is proved.
func (d done) buried(t *testing.T, doc string) {
	t.Helper()
	if !d.Attempt.Death.Proved || d.Attempt.Death.Survivors != 0 {
		t.Errorf("nothing proves that all is dead: %s", doc)
	}
}

// sleeping waits until a process of this machine sleeps for that time.
func sleeping(ctx context.Context, forever string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if len(sleepers(forever)) > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// sleepers lists the processes that sleep for that time.
func sleepers(forever string) []string {
	var list []string
	for _, line := range alive() {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "sleep" && fields[1] == forever {
			list = append(list, line)
		}
	}
	return list
}

func TestRealADaemonBelievesWhatItSees(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		text := func(step modelserver.Step) modelserver.Script {
			return modelserver.Script{Steps: []modelserver.Step{step, modelserver.Text("all is done")}}
		}
		s := serve(t, p, map[string]scripted{
			"edit":   {script: text(modelserver.Write("hello.txt", "hi\n"))},
			"liar":   {script: modelserver.Script{Steps: []modelserver.Step{modelserver.Text("I have written hello.txt and all tests pass.")}}},
			"denied": {script: text(modelserver.Write("denied.txt", "no\n")), rules: "  permission \"none\" {\n    decision = \"deny\"\n  }\n"},
			"loop":   {script: modelserver.Script{Steps: []modelserver.Step{modelserver.Shell("true").Endless()}}, gate: "  budget {\n    calls = 5\n  }\n"},
		})
		t.Run("an edit is its exact difference", func(t *testing.T) {
			d, doc := s.do(t, "edit")
			if d.State != "passed" || d.Attempt.Outcome != "succeeded" || d.Attempt.Simulated {
				t.Fatal(doc)
			}
			d.buried(t, doc)
			got := string(s.must(t, "git", "-C", filepath.Join(s.home, "repo"), "diff", "main", "refs/drawspan/attempts/"+d.Attempt.ID))
			if !strings.Contains(got, "+++ b/hello.txt\n@@ -0,0 +1 @@\n+hi\n") || strings.Count(got, "diff --git") != 1 {
				t.Errorf("the difference is\n%s", got)
			}
			observe(t, p, "daemon", "sandboxed", 0)
		})
		t.Run("words are no change", func(t *testing.T) {
			d, doc := s.do(t, "liar")
			if d.Attempt.Outcome != "no_change" {
				t.Error(doc)
			}
			d.buried(t, doc)
		})
		t.Run("what the rules deny is not done, and told", func(t *testing.T) {
			if p.unasking {
				t.Skip(p.name + " asks no leave for anything")
			}
			d, doc := s.do(t, "denied")
			if d.Attempt.Outcome != "denied" {
				t.Error(doc)
			}
			d.buried(t, doc)
		})
		t.Run("an endless loop ends with the gateway's budget", func(t *testing.T) {
			d, doc := s.do(t, "loop")
			if d.Attempt.Outcome != "budget_exceeded" {
				t.Error(doc)
			}
			d.buried(t, doc)
			if n := len(s.models["loop"].Requests()); n > 8 {
				t.Errorf("the model got %d requests, 5 calls were allowed", n)
			}
			observe(t, p, "loop", "budget_exceeded", 0)
		})
	})
}

func TestRealACancelLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		cases := map[string]scripted{}
		const name = "slow"
		forever := fmt.Sprintf("86%03d.%d", os.Getpid()%1000, time.Now().UnixNano())
		cases[name] = scripted{script: modelserver.Script{Steps: []modelserver.Step{
			modelserver.Shell("setsid sleep " + forever + " & (setsid sh -c 'sleep " + forever + "; true' >/dev/null 2>&1 &) ; sleep " + forever),
		}}}
		s := serve(t, p, cases)
		run := strings.TrimSpace(string(s.must(t, "drawspan", "run", "open", "w", "-q")))
		n := rounds(5, 100)
		deadline, bounded := t.Deadline()
		var slowest, kill time.Duration
		for i := range n {
			if bounded && i >= 10 && time.Until(deadline) < time.Minute {
				t.Logf("%d rounds of %d: the time that go test allows is over", i, n)
				n = i
				break
			}
			step := strings.TrimSpace(string(s.must(t, "drawspan", "step", "dispatch", run, "Do what the script says.", "--with", name, "-q")))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if err := sleeping(ctx, forever); err != nil {
				t.Fatalf("round %d: the tool never ran: %v\n%s", i, err, s.must(t, "drawspan", "step", "show", step, "--json"))
			}
			cancel()
			_ = s.command("drawspan", "step", "cancel", step).Run() // its exit code says that the step was cancelled
			out, err := s.command("drawspan", "step", "show", step, "--json").Output()
			var d done
			if json.Unmarshal(out, &d) != nil {
				t.Fatalf("round %d: %v %s", i, err, out)
			}
			if d.Attempt.Outcome != "cancelled" {
				t.Fatalf("round %d: %s", i, out)
			}
			d.buried(t, string(out))
			slowest, kill = max(slowest, d.Attempt.Death.Took), max(kill, d.Attempt.Death.Kill)
			if left := sleepers(forever); len(left) > 0 {
				t.Fatalf("round %d: alive after the cancel: %q", i, left)
			}
		}
		observe(t, p, "killed", fmt.Sprintf("%d of %d, at most %d ms, of them %d after the kill", n, n, slowest.Milliseconds(), kill.Milliseconds()), 0)
	})
}
