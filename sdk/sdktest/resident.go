package sdktest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
)

// How much a resident validator serves between two looks at what it says, and how often.
const (
	strangers = 100
	looks     = 10
)

// resident holds a validator that serves many checks to answering each as if it were its first: what it was asked
// before, of other changes, by other configurations, left half way or in nonsense, is in no verdict.
func (s ValidatorSuite) resident(t *testing.T) {
	own := s.check(t, t.TempDir())
	own.Config = s.Config
	want := told(t.Context(), s.New(), own)
	served := s.New()
	odd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same checks every time
	for _, config := range s.Others {  // what is kept of the first one stands out most
		other := own
		other.Config = config
		told(t.Context(), served, other)
	}
	for range looks {
		var together sync.WaitGroup
		for range strangers {
			c, ctx, cancel := s.stranger(t.Context(), odd)
			together.Go(func() {
				defer cancel()
				told(ctx, served, c)
			})
			if odd.IntN(4) == 0 {
				together.Wait()
			}
			if odd.IntN(8) == 0 { // beside the others
				if got := told(t.Context(), served, own); got != want {
					t.Fatalf("beside others it says\n%s, want\n%s", got, want)
				}
			}
		}
		together.Wait()
		if got := told(t.Context(), served, own); got != want {
			t.Fatalf("after others it says\n%s, want\n%s", got, want)
		}
	}
	if got := told(t.Context(), s.New(), own); got != want {
		t.Errorf("a fresh one beside it says\n%s, want\n%s", got, want)
	}
}

// told is all that a validator says of a check.
func told(ctx context.Context, v any, c sdk.Check) (all string) {
	defer func() {
		if p := recover(); p != nil { // as its process does, which goes on
			all = fmt.Sprintf("panic: %v", p)
		}
	}()
	c.Output = func(string, []byte) error { return nil }
	verdict, err := v.(sdk.Validator).Check(ctx, &c)
	text, broken := json.Marshal(verdict)
	return fmt.Sprintf("%s %v %v", text, err, broken)
}

// stranger is a check of another change, which may be left before or while it is judged.
func (s ValidatorSuite) stranger(ctx context.Context, odd *rand.Rand) (sdk.Check, context.Context, context.CancelFunc) {
	c := sdk.Check{AttemptID: fmt.Sprint("att_", odd.Uint32()), Gate: "other", Tree: "/nowhere", Config: s.Config, Facts: s.Facts, Paths: s.Paths}
	names := []string{"a", "b.go", "../x", "src/a_test.go", "\xff\n", "secret/key.pem", "go.sum", ".github/workflows/x.yml", strings.Repeat("d/", 90) + "z"}
	modes := []string{"100644", "100755", "120000", "160000", "000000", "", "x"}
	ops := []string{"add", "modify", "delete", "mode", "type", "rename", ""}
	for range odd.IntN(40) {
		c.Changes = append(c.Changes, sdk.Change{
			Path: names[odd.IntN(len(names))], OldPath: names[odd.IntN(len(names))], Op: ops[odd.IntN(len(ops))],
			OldMode: modes[odd.IntN(len(modes))], NewMode: modes[odd.IntN(len(modes))], Size: odd.Int64N(1<<40) - 5,
			Added: odd.IntN(100) - 1, Deleted: odd.IntN(100) - 1, Binary: odd.IntN(3) == 0, Link: names[odd.IntN(len(names))],
		})
	}
	pieces := []string{s.Patch, "diff --git a/a b/a\n", "--- a/a\n+++ b/a\n", "@@ -1,9 +1 @@\n", "+func TestX(t *testing.T) { t.Skip() }\n", "-func TestX(t *testing.T) {\n", "\u202e+x\n", "\xff\x00", "+" + strings.Repeat("y", 5000) + "\n"}
	for range odd.IntN(60) {
		c.Patch = append(c.Patch, pieces[odd.IntN(len(pieces))]...)
	}
	c.PatchCut = odd.IntN(5) == 0
	switch odd.IntN(6) {
	case 0:
		configs := append([]json.RawMessage{[]byte(`{`), []byte(`{}`), []byte(`null`), []byte(`[]`)}, s.Others...)
		c.Config = configs[odd.IntN(len(configs))]
	case 1:
		c.Paths = append(c.Paths, sdk.Paths{Forbid: []string{"**"}}, sdk.Paths{Write: []string{"[", "{a,b", "\xff"}})
	case 2:
		c.Facts = &sdk.Facts{Gates: map[string]sdk.GateFact{"tests": {Verdict: "fail", Message: strings.Repeat("m", odd.IntN(1<<16))}}}
	}
	switch odd.IntN(5) {
	case 0:
		gone, cancel := context.WithCancel(ctx)
		cancel()
		return c, gone, cancel
	case 1:
		soon, cancel := context.WithTimeout(ctx, time.Duration(odd.IntN(200))*time.Microsecond)
		return c, soon, cancel
	}
	stays, cancel := context.WithCancel(ctx)
	return c, stays, cancel
}
