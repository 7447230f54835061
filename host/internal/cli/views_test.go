package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// stage is a fake daemon that answers every read with samples. mark makes everything simulated.
func stage(t *testing.T, simulated bool) *fakeDaemon {
	d := startFake(t)
	run, step := sampleRun(), sampleStep("held")
	step.Attempt, step.GateStates, step.Approvals = sampleAttempt("ended", "succeeded"), sampleGates("pass", "fail", "hold"), []api.Approval{approvalOfStage(simulated)}
	step.Attempts, step.Simulated, step.Attempt.Simulated = 2, simulated, simulated
	first := *sampleAttempt("ended", "failed")
	first.ID, first.Reason, first.Message, first.Simulated = "att_01JD0Q8Z3V6W4T5N2M1K0HGFE0", "crash", "exit code 2", simulated
	d.gives(api.OpRunList, api.List[api.Run]{Items: []api.Run{run}, Next: "abc"})
	d.gives(api.OpRunGet, run)
	d.gives(api.OpRunOpen, run)
	d.gives(api.OpStepList, api.List[api.Step]{Items: []api.Step{step}})
	d.gives(api.OpStepGet, step)
	d.gives(api.OpStepDispatch, step)
	tree := *step.Attempt
	tree.TreePath = "/state/trees/att_1"
	d.gives(api.OpAttemptList, api.List[api.Attempt]{Items: []api.Attempt{tree, first}})
	d.gives(api.OpAttemptGet, tree)
	d.gives(api.OpGateList, api.List[api.GateState]{Items: simulatedGates(step.GateStates, simulated)})
	exit := 1
	d.gives(api.OpValidationList, api.List[api.Validation]{Items: []api.Validation{{ID: "val_1", AttemptID: attID, Gate: "tests", N: 1,
		Plugin:  raw(map[string]any{"name": "command", "version": "0.1.0", "digest": "sha256:" + strings.Repeat("cd", 32), "simulated": simulated}),
		Command: []string{"go", "test", "./..."}, ExitCode: &exit, DurationMS: 1234, Result: "fail", Message: "--- FAIL: TestSum (0.00s)\n    main_test.go:12: got 2, want 3", Stdout: "sha256:" + strings.Repeat("ab", 32), Stderr: emptyDigest, Tree: "aabbccddee112233",
		Findings: raw([]map[string]any{{"rule": "test", "severity": "error", "path": "main_test.go", "line": 12, "message": "got 2, want 3"}})}}})
	d.gives(api.OpApprovalList, api.List[api.Approval]{Items: []api.Approval{approvalOfStage(simulated)}})
	d.gives(api.OpArtifactList, api.List[api.Artifact]{Items: []api.Artifact{
		{AttemptID: attID, Name: "diff.patch", Kind: "diff", Digest: "sha256:" + strings.Repeat("ef", 32), Size: 2048, Simulated: simulated},
		{AttemptID: attID, Name: "stdout.log", Kind: "log", Digest: "sha256:" + strings.Repeat("01", 32), Size: 5 << 20, Truncated: true, Simulated: simulated}}})
	d.gives(api.OpArtifactRead, "diff --git a/main.go b/main.go\n--- a/main.go\n+++ b/main.go\n@@ -1 +1 @@\n-old\n+new\n")
	d.gives(api.OpWorkspaceList, api.List[api.Workspace]{Items: []api.Workspace{{Name: "api", Root: "/src/api", Base: "main", Bases: []string{"main"},
		Executors: []string{"gofmt"}, Gates: []api.Gate{{Name: "tests"}, {Name: "review", Optional: true}}, Declared: "drawspan.hcl:12"}}})
	d.gives(api.OpExecutorList, api.List[api.Executor]{Items: []api.Executor{{Name: "gofmt", Plugin: "command", Sandbox: "offline", Level: "isolated",
		Simulated: simulated, Locked: true, Declared: "drawspan.hcl:30"},
		{Name: "agent", Plugin: "agent", Sandbox: "online", Level: "strict", Simulated: simulated, Locked: true, Declared: "drawspan.hcl:40", Program: sampleProgram()},
		{Name: "other", Plugin: "agent", Sandbox: "online", Level: "strict", Simulated: simulated, Locked: true, Declared: "drawspan.hcl:45", Program: &api.Program{
			Name: "other", State: "missing", Detail: "program other is not installed: it is nowhere in PATH", Fix: "install it: npm install -g other, then run: drawspan plugin lock"}}}})
	d.gives(api.OpExecutorProbe, api.ExecutorProbe{Executor: "agent", Plugin: "agent", Sandbox: "online", Simulated: simulated, Level: "strict", OK: true, Program: sampleProgram(),
		Notes: []string{"version 2.1.0 was not tried with this plugin: it was tested with >=1.0 <2.0"}, TookMS: 123})
	d.gives(api.OpAuditQuery, api.List[api.Event]{Items: []api.Event{{Pos: "1.7", At: testTime, Kind: "attempt.running", Actor: api.Actor{Kind: "daemon", ID: "inst_1"},
		RunID: runID, StepID: stepID, AttemptID: attID, Body: raw(map[string]any{"state": "running"})},
		{Pos: "1.6", At: testTime, Kind: "approval.opened", Actor: api.Actor{Kind: "executor", ID: "gofmt"}, RunID: runID, Purged: true}}})
	d.gives(api.OpAuditVerify, api.AuditVerdict{OK: true, Events: 120, Runs: 3, Checkpoints: 4, Artifacts: 9, Bodies: 110, Purged: 10, Root: "cm9vdA==", Key: "drawspan+1+abc", TookMS: 12})
	d.gives(api.OpConfigShow, api.ConfigShown{Files: []string{"drawspan.hcl"}, PolicySum: "sha256:aa", LoadedAt: testTime, Config: raw(map[string]any{"version": 1})})
	d.gives(api.OpConfigPlan, api.ConfigPlan{Valid: true, Changes: []api.ConfigChange{{Block: `workspace "api"`, Op: "change", Detail: "paths.write: + docs/**", Widens: true},
		{Block: "daemon", Op: "change", Detail: "listen", Restart: true}, {Block: `executor "old"`, Op: "remove"}}})
	d.gives(api.OpConfigReload, api.ConfigReloaded{PolicySum: "sha256:bb", Changes: []api.ConfigChange{{Block: `executor "old"`, Op: "remove"}}, Pending: []string{"daemon listen"}})
	d.gives(api.OpGC, api.GCReport{DryRun: true, Trees: 2, Blobs: 5, Bytes: 3 << 20, KeptTrees: 1, Caches: []string{"shop/npm"}, KeptCaches: []string{"api/old"}})
	d.gives(api.OpBackup, api.BackupReport{Dir: "/backup", Events: 120, Blobs: 9, Bytes: 1 << 20, Head: "1.120"})
	d.gives(api.OpRunClose, run)
	d.gives(api.OpRunCancel, run)
	d.gives(api.OpApprovalDecide, approvalOfStage(simulated))
	d.gives(api.OpAttemptRestore, api.AttemptRestored{AttemptID: attID, Dir: "/tmp/look", Commit: "77aa00bb11223344", Files: 12, Simulated: simulated})
	d.gives(api.OpStepApply, api.StepApplied{StepID: stepID, Branch: "tidy", Before: "3fa9c1d0aa112233", After: "77aa00bb11223344", Simulated: simulated})
	d.streams[attID] = `{"v":1,"seq":1,"time":"2026-01-02T03:04:05Z","source":"executor","type":"tool.started","data":{"title":"go vet ./..."}}
{"v":1,"seq":2,"time":"2026-01-02T03:04:06Z","source":"executor","type":"log","data":{"stream":"stdout","text":"one\ntwo\n"}}
{"v":1,"seq":3,"time":"2026-01-02T03:04:06Z","source":"executor","type":"log","data":{"stream":"stderr","text":"oops\n"}}
{"v":1,"seq":4,"time":"2026-01-02T03:04:07Z","source":"executor","type":"message","data":{"role":"assistant","text":"all done"}}
{"v":1,"seq":5,"time":"2026-01-02T03:04:08Z","source":"host","type":"host.sandbox.denied","data":{"syscall":"connect","comm":"curl"}}
`
	return d
}

func sampleProgram() *api.Program {
	return &api.Program{Name: "agent", State: "ok", Path: "~/.local/bin/agent", Digest: "sha256:" + strings.Repeat("ab", 32), Locked: "sha256:" + strings.Repeat("ab", 32),
		Interpreter: "/usr/bin/node", Tested: ">=1.0 <2.0", Version: "2.1.0", Login: "ready"}
}

func simulatedGates(gates []api.GateState, simulated bool) []api.GateState {
	for i := range gates {
		gates[i].Simulated = simulated
	}
	return gates
}

func approvalOfStage(simulated bool) api.Approval {
	a := sampleApproval()
	a.Simulated = simulated
	return a
}

// unmarked are the views that show nothing of what an attempt made.
var unmarked = []string{
	"run_ls", "run_open", "run_close", "run_cancel", "audit_query", "audit_verify", "config_show", "config_plan", "config_reload", "workspace_ls", "explain", "gc", "backup",
}

// reads are the commands that only show something.
func reads() map[string][]string {
	return map[string][]string{
		"run_ls": {"run", "ls"}, "run_show": {"run", "show", runID}, "run_tree": {"run", "tree", runID},
		"step_ls": {"step", "ls", runID}, "step_show": {"step", "show", stepID}, "step_diff": {"step", "diff", stepID},
		"step_diff_stat": {"step", "diff", stepID, "--stat"}, "step_logs": {"step", "logs", stepID},
		"step_logs_events": {"step", "logs", stepID, "--events"}, "step_logs_stderr": {"step", "logs", stepID, "--stream", "stderr"},
		"attempt_ls": {"attempt", "ls", stepID}, "attempt_ls_path": {"attempt", "ls", "--path"}, "attempt_show": {"attempt", "show", attID},
		"artifact_ls": {"artifact", "ls", attID}, "artifact_get": {"artifact", "get", attID, "diff.patch"},
		"gate_ls": {"gate", "ls", stepID}, "gate_explain": {"gate", "explain", stepID, "tests"},
		"approval_ls": {"approval", "ls"}, "approval_show": {"approval", "show", aprID}, "why_step": {"why", stepID}, "why_run": {"why", runID},
		"audit_query": {"audit", "query"}, "audit_verify": {"audit", "verify"}, "config_show": {"config", "show"}, "config_plan": {"config", "plan"},
		"workspace_ls": {"workspace", "ls"}, "executor_ls": {"executor", "ls"}, "executor_probe": {"executor", "probe", "agent"}, "explain": {"explain", "plugin_mismatch"},
	}
}

// writes are the commands that change something.
func writes() map[string][]string {
	return map[string][]string{
		"run_open": {"run", "open", "api"}, "run_close": {"run", "close", runID}, "run_cancel": {"run", "cancel", runID},
		"step_dispatch": {"step", "dispatch", runID, "x", "--with", "gofmt"}, "step_apply": {"step", "apply", stepID, "--branch", "tidy"},
		"attempt_restore": {"attempt", "restore", attID, "--to", "/tmp/look"}, "approval_allow": {"approval", "allow", aprID},
		"config_reload": {"config", "reload"}, "gc": {"gc", "--dry-run"}, "backup": {"backup", "/backup"},
	}
}

func TestAProbeThatFindsSomethingMissingSaysWhatHelps(t *testing.T) {
	d := stage(t, false)
	d.gives(api.OpExecutorProbe, api.ExecutorProbe{Executor: "other", Plugin: "agent", Sandbox: "online", Notes: []string{}, Problem: "program other is not installed: it is nowhere in PATH",
		Fix: "install it: npm install -g other", Program: &api.Program{Name: "other", State: "missing"}})
	e := newTerminal(t, d)
	if code := e.run(t, "executor", "probe"); code != fault.ExitConfig {
		t.Errorf("exit %d", code)
	}
	golden(t, "view_executor_probe_missing", e.out.String())
}

func TestViewsLookAsTheyDo(t *testing.T) {
	d := stage(t, false)
	all := reads()
	for name, args := range writes() {
		all[name] = args
	}
	for name, args := range all {
		t.Run(name, func(t *testing.T) {
			e := newTerminal(t, d)
			if code := e.run(t, args...); code != 0 {
				t.Fatalf("exit %d: %s", code, e.err.String())
			}
			golden(t, "view_"+name, e.out.String())
		})
	}
}

func TestViewsFitATerminal(t *testing.T) {
	d := stage(t, false)
	for name, args := range reads() {
		e := newTerminal(t, d)
		e.env["DRAWSPAN_FORCE_TTY"], e.env["NO_COLOR"] = "80", "1"
		if code := e.run(t, args...); code != 0 {
			t.Errorf("%s: exit %d: %s", name, code, e.err.String())
		}
		if len(args) > 1 && args[1] == "ls" && !strings.Contains(strings.Join(args, " "), "--path") {
			for line := range strings.Lines(e.out.String()) {
				if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
					t.Errorf("%s: %d columns: %s", name, n, line)
				}
			}
		}
	}
}

func TestWhatIsSimulatedSaysSoInEveryView(t *testing.T) {
	d := stage(t, true)
	all := reads()
	for name, args := range writes() {
		all[name] = args
	}
	for name, args := range all {
		e := newTerminal(t, d)
		if code := e.run(t, args...); code != 0 {
			t.Errorf("%s: exit %d: %s", name, code, e.err.String())
		}
		if said := strings.Contains(e.out.String()+e.err.String(), "[simulated]"); said == slices.Contains(unmarked, name) {
			t.Errorf("%s: says that it is simulated: %v\n%s%s", name, said, e.out.String(), e.err.String())
		}
	}
	for _, name := range []string{"do", "step wait"} {
		e := newTerminal(t, d)
		args := []string{"step", "wait", stepID}
		if name == "do" {
			args = []string{"do", "x", "-w", "api"}
		}
		e.run(t, args...)
		if !strings.Contains(e.out.String(), "[simulated]") || !strings.Contains(e.err.String(), "[simulated]") {
			t.Errorf("%s does not say that it is simulated:\n%s\n%s", name, e.out.String(), e.err.String())
		}
	}
}

func TestQuietPrintsIDsOnly(t *testing.T) {
	d := stage(t, false)
	for args, want := range map[string]string{
		"run ls": runID, "step ls": stepID, "step show " + stepID: stepID, "approval ls": aprID, "workspace ls": "api",
		"attempt ls --path": "/state/trees/att_1", "attempt ls": attID + "\natt_01JD0Q8Z3V6W4T5N2M1K0HGFE0",
	} {
		e := newTerminal(t, d)
		if code := e.run(t, append(strings.Fields(args), "-q")...); code != 0 || e.out.String() != want+"\n" || e.err.String() != "" {
			t.Errorf("%s: exit %d, said %q and %q", args, code, e.out.String(), e.err.String())
		}
	}
}

func TestARecordThatDoesNotVerifyIsExit21(t *testing.T) {
	d := stage(t, false)
	d.gives(api.OpAuditVerify, api.AuditVerdict{OK: false, Events: 120, Problems: []string{"event 7: body does not match its digest"}})
	e := newTerminal(t, d)
	if code := e.run(t, "audit", "verify"); code != 21 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if !strings.Contains(e.out.String(), "NOT verified: 1 problem") || !strings.Contains(e.out.String(), "event 7") {
		t.Errorf("said %s", e.out.String())
	}
}

func TestAPlanExitsByWhatItWouldChange(t *testing.T) {
	d := stage(t, false)
	cases := []struct {
		plan     api.ConfigPlan
		detailed bool
		want     int
	}{
		{api.ConfigPlan{Valid: true, Same: true}, true, 0},
		{api.ConfigPlan{Valid: true, Changes: []api.ConfigChange{{Op: "remove"}}}, true, 2},
		{api.ConfigPlan{Valid: true, Changes: []api.ConfigChange{{Op: "add", Widens: true}}}, true, 3},
		{api.ConfigPlan{Valid: true, Changes: []api.ConfigChange{{Op: "change", Restart: true}}}, true, 3},
		{api.ConfigPlan{Valid: true, Changes: []api.ConfigChange{{Op: "add", Widens: true}}}, false, 0},
		{api.ConfigPlan{Valid: false}, false, fault.ExitConfig},
	}
	for i, c := range cases {
		d.gives(api.OpConfigPlan, c.plan)
		args := []string{"config", "plan"}
		if c.detailed {
			args = append(args, "--detailed-exitcode")
		}
		if got := newTerminal(t, d).run(t, args...); got != c.want {
			t.Errorf("case %d: exit %d, want %d", i, got, c.want)
		}
	}
}

func TestRemovingAsksFirst(t *testing.T) {
	d := stage(t, false)
	cases := []struct {
		name, answer string
		tty, yes     bool
		want, calls  int
	}{
		{"without a terminal and without --yes", "", false, false, 2, 0},
		{"without a terminal", "", false, true, 0, 1},
		{"yes", "y\n", true, false, 0, 1},
		{"no", "n\n", true, false, 130, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			d.on(api.OpGC, func(any) (any, error) { calls++; return api.GCReport{}, nil })
			e := newTerminal(t, d)
			e.in = c.answer
			if c.tty {
				e.env["DRAWSPAN_FORCE_TTY"] = "80"
			}
			args := []string{"gc"}
			if c.yes {
				args = append(args, "--yes")
			}
			if got := e.run(t, args...); got != c.want || calls != c.calls {
				t.Errorf("exit %d and %d calls, want %d and %d: %s", got, calls, c.want, c.calls, e.err.String())
			}
		})
	}
}
