package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/daemon"
	"github.com/drawspan/drawspan/host/internal/work"
)

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want code %s", err, code)
	}
}

func TestAStepIsExecutedJudgedAppliedAndRestored(t *testing.T) {
	h := newHost(t)
	h.start()
	step := h.settled(h.dispatch(h.open(), "make it").ID)
	if step.State != "passed" || !step.Simulated || len(step.GateStates) != 2 {
		t.Fatalf("step %s (%s), gates %+v\n%s", step.State, step.Reason, step.GateStates, h.log)
	}
	if step.Attempt.Level != "strict" || !strings.Contains(string(step.Attempt.Enforced), `"landlock`) {
		t.Errorf("level %q, enforced %s", step.Attempt.Level, step.Attempt.Enforced)
	}
	applied := call[api.StepApplied](h, api.OpStepApply, api.StepApplyRequest{StepID: step.ID, Branch: "result"})
	if !applied.Made || applied.After == "" {
		t.Errorf("got %+v", applied)
	}
	wantCode(t, fails[api.StepApplied](h, api.OpStepApply, api.StepApplyRequest{StepID: step.ID, Branch: "main"}), fault.BranchCheckedOut)
	to := filepath.Join(h.dir, "restored")
	back := call[api.AttemptRestored](h, api.OpAttemptRestore, api.AttemptRestoreRequest{AttemptID: step.AttemptID, Dir: to})
	if b, err := os.ReadFile(filepath.Join(to, "made.txt")); err != nil || string(b) != "made" || back.Files != 2 {
		t.Errorf("restored %q, %v, %+v", b, err, back)
	}
	if diff := h.stream(api.OpArtifactRead, api.ArtifactReadRequest{AttemptID: step.AttemptID, Name: "diff.patch"}); !strings.Contains(diff, "+made") {
		t.Errorf("diff %q", diff)
	}
	if part := h.stream(api.OpArtifactRead, api.ArtifactReadRequest{AttemptID: step.AttemptID, Name: "stdout.log", Offset: 4, Limit: 4}); part != "ing" && part != "king"[:4] {
		t.Errorf("part %q", part)
	}
}

func TestS32_FiftyRealStepsOverTenRunsAllPass(t *testing.T) {
	h := newHost(t)
	h.start()
	var ids []string
	for range 10 {
		run := h.open()
		for i := range 5 {
			play := `{"play":[{"edit":{"path":"made.txt","content":"` + strings.Repeat("x", i+1) + `"}}]}`
			ids = append(ids, h.dispatch(run, play).ID)
		}
	}
	trees := map[string]bool{}
	for _, id := range ids {
		s := h.settled(id)
		if s.State != "passed" {
			t.Errorf("step %s: %s (%s)", id, s.State, s.Reason)
		}
		trees[s.AttemptID] = true
	}
	if len(trees) != 50 {
		t.Errorf("%d attempts, want 50", len(trees))
	}
	if v := call[api.AuditVerdict](h, api.OpAuditVerify, api.AuditVerifyRequest{Artifacts: true}); !v.OK || v.Runs != 10 {
		t.Errorf("got %+v", v)
	}
}

func TestTheStreamIsFollowedToItsEndAndReadFromAnOffset(t *testing.T) {
	h := newHost(t)
	h.start()
	step := h.dispatch(h.open(), `{"play":[{"output":{"text":"one\n"}},{"ask":{"text":"go on?"}},{"output":{"text":"two\n"}}]}`)
	asked := step
	for asked.AttemptID == "" || len(asked.Approvals) == 0 {
		asked = call[api.Step](h, api.OpStepGet, api.StepRef{StepID: step.ID, Wait: 30})
	}
	followed := make(chan string, 1)
	go func() {
		body, err := h.client.Stream(context.Background(), api.OpAttemptStream, api.StreamRequest{AttemptID: asked.AttemptID, Follow: true})
		if err != nil {
			followed <- err.Error()
			return
		}
		defer body.Close()
		var b strings.Builder
		buf := make([]byte, 512)
		for {
			n, err := body.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				followed <- b.String()
				return
			}
		}
	}()
	call[api.Approval](h, api.OpApprovalDecide, api.ApprovalDecideRequest{ApprovalID: asked.Approvals[0].ID, Decision: "answer", Answer: "yes"})
	got := <-followed
	if !strings.Contains(got, "one") || !strings.Contains(got, "two") || !strings.Contains(got, "question.answered") {
		t.Errorf("followed %q", got)
	}
	h.settled(step.ID)
	sealed := h.stream(api.OpAttemptStream, api.StreamRequest{AttemptID: asked.AttemptID})
	if sealed != got {
		t.Errorf("the sealed stream differs from the followed one:\n%s\n%s", sealed, got)
	}
	if tail := h.stream(api.OpAttemptStream, api.StreamRequest{AttemptID: asked.AttemptID, Offset: int64(len(sealed) - 10)}); tail != sealed[len(sealed)-10:] {
		t.Errorf("tail %q", tail)
	}
}

func TestTheLogIsSubscribedAndResumesWithoutLossOrDuplicate(t *testing.T) {
	h := newHost(t)
	h.start()
	head := call[api.Instance](h, api.OpInstanceDescribe, api.Empty{}).Head
	events := h.client.Events(t.Context(), api.EventsRequest{After: head})
	h.settled(h.dispatch(h.open(), "make it").ID)
	seen := map[string]bool{}
	last := head
	for kind := ""; kind != "step.passed"; {
		e, err := events.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if seen[e.Pos] {
			t.Errorf("%s came twice", e.Pos)
		}
		seen[e.Pos], last, kind = true, e.Pos, e.Kind
	}
	events.Close()
	listed := call[api.List[api.Event]](h, api.OpEventsRead, api.EventsRequest{After: head})
	for _, e := range listed.Items {
		if !seen[e.Pos] && e.Pos <= last && len(e.Pos) <= len(last) {
			t.Errorf("%s %s was lost", e.Pos, e.Kind)
		}
	}
	if q := call[api.List[api.Event]](h, api.OpAuditQuery, api.AuditQueryRequest{Kind: "step.*"}); len(q.Items) != 3 || q.Items[0].Kind != "step.passed" {
		t.Errorf("asked the record: %+v", q.Items)
	}
}

func TestAReloadIsAllOrNothingAndRecorded(t *testing.T) {
	h := newHost(t)
	h.start()
	before := call[api.ConfigShown](h, api.OpConfigShow, api.Empty{}).PolicySum
	h.configure(blocks + "\nnonsense = true\n")
	wantCode(t, fails[api.ConfigReloaded](h, api.OpConfigReload, api.Empty{}), fault.ConfigInvalid)
	if plan := call[api.ConfigPlan](h, api.OpConfigPlan, api.Empty{}); plan.Valid || len(plan.Diagnostics) == 0 {
		t.Errorf("plan of a broken file: %+v", plan)
	}
	if now := call[api.ConfigShown](h, api.OpConfigShow, api.Empty{}).PolicySum; now != before {
		t.Error("a refused reload changed the policy")
	}
	h.configure(strings.Replace(blocks, `forbid = [".github/**"]`, `forbid = ["nothing/**"]`, 1))
	done := call[api.ConfigReloaded](h, api.OpConfigReload, api.Empty{})
	if len(done.Changes) == 0 || done.PolicySum == before {
		t.Errorf("got %+v", done)
	}
	widens := false
	for _, c := range done.Changes {
		widens = widens || c.Widens
	}
	if !widens {
		t.Error("dropping a forbidden path is not called a widening")
	}
	h.reload <- struct{}{} // as SIGHUP does
	if q := call[api.List[api.Event]](h, api.OpAuditQuery, api.AuditQueryRequest{Kind: "config.reloaded"}); len(q.Items) == 0 {
		t.Error("the reload is not in the record")
	}
}

// What a sandbox gives beyond the defaults is in the record by file and line: all of it when the
// daemon starts, and what is new when it reloads.
func TestEveryWideningIsAFactWithItsPlace(t *testing.T) {
	h := newHost(t)
	h.write(filepath.Join(h.dir, "data", "file"), "")
	data := filepath.Join(h.dir, "data")
	one := strings.Replace(blocks, `limits { wall = "1m" }`, `limits { wall = "1m" }
  filesystem { read = ["`+data+`"] }
  env { pass = ["LANG"] }`, 1)
	h.configure(one)
	h.start()
	facts := func() []string {
		q := call[api.List[api.Event]](h, api.OpAuditQuery, api.AuditQueryRequest{Kind: "policy.widened"})
		var out []string
		for _, e := range q.Items {
			var w work.Widening
			if err := json.Unmarshal(e.Body, &w); err != nil {
				t.Fatal(err)
			}
			out = append(out, strings.Join([]string{w.Sandbox, w.Key, w.Value, strings.TrimPrefix(w.Declared, h.config)}, " "))
		}
		return out
	}
	want := []string{"box filesystem.read " + data + " :9", "box env.pass LANG :10"} // the newest first
	if got := facts(); !slices.Equal(got, want) {
		t.Errorf("at the start: got %q, want %q", got, want)
	}
	h.configure(strings.Replace(one, `pass = ["LANG"]`, `pass = ["LANG", "LC_ALL"]`, 1))
	call[api.ConfigReloaded](h, api.OpConfigReload, api.Empty{})
	want = append([]string{"box env.pass LC_ALL :10"}, want...)
	if got := facts(); !slices.Equal(got, want) {
		t.Errorf("after a reload: got %q, want %q", got, want)
	}
	h.configure(blocks)
	call[api.ConfigReloaded](h, api.OpConfigReload, api.Empty{})
	if got := facts(); !slices.Equal(got, want) {
		t.Errorf("a narrower configuration: got %q, want %q", got, want)
	}
}

func TestOneDaemonPerStateDirectory(t *testing.T) {
	h := newHost(t)
	h.start()
	wantCode(t, daemon.Run(t.Context(), h.opt), fault.StateLocked)
	if run := h.open(); run.State != "open" {
		t.Error("the first daemon was disturbed")
	}
}

func TestS65_RootIsRefusedWithoutRunAs(t *testing.T) {
	h := newHost(t)
	o := h.opt
	o.UID = 0
	wantCode(t, daemon.Run(t.Context(), o), fault.RootRefused)
	if _, err := os.Stat(filepath.Join(h.dir, "state")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a refused daemon left a state directory")
	}
	h.configure("")
	b, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fault.Code{"root": fault.ConfigInvalid, "nobody-of-this-name": fault.ConfigInvalid} {
		h.write(h.config, strings.Replace(string(b), "daemon {", "daemon {\n  run_as = \""+name+"\"", 1))
		wantCode(t, daemon.Run(t.Context(), o), want)
	}
}

func TestS37_ATamperedArtifactIsNeverHandedOut(t *testing.T) {
	h := newHost(t)
	h.start()
	big := strings.Repeat("0123456789abcdef", 4<<10)
	step := h.settled(h.dispatch(h.open(), `{"play":[{"edit":{"path":"made.txt","content":"`+big+`"}}]}`).ID)
	rows := call[api.List[api.Artifact]](h, api.OpArtifactList, api.ArtifactListRequest{AttemptID: step.AttemptID})
	digest := ""
	for _, r := range rows.Items {
		if r.Name == "diff.patch" {
			digest = strings.TrimPrefix(r.Digest, "sha256:")
		}
	}
	path := filepath.Join(h.dir, "state", "cas", "sha256", digest[:2], digest[2:])
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join(h.dir, "state", "cas", "sha256", digest[:2], digest)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	if v := call[api.AuditVerdict](h, api.OpAuditVerify, api.AuditVerifyRequest{Artifacts: true}); v.OK {
		t.Error("the tampered artifact verified")
	}
	_, err = h.client.Stream(t.Context(), api.OpArtifactRead, api.ArtifactReadRequest{AttemptID: step.AttemptID, Name: "diff.patch"})
	if err == nil {
		t.Error("the tampered artifact was handed out")
	}
}

func TestBackupExportAndCleanUp(t *testing.T) {
	h := newHost(t)
	h.start()
	step := h.settled(h.dispatch(h.open(), "make it").ID)
	to := filepath.Join(h.dir, "backup")
	if r := call[api.BackupReport](h, api.OpBackup, api.BackupRequest{Dir: to}); r.Events == 0 {
		t.Errorf("got %+v", r)
	}
	wantCode(t, fails[api.BackupReport](h, api.OpBackup, api.BackupRequest{Dir: to}), fault.Conflict)
	wantCode(t, fails[api.BackupReport](h, api.OpBackup, api.BackupRequest{Dir: "relative"}), fault.InvalidRequest)
	whole := h.stream(api.OpAuditExport, api.AuditExportRequest{})
	one := h.stream(api.OpRunExport, api.RunRef{RunID: step.RunID})
	if len(one) == 0 || len(one) >= len(whole) || !strings.Contains(one, step.ID) {
		t.Errorf("exported %d bytes of the run, %d of all", len(one), len(whole))
	}
	dry := call[api.GCReport](h, api.OpGC, api.GCRequest{DryRun: true})
	done := call[api.GCReport](h, api.OpGC, api.GCRequest{})
	if !dry.DryRun || done.DryRun || dry.Trees != done.Trees {
		t.Errorf("dry %+v, done %+v", dry, done)
	}
	if v := call[api.AuditVerdict](h, api.OpAuditVerify, api.AuditVerifyRequest{Artifacts: true}); !v.OK {
		t.Errorf("after cleaning up: %+v", v)
	}
}

func TestOnlyTheOperatorDecides(t *testing.T) {
	h := newHost(t)
	h.start()
	other := client.Open(client.Options{Socket: filepath.Join(h.dir, "state", "run", "drawspan.sock"), Name: "planner"})
	_, err := client.Call[api.Approval](t.Context(), other, api.OpApprovalDecide, api.ApprovalDecideRequest{ApprovalID: "apr_00000000000000000000000000", Decision: "allow"})
	wantCode(t, err, fault.Forbidden)
}

func TestS82_ALevelThatCannotBeReachedIsRefusedNotWeakened(t *testing.T) {
	h := newHost(t)
	h.configure(strings.Replace(blocks, `sandbox "box" {`, "sandbox \"box\" {\n  level = \"vm\"", 1))
	wantCode(t, daemon.Run(t.Context(), h.opt), fault.ConfigInvalid)
}

func TestS72_AProgramThatIsNotTheLockedOneDoesNotRun(t *testing.T) {
	h := newHost(t)
	lock, err := os.ReadFile(daemon.LockPath(h.opt))
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(lock), "sha256:") + len("sha256:")
	for ; !strings.Contains(string(lock[:i]), "executor-script"); i += strings.Index(string(lock[i:]), "sha256:") + len("sha256:") {
	}
	lock[i] = "0123456789abcdef"[(strings.IndexByte("0123456789abcdef", lock[i])+1)%16]
	h.write(daemon.LockPath(h.opt), string(lock))
	h.start()
	step := h.settled(h.dispatch(h.open(), "make it").ID)
	if step.State != "failed" || step.Attempt.Reason != string(fault.PluginMismatch) {
		t.Errorf("step %s, reason %s (%s)", step.State, step.Attempt.Reason, step.Reason)
	}
}
