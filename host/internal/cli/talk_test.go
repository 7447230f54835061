package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

func TestAnIDMayBeShortened(t *testing.T) {
	d := startFake(t)
	newer := sampleStep("active")
	newer.ID = stepID[:len(stepID)-1] + "F"
	older := sampleStep("passed")
	older.ID = "step_01JC0000000000000000000000"
	d.on(api.OpStepList, func(req any) (any, error) {
		if req.(api.StepListRequest).Cursor == "" {
			return api.List[api.Step]{Items: []api.Step{newer, sampleStep("passed")}, Next: "page two"}, nil
		}
		return api.List[api.Step]{Items: []api.Step{older}}, nil
	})
	var asked string
	d.on(api.OpStepGet, func(req any) (any, error) { asked = req.(api.StepRef).StepID; return sampleStep("passed"), nil })
	cases := []struct {
		arg, want string
		code      int
	}{
		{stepID, stepID, 0},
		{"step_01JC", older.ID, 0},
		{"01JC", older.ID, 0},
		{"01jc", older.ID, 0},
		{"step_01JD", "", 2},
		{"step_7", "", 5},
		{"run_01JC", "", 2},
		{"../../etc/passwd", "", 2},
		{"step_01JC0000000000000000000000000000", "", 2},
		{"", "", 2},
	}
	for _, c := range cases {
		asked = ""
		e := newTerminal(t, d)
		if got := e.run(t, "step", "show", c.arg); got != c.code || asked != c.want {
			t.Errorf("%q: exit %d and %q, want %d and %q: %s", c.arg, got, asked, c.code, c.want, e.err.String())
		}
	}
	e := newTerminal(t, d)
	e.run(t, "step", "show", "step_01JD")
	if !strings.Contains(e.err.String(), stepID) || !strings.Contains(e.err.String(), newer.ID) {
		t.Errorf("the candidates are not named: %s", e.err.String())
	}
}

func TestADecisionIsSentAsItWasTyped(t *testing.T) {
	d := startFake(t)
	var got api.ApprovalDecideRequest
	d.on(api.OpApprovalDecide, func(req any) (any, error) { got = req.(api.ApprovalDecideRequest); return sampleApproval(), nil })
	cases := []struct {
		args []string
		want api.ApprovalDecideRequest
	}{
		{[]string{"allow", aprID}, api.ApprovalDecideRequest{ApprovalID: aprID, Decision: "allow"}},
		{[]string{"deny", aprID, "--note", "no"}, api.ApprovalDecideRequest{ApprovalID: aprID, Decision: "deny", Note: "no"}},
		{[]string{"answer", aprID, "flat"}, api.ApprovalDecideRequest{ApprovalID: aprID, Decision: "answer", Answer: "flat"}},
		{[]string{"answer", aprID, "-"}, api.ApprovalDecideRequest{ApprovalID: aprID, Decision: "answer", Answer: "from\nstdin"}},
	}
	for _, c := range cases {
		e := newTerminal(t, d)
		e.in = "from\nstdin\n"
		if code := e.run(t, append([]string{"approval"}, c.args...)...); code != 0 || got != c.want {
			t.Errorf("%v: exit %d, sent %+v, want %+v: %s", c.args, code, got, c.want, e.err.String())
		}
	}
}

func TestTextComesFromArgumentFileOrInput(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		arg, want string
		code      int
	}{
		"argument":    {"do it", "do it", 0},
		"input":       {"-", "from stdin", 0},
		"file":        {"@task.md", "from file", 0},
		"no file":     {"@none.md", "", fault.ExitNotFound},
		"empty":       {"  ", "", fault.ExitUsage},
		"a directory": {"@.", "", fault.ExitUsage},
	} {
		w.sent = api.StepDispatchRequest{}
		e := newTerminal(t, w.fakeDaemon)
		e.in = "from stdin"
		e.write(t, "task.md", "from file")
		if code := e.run(t, "do", c.arg, "-w", "api", "--detach"); code != c.code || w.sent.Text != c.want {
			t.Errorf("%s: exit %d, sent %q: %s", name, code, w.sent.Text, e.err.String())
		}
	}
	e := newTerminal(t, w.fakeDaemon)
	e.in = strings.Repeat("x", api.MaxText+1)
	if code := e.run(t, "do", "-", "-w", "api"); code != fault.ExitUsage || !strings.Contains(e.err.String(), "error[too_large]") {
		t.Errorf("too long: exit %d: %s", code, e.err.String())
	}
}

func TestDoChoosesOnlyWhereThereIsOneChoice(t *testing.T) {
	w := newWorld(t)
	cases := []struct {
		name, dir string
		args      []string
		code      int
		executor  string
	}{
		{"the workspace around the directory", "/src/api/pkg", nil, 0, "gofmt"},
		{"beside it", "/src/apiary", nil, 2, ""},
		{"two executors", "/src/web", nil, 2, ""},
		{"two executors, one named", "/src/web", []string{"--with", "claude"}, 0, "claude"},
		{"an unknown workspace", "/", []string{"-w", "none"}, 5, ""},
	}
	for _, c := range cases {
		w.sent = api.StepDispatchRequest{}
		e := newTerminal(t, w.fakeDaemon)
		e.dir = c.dir
		if code := e.run(t, append([]string{"do", "x", "--detach"}, c.args...)...); code != c.code || w.sent.Executor != c.executor {
			t.Errorf("%s: exit %d with %q: %s", c.name, code, w.sent.Executor, e.err.String())
		}
	}
}

func TestTheLiveTreeRedrawsOnATerminal(t *testing.T) {
	w := newWorld(t)
	w.moves("attempt.running", "active", sampleAttempt("running", ""))
	w.streams[attID] = `{"type":"tool.started","time":"2026-01-02T03:04:05Z","data":{"title":"go vet ./..."}}` + "\n"
	e := newTerminal(t, w.fakeDaemon)
	e.env["DRAWSPAN_FORCE_TTY"], e.env["DRAWSPAN_PROMPT_DISABLED"] = "80", "1"
	w.plays(t, func() {
		until(t, "the activity", func() bool { return strings.Contains(e.err.String(), "go vet ./...") })
		w.moves("attempt.validating", "active", sampleAttempt("validating", ""), "pending")
		until(t, "the gate", func() bool { return strings.Contains(e.err.String(), "gate paths") })
		w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"), "pass")
	})
	if code := e.run(t, "step", "wait", stepID); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	talk := e.err.String()
	if !strings.Contains(talk, "\x1b[2K") || !strings.Contains(talk, "A\r") {
		t.Errorf("nothing was redrawn: %q", talk)
	}
	last := talk[strings.LastIndex(talk, "A\r"):]
	if !strings.Contains(last, "passed") || strings.Contains(last, "go vet") {
		t.Errorf("the last frame is not the end: %q", last)
	}
	if strings.Contains(e.out.String(), "\x1b[2K") || !strings.Contains(e.out.String(), "passed") {
		t.Errorf("stdout is not data: %q", e.out.String())
	}
}

func TestTERMdumbGetsLinesAndNoEscapes(t *testing.T) {
	w := newWorld(t)
	w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"), "pass")
	e := newTerminal(t, w.fakeDaemon)
	e.env["DRAWSPAN_FORCE_TTY"], e.env["TERM"] = "80", "dumb"
	if code := e.run(t, "step", "wait", stepID); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if all := e.out.String() + e.err.String(); strings.Contains(all, "\x1b") || strings.Contains(all, "✓") {
		t.Errorf("said %q", all)
	}
}

func TestAHeartbeatBreaksTheSilence(t *testing.T) {
	w := newWorld(t)
	w.moves("attempt.running", "active", sampleAttempt("running", ""))
	e := newTerminal(t, w.fakeDaemon)
	e.beat = 10 * time.Millisecond
	w.plays(t, func() {
		until(t, "a heartbeat", func() bool { return strings.Contains(e.err.String(), "still following; last event") })
		w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"))
	})
	if code := e.run(t, "step", "wait", stepID, "--json"); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
}

func TestWatchFollowsEveryStepOfARun(t *testing.T) {
	w := newWorld(t)
	w.moves("attempt.running", "active", sampleAttempt("running", ""))
	closed := sampleRun()
	closed.State = "closed"
	e := newTerminal(t, w.fakeDaemon)
	w.plays(t, func() {
		until(t, "following", func() bool { return w.called(api.OpEventsSubscribe) == 1 })
		w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"))
		w.gives(api.OpRunGet, closed)
		w.happens("run.closed", runID, "", "")
	})
	if code := e.run(t, "run", "watch", runID); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if !strings.Contains(e.err.String(), "run  · closed") || !strings.Contains(e.out.String(), "closed") {
		t.Errorf("said %s and %s", e.err.String(), e.out.String())
	}
	left := newTerminal(t, w.fakeDaemon)
	w.gives(api.OpRunGet, sampleRun())
	w.plays(t, func() { left.sig <- os.Interrupt })
	if code := left.run(t, "run", "watch", runID); code != 130 || !strings.Contains(left.err.String(), "drawspan run cancel "+runID) {
		t.Errorf("Ctrl-C: exit %d: %s", code, left.err.String())
	}
}

func TestADaemonThatDiesWhileFollowedIsExit20(t *testing.T) {
	w := newWorld(t)
	w.moves("attempt.running", "active", sampleAttempt("running", ""))
	e := newTerminal(t, w.fakeDaemon)
	w.on(api.OpStepGet, func(any) (any, error) {
		if w.called(api.OpStepGet) > 1 {
			return nil, fault.New(fault.Unavailable, "stopping")
		}
		return w.step(), nil
	})
	w.plays(t, func() {
		until(t, "following", func() bool { return w.called(api.OpEventsSubscribe) == 1 })
		w.happens("attempt.collecting", runID, stepID, attID)
	})
	if code := e.run(t, "step", "wait", stepID); code != 20 {
		t.Errorf("exit %d: %s", code, e.err.String())
	}
}

func TestADownloadIsWholeOrNotThere(t *testing.T) {
	d := stage(t, false)
	d.gives(api.OpRunExport, "evidence")
	e := newTerminal(t, d)
	path := filepath.Join(e.dir, "out.tar")
	if code := e.run(t, "run", "export", runID, "-o", "out.tar"); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "evidence" {
		t.Errorf("%v: %q", err, b)
	}
	if code := e.run(t, "run", "export", runID, "-o", "out.tar"); code != fault.ExitConflict {
		t.Errorf("an existing file: exit %d: %s", code, e.err.String())
	}
	d.on(api.OpRunExport, func(any) (any, error) { return nil, fault.New(fault.NotFound, "no such run") })
	if code := e.run(t, "run", "export", runID, "-o", "other.tar"); code != fault.ExitNotFound {
		t.Errorf("a failed download: exit %d", code)
	}
	if _, err := os.Stat(filepath.Join(e.dir, "other.tar")); err == nil {
		t.Error("a failed download left a file")
	}
	d.gives(api.OpRunExport, "evidence")
	if code := e.run(t, "run", "export", runID, "-o", "-"); code != 0 || !strings.HasSuffix(e.out.String(), "evidence") {
		t.Errorf("to standard output: exit %d: %q", code, e.out.String())
	}
}

func TestRestoreSendsAnAbsolutePath(t *testing.T) {
	d := stage(t, false)
	var got api.AttemptRestoreRequest
	d.on(api.OpAttemptRestore, func(req any) (any, error) {
		got = req.(api.AttemptRestoreRequest)
		return api.AttemptRestored{Dir: got.Dir}, nil
	})
	e := newTerminal(t, d)
	if code := e.run(t, "attempt", "restore", stepID, "--to", "look"); code != 0 || got.Dir != filepath.Join(e.dir, "look") || got.AttemptID != attID {
		t.Errorf("exit %d, sent %+v", code, got)
	}
}

func TestLogsFollowUntilTheAttemptEnds(t *testing.T) {
	d := stage(t, false)
	var asked api.StreamRequest
	d.on(api.OpAttemptStream, func(req any) (any, error) { asked = req.(api.StreamRequest); return d.streams[attID], nil })
	e := newTerminal(t, d)
	if code := e.run(t, "attempt", "logs", attID, "-f", "--stream", "stdout"); code != 0 || e.out.String() != "one\ntwo\n" || !asked.Follow {
		t.Errorf("exit %d, said %q, asked %+v", code, e.out.String(), asked)
	}
	lines := newTerminal(t, d)
	if code := lines.run(t, "step", "logs", stepID, "--jsonl"); code != 0 || strings.Count(lines.out.String(), "\n") != 5 {
		t.Errorf("exit %d, said %q", code, lines.out.String())
	}
	if code := newTerminal(t, d).run(t, "step", "logs", stepID, "--stream", "both"); code != 2 {
		t.Errorf("a wrong stream: exit %d", code)
	}
}

func TestLogsOfASilentExecutorSaySoBesideTheOutput(t *testing.T) {
	const started = `{"v":1,"seq":1,"type":"tool.started","data":{"kind":"execute","title":"go test"}}` + "\n"
	for _, tt := range []struct {
		state, stream string
		flags         []string
		want          string
	}{
		{"ended", started, nil, "attempt " + attID + " wrote nothing; what it did: drawspan attempt logs " + attID + " --events\n"},
		{"ended", "", []string{"--events"}, "attempt " + attID + " wrote nothing\n"},
		{"ended", started, []string{"--stream", "stderr"}, "attempt " + attID + " wrote nothing to stderr; what it did: drawspan attempt logs " + attID + " --events\n"},
		{"running", started, nil, "attempt " + attID + " wrote nothing so far; go on with it: drawspan attempt logs " + attID + " --follow\n"},
		{"ended", started, []string{"--jsonl"}, ""},
		{"ended", started, []string{"-q"}, ""},
	} {
		d := stage(t, false)
		d.on(api.OpAttemptGet, func(any) (any, error) { return api.Attempt{ID: attID, State: tt.state}, nil })
		d.on(api.OpAttemptStream, func(any) (any, error) { return tt.stream, nil })
		e := newTerminal(t, d)
		code := e.run(t, append([]string{"attempt", "logs", attID}, tt.flags...)...)
		if code != 0 || e.err.String() != tt.want || !slices.Contains(tt.flags, "--jsonl") && e.out.String() != "" {
			t.Errorf("%s %v: exit %d, said %q, wrote %q, want %q", tt.state, tt.flags, code, e.err.String(), e.out.String(), tt.want)
		}
	}
}

func TestLogsOfAnAgentAreWhatItSaysAndDoes(t *testing.T) {
	lines := []string{
		`{"v":1,"seq":1,"type":"log","data":{"stream":"stdout","text":"{\"method\":\"x\"}\n{\"method\":"}}`,
		`{"v":1,"seq":2,"type":"log","data":{"stream":"stdout","text":"\"y\"}\n"}}`,
		`{"v":1,"seq":3,"type":"tool.started","data":{"kind":"execute","title":"go test ./..."}}`,
		`{"v":1,"seq":4,"type":"log","data":{"stream":"stdout","text":"plain words\n"}}`,
		`{"v":1,"seq":5,"type":"log","data":{"stream":"stderr","text":"{a warning}\n"}}`,
		`{"v":1,"seq":6,"type":"message","data":{"role":"assistant","text":"Done."}}`,
	}
	for _, tt := range []struct {
		plugin string
		flags  []string
		want   string
	}{
		{`{"name":"codex","program":{"name":"codex"}}`, nil, "[tool.started] go test ./...\nplain words\n{a warning}\nDone.\n"},
		{`{"name":"codex","program":{"name":"codex"}}`, []string{"--stream", "stdout"}, "{\"method\":\"x\"}\n{\"method\":\"y\"}\nplain words\n"},
		{`{"name":"command"}`, nil, "{\"method\":\"x\"}\n{\"method\":\"y\"}\nplain words\n{a warning}\nDone.\n"},
	} {
		d := stage(t, false)
		d.on(api.OpAttemptGet, func(any) (any, error) { return api.Attempt{ID: attID, Plugin: json.RawMessage(tt.plugin)}, nil })
		d.on(api.OpAttemptStream, func(any) (any, error) { return strings.Join(lines, "\n") + "\n", nil })
		e := newTerminal(t, d)
		if code := e.run(t, append([]string{"attempt", "logs", attID}, tt.flags...)...); code != 0 || e.out.String() != tt.want {
			t.Errorf("%s %v: exit %d, said %q, want %q", tt.plugin, tt.flags, code, e.out.String(), tt.want)
		}
	}
}

func TestAuditQueryTakesTimesAndDurations(t *testing.T) {
	d := stage(t, false)
	var got api.AuditQueryRequest
	d.on(api.OpAuditQuery, func(req any) (any, error) {
		got = req.(api.AuditQueryRequest)
		return api.List[api.Event]{Items: []api.Event{}}, nil
	})
	e := newTerminal(t, d)
	code := e.run(t, "audit", "query", "--since", "1h", "--until", "2026-01-02T03:04:05+01:00", "--kind", "step.*", "--run", runID, "--limit", "7")
	want := api.AuditQueryRequest{Page: api.Page{Limit: 7}, RunID: runID, Kind: "step.*", Since: "2026-01-02T02:05:35Z", Until: "2026-01-02T02:04:05Z"}
	if code != 0 || got != want {
		t.Errorf("exit %d, sent %+v, want %+v: %s", code, got, want, e.err.String())
	}
	for _, bad := range []string{"yesterday", "-1h", "2026-01-02"} {
		if code := newTerminal(t, d).run(t, "audit", "query", "--since="+bad); code != 2 {
			t.Errorf("--since %s: exit %d", bad, code)
		}
	}
}

func TestErrorsLookAsTheyDo(t *testing.T) {
	d := startFake(t)
	d.on(api.OpStepApply, func(any) (any, error) {
		return nil, fault.New(fault.BranchCheckedOut, "the branch %q is checked out in /src/api", "main").At("refs/heads/main").
			Fix("run: drawspan step apply %s --branch other", stepID)
	})
	var b strings.Builder
	for _, args := range [][]string{
		{"step", "apply", stepID, "--branch", "main"}, {"step", "apply", stepID}, {"step", "show"}, {"step", "show", "x", "y"},
		{"run", "opne"}, {"bogus"}, {"run", "ls", "--bogus"}, {"do", "x", "--timeout", "soon"}, {"run", "ls", "--json", "--jsonl"}, {"plugin", "lock"},
		{"do", "@nowhere.md"}, {"validate", "--config", "my files/nowhere.hcl"}, {"why", "x_1"}, {"explain", "bogus"}, {"run", "show", "step_1"}, {"completion", "tcsh"}, {"gate", "explain", stepID},
	} {
		e := newTerminal(t, d)
		code := e.run(t, args...)
		fmt.Fprintf(&b, "$ drawspan %s\n%s%s[exit %d]\n", strings.Join(args, " "), e.out.String(), e.err.String(), code)
	}
	golden(t, "errors", b.String())
}

func TestCompletionScriptsAreMade(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		e := newTerminal(t, nil)
		if code := e.run(t, "completion", shell); code != 0 || !strings.Contains(e.out.String(), "drawspan") {
			t.Errorf("%s: exit %d", shell, code)
		}
	}
}
