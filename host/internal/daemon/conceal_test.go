package daemon

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/artifact"
	"github.com/drawspan/drawspan/host/internal/redact"
	"github.com/drawspan/drawspan/host/internal/store"
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

// Masks are longer than what they hide. What was small enough to be kept with the record stays so, cut where there
// is no other way, and said to be.
func TestS74_MaskingDoesNotKeepAnArtifactFromTheRecord(t *testing.T) {
	const short = "Xk3-9q7Z"
	v := newVault(nil)
	if err := v.learn([]redact.Secret{{Name: strings.Repeat("n", 60), Value: short}}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{strings.Repeat(short, 2), strings.Repeat(short, artifact.InlineLimit/len(short))} {
		m := v.mutations([]work.Mutation{work.KeepArtifact{Artifact: work.Artifact{Inline: []byte(text)}}})
		got := m[0].(work.KeepArtifact).Artifact
		if strings.Contains(string(got.Inline), short) || len(got.Inline) == 0 || len(got.Inline) > store.MaxInline {
			t.Errorf("%d bytes became %d: %.80q", len(text), len(got.Inline), got.Inline)
		}
		if got.Truncated != (len(got.Inline) == store.MaxInline) || got.Size != int64(len(got.Inline)) || got.Digest != artifact.Digest(got.Inline) {
			t.Errorf("of %d bytes: truncated %v, size %d of %d", len(text), got.Truncated, got.Size, len(got.Inline))
		}
	}
}
