package panel

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// micros is how a metric is counted: the record has no fractions.
const micros = 1e6

// metrics takes a validator's numbers over.
func metrics(in map[string]float64) (map[string]int64, error) {
	if len(in) > sdk.MaxMetrics {
		return nil, fault.New(fault.PluginProtocol, "the validator answered with %d numbers, more than %d", len(in), sdk.MaxMetrics)
	}
	if len(in) == 0 {
		return nil, nil
	}
	out := make(map[string]int64, len(in))
	for name, n := range in {
		if math.IsNaN(n) || math.Abs(n) > math.MaxInt32*micros || name == "" || len(name) > sdk.MaxName {
			return nil, fault.New(fault.PluginProtocol, "the validator answered with a number %.40q of %v", name, n)
		}
		out[name] = int64(math.Round(n * micros))
	}
	return out, nil
}

// known are the facts that a rule may rest on: of the gates those alone that come before it by its own
// word, so that they do not depend on which validator happened to be quicker.
func (t *sitting) known(rule work.GateRule) work.Facts {
	facts := t.s.Facts
	facts.Gates = map[string]work.GateFact{}
	for _, name := range before(t.s.Rules, rule) {
		i := slices.IndexFunc(t.gates, func(g work.GateRecord) bool { return g.Name == name })
		if i < 0 {
			continue
		}
		g := t.gates[i]
		fact := work.GateFact{Verdict: g.Verdict, Message: g.Reason, Metrics: map[string]float64{}}
		if v, ok := t.found[g.Validation]; ok {
			fact.Result, fact.Message, fact.Findings = v.Result, v.Message, len(v.Findings)
			for name, n := range v.Metrics {
				fact.Metrics[name] = float64(n) / micros
			}
		}
		facts.Gates[name] = fact
	}
	return facts
}

// question is what a validator is asked, and what it has to see for it.
type question struct {
	check   sdk.Check
	shown   work.DiffFacts
	launch  Launch
	program string // digest of the one that is asked; "" for any
	inputs  string // digest of all that the answer rests on
}

// ask puts a rule's question together. facts are those that the rule may rest on.
func (t *sitting) ask(rule work.GateRule, facts work.Facts) (question, error) {
	shown, err := shownTo(rule, facts.Diff)
	if err != nil {
		return question{}, err
	}
	facts.Diff = shown
	q := question{shown: shown, program: rule.Digest, check: sdk.Check{
		AttemptID: t.s.AttemptID, Gate: rule.Name, Base: t.s.Base, Head: t.s.Head, TreeSum: t.s.TreeSum,
		Changes: changes(shown), Paths: t.s.Paths, Config: rule.Config,
	}}
	if rule.Pure { // it is not told what another attempt with the same trees would be told otherwise
		q.check.AttemptID, q.check.Head = "", ""
	}
	if slices.Contains(rule.Feeds, sdk.FeedFacts) {
		fed := gate.Facts(facts)
		q.check.Facts = &fed
	}
	if q.inputs, err = inputs(rule, q.check); err != nil {
		return question{}, err
	}
	q.launch = Launch{Name: rule.Validator, Config: rule.Config, Policy: rule.Sandbox, AttemptID: t.s.AttemptID}
	return q, nil
}

// feed adds what is dear to make: the trees and the patch.
func (t *sitting) feed(ctx context.Context, rule work.GateRule, q *question) error {
	var err error
	if slices.Contains(rule.Feeds, sdk.FeedPatch) {
		if q.check.Patch, q.check.PatchCut, err = t.patch(ctx, rule, q.shown); err != nil {
			return err
		}
	}
	if slices.Contains(rule.Feeds, sdk.FeedBase) {
		if q.launch.BaseTree, err = t.base(ctx); err != nil {
			return err
		}
		q.check.BaseTree = q.launch.BaseTree
	}
	if rule.Resident {
		return nil
	}
	if q.launch.Head, err = t.s.Trees.Head(ctx); err != nil {
		return err
	}
	if rule.Pure {
		q.launch.Head.Git = nil // its commits name the attempt
	}
	q.check.Tree = q.launch.Head.Path
	return nil
}

// patch is the change's, or that of what the rule is shown.
func (t *sitting) patch(ctx context.Context, rule work.GateRule, shown work.DiffFacts) ([]byte, bool, error) {
	var paths []string
	if len(rule.Paths) > 0 {
		for _, c := range shown.Files {
			paths = append(paths, c.Path)
		}
	}
	key := strings.Join(paths, "\x00")
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.patches[key]; ok {
		return p.bytes, p.cut, nil
	}
	b, cut, err := t.s.Trees.Patch(ctx, paths, sdk.MaxPatch)
	if err != nil {
		return nil, false, err
	}
	t.patches[key] = patch{b, cut}
	return b, cut, nil
}

type patch struct {
	bytes []byte
	cut   bool
}

// base is the one tree of the base, made when it is first asked for.
func (t *sitting) base(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.baseDir != "" {
		return t.baseDir, nil
	}
	dir, drop, err := t.s.Trees.Base(ctx)
	if err != nil {
		return "", err
	}
	t.baseDir, t.dropBase = dir, drop
	return dir, nil
}

// inputs is the digest of all that the answer to a check rests on: what is judged, by which program under
// which configuration in which sandbox. The patch and the base's tree follow from the base, the tree and
// the changes. What the check does not name, such as the commit for a pure validator, is not part of it.
func inputs(rule work.GateRule, c sdk.Check) (string, error) {
	body, err := json.Marshal(struct {
		Version              int
		Plugin, Digest, Gate string
		Config               json.RawMessage
		Box                  *work.SandboxPolicy
		Tree, Base, Head     string
		Changes              []sdk.Change
		Paths                []sdk.Paths
		Facts                *sdk.Facts
		Feeds                []string
		Resident             bool
	}{2, rule.Validator, rule.Digest, rule.Name, rule.Config, placeless(rule.Sandbox), c.TreeSum, c.Base, c.Head, c.Changes, c.Paths, c.Facts, rule.Feeds, rule.Resident})
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "what gate %q rests on cannot be encoded", rule.Name)
	}
	return digestOf(body), nil
}

// placeless is a sandbox without where it is written, which makes no difference.
func placeless(box *work.SandboxPolicy) *work.SandboxPolicy {
	if box == nil {
		return nil
	}
	own := *box
	own.Declared, own.Widenings = "", nil
	own.Credentials = slices.Clone(own.Credentials)
	for i := range own.Credentials {
		own.Credentials[i].Declared = ""
	}
	return &own
}
