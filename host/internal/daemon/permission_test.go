package daemon_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Rules from the file decide over the real protocol, and what a simulator made passes no gate that asks for
// a real executor.
func TestRulesOfTheFileDecideAndASimulatorIsNoRealExecutor(t *testing.T) {
	h := newHost(t)
	rules := `
  permission "reads" {
    decision = "allow"
    kinds    = ["read"]
  }
  permission "rest" {
    decision = "deny"
  }
`
	text := strings.Replace(blocks, "executor \"coder\" {", "executor \"coder\" {"+rules, 1)
	h.configure(strings.Replace(text, "  gate \"paths\" {", "  gate \"real\" {\n    validator = \"real-executor\"\n  }\n  gate \"paths\" {", 1))
	h.start()
	step := h.settled(h.dispatch(h.open(), `{"play":[{"permit":{"tool":"read","title":"a"}},{"permit":{"tool":"execute","title":"b"}},{"edit":{"path":"made.txt","content":"x"}}]}`).ID)
	if step.State != "rejected" || !strings.Contains(step.Reason, `gate "real"`) || !strings.Contains(step.Reason, "simulated") || !step.Simulated {
		t.Errorf("step %s: %s", step.State, step.Reason)
	}
	var spec work.ResultSpec
	if err := json.Unmarshal([]byte(h.stream(api.OpArtifactRead, api.ArtifactReadRequest{AttemptID: step.AttemptID, Name: "result.json"})), &spec); err != nil {
		t.Fatal(err)
	}
	if want := (work.Permissions{Requested: 2, Allowed: 1, Denied: 1, ByRule: 2}); spec.Permission != want || !spec.Simulated || spec.Executor.Plugin.Digest == "" {
		t.Errorf("the result has %+v, simulated %v", spec.Permission, spec.Simulated)
	}
	events := h.stream(api.OpAttemptStream, api.StreamRequest{AttemptID: step.AttemptID})
	for _, want := range []string{`"rule":"reads"`, `"decided_by":"policy"`, `drawspan.hcl:11"`, "was allowed by rule reads\"", "was denied by rule rest\""} {
		if !strings.Contains(events, want) {
			t.Errorf("%s is not in the stream: %s", want, events)
		}
	}
	gates := call[api.List[api.GateState]](h, api.OpGateList, api.GateListRequest{AttemptID: step.AttemptID})
	rows := call[api.List[api.Artifact]](h, api.OpArtifactList, api.ArtifactListRequest{AttemptID: step.AttemptID})
	if len(gates.Items) == 0 || !gates.Items[0].Simulated || len(rows.Items) == 0 || !rows.Items[0].Simulated {
		t.Errorf("gates %+v, artifacts %+v", gates.Items, rows.Items)
	}
}
