package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/internal/work"
)

const gatewayText = `gateway "model" {
  upstream = "https://api.example.com"
  wire     = "messages"
  models   = ["some-*"]
  credential {
    from_env = "MODEL_KEY"
  }
  budget {
    calls = 5
  }
}
`

func TestAGatewayIsCompiledAndRecordedAsAWidening(t *testing.T) {
	w := newWorld(t)
	p := w.compile(w.load(strings.Replace(text, "\nexecutor \"fmt\" {\n", "\n"+gatewayText+"executor \"fmt\" {\n  gateway = \"model\"\n", 1)))
	g := p.Executors["fmt"].Gateway
	if g == nil || g.Name != "model" || g.Upstream != "https://api.example.com" || g.Wire != "messages" || g.Budget != (work.ModelBudget{Calls: 5}) ||
		!slices.Equal(g.Models, []string{"some-*"}) || g.Credential == nil || g.Credential.FromEnv != "MODEL_KEY" {
		t.Errorf("got %+v", g)
	}
	if !slices.ContainsFunc(Widenings(p), func(w work.Widening) bool {
		return w.Key == "gateway" && w.Value == "model to https://api.example.com" && strings.HasPrefix(w.Declared, "drawspan.hcl:")
	}) {
		t.Errorf("no widening: %+v", Widenings(p))
	}
}

func TestWhichChangesOfAGatewayWiden(t *testing.T) {
	w := newWorld(t)
	with := func(old, next string) string {
		return strings.Replace(text, "\nexecutor \"fmt\" {\n", "\n"+strings.Replace(gatewayText, old, next, 1)+"executor \"fmt\" {\n  gateway = \"model\"\n", 1)
	}
	before := w.load(with("", ""))
	for name, row := range map[string]struct {
		old, next string
		widens    bool
	}{
		"another model":   {`["some-*"]`, `["some-*", "other"]`, true},
		"fewer models":    {`["some-*"]`, `["some-one"]`, true}, // whether a pattern is narrower is not judged
		"any model":       {`["some-*"]`, `[]`, true},
		"a lower budget":  {"calls = 5", "calls = 4", false},
		"a higher budget": {"calls = 5", "calls = 6", true},
		"no budget":       {"calls = 5", "", true},
		"one more bound":  {"calls = 5", "calls = 5\n    input_tokens = 9", false},
		"elsewhere":       {"api.example.com", "other.example.com", true},
	} {
		changes := Diff(before, w.load(with(row.old, row.next)))
		if len(changes) != 1 || changes[0].Widens != row.widens {
			t.Errorf("%s: %+v", name, changes)
		}
	}
}
