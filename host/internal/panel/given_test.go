package panel

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// giving are trees that can be told apart by all that they are of.
type giving struct {
	*trees
	s *Subject
}

func (g giving) Head(context.Context) (Head, error) {
	return Head{Path: "/tree", Git: &Git{Dir: "/git of " + g.s.Head}, Env: []string{"TREE=" + g.s.TreeSum}}, nil
}

func (g giving) Base(context.Context) (string, func(), error) {
	return "/tree of " + g.s.Base, func() {}, nil
}

func (g giving) Patch(_ context.Context, paths []string, limit int64) ([]byte, bool, error) {
	return fmt.Appendf(nil, "%s..%s of %v", g.s.Base, g.s.TreeSum, paths), limit < 0, nil
}

// given is an answer that tells all that the validator was given: with another gift it is another answer.
func given(_ context.Context, l Launch, c sdk.Check, _ func(string, []byte) error) (sdk.Verdict, error) {
	l.AttemptID, l.Policy, c.Deadline = "", placeless(l.Policy), time.Time{}
	all, err := json.Marshal([]any{struct {
		Launch
		OnExceeded any
	}{Launch: l}, struct {
		sdk.Check
		Output any
	}{Check: c}})
	return sdk.Verdict{Outcome: sdk.Pass, Message: string(all)}, err
}

// anyChange is a change under a rule, each of whose parts is one of a few.
func anyChange(b *bench, rnd *rand.Rand) *Subject {
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	r := pure("g")
	r.Config, r.Resident = json.RawMessage(pick(`{}`, `{"max":2}`)), rnd.IntN(2) == 0
	r.Digest, r.Declared = pluginDigest, pick("x.hcl:7", "y.hcl:1")
	if rnd.IntN(3) == 0 {
		r.Paths = []string{"src/**"}
	}
	for _, feed := range sdk.Feeds() {
		if rnd.IntN(2) == 0 {
			r.Feeds = append(r.Feeds, feed)
		}
	}
	r.Sandbox = &work.SandboxPolicy{Name: "box", Level: pick("isolated", "guarded"), Env: map[string]string{"V": pick("1", "2")}, Declared: pick("x.hcl:1", "x.hcl:2")}
	s := b.subject(r)
	s.Base, s.TreeSum, s.Head = pick("b1", "b2"), pick("t1", "t2"), fmt.Sprintf("commit%d", rnd.Int())
	s.Paths = []sdk.Paths{{Forbid: []string{pick("a", "b")}}}
	s.Facts = work.Facts{Executor: work.ExecutorFact{Name: pick("one", "two")}, Diff: work.DiffFacts{Files: slices.Clone(diff.Files), Insertions: 3}}
	s.Facts.Diff.Files[0].Added = 3 + rnd.IntN(2)
	s.Trees = giving{b.trees, s}
	return s
}

// A result is used again only where the validator, asked again, would have been given the same to the last
// byte; what tells attempts with equal trees apart, such as the commit, it is not given.
func TestF10_AResultIsUsedAgainOnlyForAnEqualGift(t *testing.T) {
	rnd := rand.New(rand.NewPCG(10, 5))
	with, without := newBench(t), newBench(t)
	without.panel.opt.Results = nil
	with.plugins.plays["g"], without.plugins.plays["g"] = []play{given}, []play{given}
	used, answers := 0, map[string]bool{}
	for range 3000 {
		s := anyChange(with, rnd)
		with.judge(s)
		fresh := without.subject(s.Rules...)
		fresh.Base, fresh.Head, fresh.TreeSum, fresh.Paths, fresh.Facts, fresh.Trees = s.Base, s.Head, s.TreeSum, s.Paths, s.Facts, s.Trees
		without.judge(fresh)
		got, want := with.tried(s, "g")[0], without.tried(fresh, "g")[0]
		if got.Message != want.Message || got.Result != work.ResultPass {
			t.Fatalf("used again (%q):\n%s\nasked:\n%s", got.Reused, got.Message, want.Message)
		}
		if got.Reused != "" {
			used++
		} else if answers[got.Message] {
			t.Errorf("asked again for what was answered: %s", got.Message)
		}
		answers[got.Message] = true
	}
	if used < 300 || len(answers) < 500 {
		t.Errorf("%d of 3000 were used again, %d answers: the test tests nothing", used, len(answers))
	}
}
