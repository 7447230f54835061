package daemon

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/redact"
	"github.com/drawspan/drawspan/host/internal/work"
)

// BenchmarkTheLastDoor is what masking adds to a write of the record, with as many known values as an
// attempt has.
func BenchmarkTheLastDoor(b *testing.B) {
	v := newVault(nil)
	err := v.learn([]redact.Secret{
		{Name: "api", Value: secretValue}, {Name: "file", Value: strings.Repeat("k3y-", 40)}, {Name: "gate", Value: "Gt4Yh8Jk2Lp6Mn0Bv5Cx"},
	})
	if err != nil {
		b.Fatal(err)
	}
	enforced, err := json.Marshal(map[string]any{"backend": "native", "fs": map[string]any{"ro": strings.Split(strings.Repeat("system ", 60), " ")}, "note": strings.Repeat("x", 1000)})
	if err != nil {
		b.Fatal(err)
	}
	at := time.Unix(1, 0)
	for name, list := range map[string][]work.Mutation{
		"move":     {work.MoveAttempt{ID: "att_01JD0Q8Z3V0000000000000000", Version: 3, To: work.AttemptWaiting, Actor: work.Actor{Kind: "daemon", ID: "drawspan"}, At: at}},
		"enforced": {work.MoveAttempt{ID: "att_01JD0Q8Z3V0000000000000000", Version: 3, To: work.AttemptRunning, Enforced: enforced, At: at}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v.mutations(list)
			}
		})
	}
}
