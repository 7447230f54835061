package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/artifact"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/sdk"
)

// leakerBlocks are an executor that puts its credentials into its session and everywhere else.
const leakerBlocks = `
sandbox "box" {
  limits { wall = "1m" }
  credential "canary_api" { from_env = "CANARY_API" }
  credential "canary_token" { from_env = "CANARY_TOKEN" }
}
executor "coder" {
  plugin  = "leaker"
  sandbox = "box"
}
workspace "w" {
  root      = "REPO"
  base      = "main"
  executors = ["coder"]
}
`

// betrayed makes the host one whose executor is the leaker, with these credentials.
func (h *host) betrayed(values map[string]string) {
	h.t.Helper()
	dir := filepath.Join(h.dir, "leaker")
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "drawspan-executor-leaker"), "./host/e2e/leaker")
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("build the leaker: %v\n%s", err, out)
	}
	h.opt.Libexec = append(slices.Clone(h.opt.Libexec), dir)
	h.opt.Variable = func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	h.configure(leakerBlocks)
	h.lock()
}

// kept is session.json of an attempt as it lies in a state directory or in a backup.
func (h *host) kept(dir, attemptID string) (files []sdk.StateFile, whole string) {
	h.t.Helper()
	record, err := store.Open(h.t.Context(), store.Options{Dir: dir, Inspect: true})
	if err != nil {
		h.t.Fatal(err)
	}
	defer record.Close(h.t.Context()) //nolint:errcheck // it was only read
	row, err := record.Artifact(h.t.Context(), attemptID, "session.json")
	if err != nil {
		h.t.Fatal(err)
	}
	body := row.Inline
	if body == nil {
		content, err := artifact.Open(filepath.Join(dir, "cas"))
		if err != nil {
			h.t.Fatal(err)
		}
		f, err := content.Verified(h.t.Context(), row.Digest, row.Size)
		if err != nil {
			h.t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // as above
		if body, err = io.ReadAll(f); err != nil {
			h.t.Fatal(err)
		}
	}
	var s struct {
		Session string
		Files   []sdk.StateFile
	}
	if err := json.Unmarshal(body, &s); err != nil || s.Session == "" || len(s.Files) == 0 {
		h.t.Fatalf("%v: session %q with %d files", err, s.Session, len(s.Files))
	}
	return s.Files, string(body)
}

// raw is the answer of the socket to one request, head and body, as it is.
func (h *host) raw(method, path, body string) (status int, answer string) {
	h.t.Helper()
	socket := filepath.Join(h.dir, "state", "run", "drawspan.sock")
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(h.t.Context(), method, "http://drawspan"+api.Prefix+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(api.HeaderClient, "cli")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, fmt.Sprint(resp.Header, string(text))
}

// TestS74_AnExecutorsSessionIsMaskedAndHandedOutNowhere holds what a follow-up needs of an executor: whatever
// secret is in its files or their names, none is kept, and no answer has a byte of them, masked or not.
func TestS74_AnExecutorsSessionIsMaskedAndHandedOutNowhere(t *testing.T) {
	secrets := []string{"canary-of-the-api-0xC0FFEE-7431", "canary/of+a token=4711&more-9"}
	h := newHost(t)
	h.betrayed(map[string]string{"CANARY_API": secrets[0], "CANARY_TOKEN": secrets[1]})
	h.start()
	step := h.settled(h.dispatch(h.open(), "go").ID)
	if step.State != "passed" || !strings.Contains(string(step.Attempt.Evidence), `"session":true`) {
		t.Fatalf("step %s: %s, %+v\n%s", step.State, step.Reason, step.Attempt, h.log)
	}
	h.checkRefused(step)
	backup := filepath.Join(h.dir, "backup")
	if status, answer := h.raw(http.MethodPost, "/backup", fmt.Sprintf(`{"dir":%q}`, backup)); status != http.StatusOK {
		t.Fatalf("backup: %d %s", status, answer)
	}
	answers := h.answers(step)

	// A follow-up is given what was kept, and says no more of it.
	call[api.Step](h, api.OpStepFollowup, api.StepFollowupRequest{StepID: step.ID, Text: "once more"})
	next := h.settled(step.ID)
	if !strings.Contains(string(next.Attempt.Evidence), `"mode":"native"`) {
		t.Errorf("the follow-up has %s", next.Attempt.Evidence)
	}
	for path, answer := range h.answers(next) {
		answers["then "+path] = answer
	}
	h.end()
	answers["the daemon's log"] = h.log.String()
	state := filepath.Join(h.dir, "state")
	if err := os.CopyFS(filepath.Join(backup, "keys"), os.DirFS(filepath.Join(state, "keys"))); err != nil { // no backup has them
		t.Fatal(err)
	}
	files, whole := h.kept(backup, step.AttemptID)
	seen := ""
	for i, f := range files {
		answers[fmt.Sprintf("session file %d", i)] = string(f.Data)
		answers[fmt.Sprintf("the name of session file %d", i)] = f.Path
		seen += f.Path + string(f.Data)
	}
	if !strings.Contains(seen, "[redacted:canary_api]") || !strings.Contains(seen, "[redacted:canary_token]") {
		t.Errorf("the session holds nothing that was masked: %.400s", seen)
	}
	for place, text := range answers {
		if strings.Contains(text, whole[:60]) || strings.Contains(text, `"files":[{"path":"auth.json"`) {
			t.Errorf("%s hands the session out", place)
		}
		for _, secret := range secrets {
			for form, canary := range canaries(secret) {
				if at := strings.Index(text, canary); at >= 0 {
					t.Errorf("%s holds a credential, %s: %q", place, form, text[max(0, at-60):at+len(canary)])
				}
			}
		}
	}
}

// checkRefused looks at the ways to the artifact: it is listed, and not read.
func (h *host) checkRefused(step api.Step) {
	h.t.Helper()
	rows := call[api.List[api.Artifact]](h, api.OpArtifactList, api.ArtifactListRequest{AttemptID: step.AttemptID}).Items
	if !slices.ContainsFunc(rows, func(a api.Artifact) bool { return a.Name == "session.json" && a.Kind == "session" && a.Size > 0 }) {
		h.t.Errorf("it is not listed: %+v", rows)
	}
	_, err := h.client.Stream(h.t.Context(), api.OpArtifactRead, api.ArtifactReadRequest{AttemptID: step.AttemptID, Name: "session.json"})
	wantCode(h.t, err, fault.NotAllowed)
	for _, query := range []string{"name=session.json", "name=session.json&limit=10", "name=session.json&offset=5"} {
		status, answer := h.raw(http.MethodGet, "/attempts/"+step.AttemptID+"/artifact?"+query, "")
		if status < 400 || !strings.Contains(answer, string(fault.NotAllowed)) || !strings.Contains(answer, "drawspan step followup") {
			h.t.Errorf("%s: %d %s", query, status, answer)
		}
	}
}

// answers are what the socket says of a step, byte for byte.
func (h *host) answers(step api.Step) map[string]string {
	h.t.Helper()
	paths := []string{
		"/instance", "/workspaces", "/executors", "/runs", "/runs/" + step.RunID, "/runs/" + step.RunID + "/export", "/steps", "/steps/" + step.ID,
		"/attempts?step_id=" + step.ID, "/attempts/" + step.AttemptID, "/attempts/" + step.AttemptID + "/stream", "/attempts/" + step.AttemptID + "/artifacts",
		"/validations?attempt_id=" + step.AttemptID, "/gates?attempt_id=" + step.AttemptID, "/approvals", "/events", "/audit?limit=500", "/audit/export", "/config", "/plugins", "/doctor",
	}
	for _, a := range call[api.List[api.Artifact]](h, api.OpArtifactList, api.ArtifactListRequest{AttemptID: step.AttemptID}).Items {
		paths = append(paths, "/attempts/"+step.AttemptID+"/artifact?name="+a.Name)
	}
	out := map[string]string{}
	for _, path := range paths {
		status, answer := h.raw(http.MethodGet, path, "")
		out[path] = answer
		if status != http.StatusOK && !strings.HasSuffix(path, "name=session.json") {
			h.t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	restored := filepath.Join(h.dir, "restored-"+step.AttemptID)
	status, answer := h.raw(http.MethodPost, "/attempts/"+step.AttemptID+"/restore", fmt.Sprintf(`{"dir":%q}`, restored))
	if _, err := os.Stat(filepath.Join(restored, "session.json")); err == nil || status != http.StatusOK {
		h.t.Errorf("restored: %d, %v", status, err)
	}
	out["restore"] = answer
	return out
}
