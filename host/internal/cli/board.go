package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/term"
)

// board is what is known of followed work: events and answers go in, lines come out. It does no I/O
// and reads no clock.
type board struct {
	run       *api.Run
	steps     []api.Step               // in order
	earlier   map[string][]api.Attempt // attempts before the newest, by step
	activity  map[string]activity      // the last thing an attempt did
	stuck     map[string]bool          // attempts whose death was looked for and not found
	first     map[string]string        // the state in which a step was seen first
	heard     map[string]string        // the state that a step's last event told
	lastEvent time.Time
}

func newBoard(run *api.Run) *board {
	return &board{run: run, earlier: map[string][]api.Attempt{}, activity: map[string]activity{}, stuck: map[string]bool{},
		first: map[string]string{}, heard: map[string]string{}}
}

// put takes a step as it is now. A version older than the known one is passed over: answers may
// overtake each other.
func (b *board) put(step api.Step) {
	i := slices.IndexFunc(b.steps, func(s api.Step) bool { return s.ID == step.ID })
	if i >= 0 {
		if step.Version < b.steps[i].Version {
			return
		}
		b.steps[i] = step
		return
	}
	b.first[step.ID] = step.State
	b.steps = append(b.steps, step)
	slices.SortStableFunc(b.steps, func(x, y api.Step) int { return x.Ix - y.Ix })
}

// event takes an event; its step, if any, has to be asked for anew.
func (b *board) event(e api.Event, now time.Time) {
	b.lastEvent = now
	if state, ok := strings.CutPrefix(e.Kind, "step."); ok {
		b.heard[e.StepID] = state
	}
	if e.Kind == "attempt.stuck" {
		b.stuck[e.AttemptID] = true
	}
}

// ahead reports whether a step's answer overtook its events: it is further than they told so far.
func (b *board) ahead(s api.Step) bool { return s.State != b.first[s.ID] && s.State != b.heard[s.ID] }

// caughtUp reports whether no answer overtook its events.
func (b *board) caughtUp() bool { return !slices.ContainsFunc(b.steps, b.ahead) }

// note takes what an attempt just did.
func (b *board) note(attemptID string, a activity, now time.Time) {
	b.activity[attemptID], b.lastEvent = a, now
}

func (b *board) step(id string) (api.Step, bool) {
	i := slices.IndexFunc(b.steps, func(s api.Step) bool { return s.ID == id })
	if i < 0 {
		return api.Step{}, false
	}
	return b.steps[i], true
}

// stuckAt reports whether a step's newest attempt cannot be proved dead.
func (b *board) stuckAt(step api.Step) bool {
	return step.Attempt != nil && step.Attempt.State == stateStopping && b.stuck[step.Attempt.ID]
}

// tree is the whole board as a tree: run, steps, attempts, gates and approvals.
func (b *board) tree(l look, now time.Time) term.Node {
	root := term.Node{}
	for _, s := range b.steps {
		root.Kids = append(root.Kids, b.stepNode(l, s, now))
	}
	if b.run == nil {
		if len(root.Kids) == 1 {
			return root.Kids[0]
		}
		root.Text = counted(len(root.Kids), "step")
		return root
	}
	r := b.run
	root.Text = join(l.state(r.State), l.strong(l.shortID(r.ID)),
		term.Line(r.Workspace)+" at "+term.Line(r.Base)+" "+l.faint(commit(r.BaseCommit)))
	if r.Title != "" && !(len(b.steps) == 1 && strings.HasPrefix(strings.TrimSpace(b.steps[0].Text), r.Title)) {
		root.Text = join(root.Text, l.quote(r.Title))
	}
	return root
}

func (b *board) stepNode(l look, s api.Step, now time.Time) term.Node {
	n := term.Node{Text: join(l.state(s.State), l.strong(fmtStep(s)), term.Line(s.Executor),
		l.simulated(simulated(s)), b.elapsed(s, now), l.quote(s.Text))}
	if why := reasonOf(s); why != "" {
		n.Notes = append(n.Notes, why)
	}
	for _, a := range b.earlier[s.ID] {
		n.Kids = append(n.Kids, attemptNode(l, a, now))
	}
	if s.Attempt != nil {
		kid := attemptNode(l, *s.Attempt, now)
		if act, ok := b.activity[s.Attempt.ID]; ok && s.Attempt.State != stateEnded {
			kid.Notes = append(kid.Notes, l.activity(act, now))
		}
		if b.stuckAt(s) {
			kid.Notes = append(kid.Notes, l.Paint(term.Bad, "its end is not proved yet: processes may still run"))
		}
		for _, g := range s.GateStates {
			kid.Kids = append(kid.Kids, gateNode(l, g))
		}
		for _, a := range s.Approvals {
			kid.Kids = append(kid.Kids, approvalNode(l, a, now))
		}
		n.Kids = append(n.Kids, kid)
	}
	return n
}

// simulated reports whether a step is simulated, as far as is known: an attempt knows when it runs.
func simulated(s api.Step) bool { return s.Simulated || (s.Attempt != nil && s.Attempt.Simulated) }

// elapsed is how long a step took, or has taken so far.
func (b *board) elapsed(s api.Step, now time.Time) string {
	from := s.Dispatched
	if from.IsZero() {
		return ""
	}
	if s.EndedAt != nil {
		return span(s.EndedAt.Sub(from))
	}
	return clock(now.Sub(from))
}

func attemptNode(l look, a api.Attempt, now time.Time) term.Node {
	state := l.state(a.State)
	if a.Outcome != "" {
		state = l.state(a.Outcome)
	}
	took := ""
	switch {
	case a.StartedAt != nil && a.EndedAt != nil:
		took = span(a.EndedAt.Sub(*a.StartedAt))
	case a.StartedAt != nil:
		took = clock(now.Sub(*a.StartedAt))
	}
	n := term.Node{Text: join(state, fmt.Sprintf("attempt %d", a.N), l.simulated(a.Simulated), took,
		term.Line(a.Level), l.faint(l.shortID(a.ID)))}
	if a.Preparing != nil {
		n.Notes = append(n.Notes, join(preparation(*a.Preparing), l.faint(clock(now.Sub(a.Preparing.Since)))))
	}
	if a.Cause != "" && a.State == stateStopping {
		n.Notes = append(n.Notes, "stopping: "+term.Line(a.Cause))
	}
	if a.Outcome != "" && a.Outcome != "succeeded" && (a.Message != "" || a.Reason != "") {
		n.Notes = append(n.Notes, firstLine(strings.TrimPrefix(a.Reason+": "+a.Message, ": ")))
	}
	if d, ok := deathOf(&a); ok && d.Proved && a.Outcome == outcomeStopped {
		n.Notes = append(n.Notes, l.proof(d))
	}
	return n
}

// preparation is what the preparation of a tree is at.
func preparation(p api.Preparation) string {
	if p.Waits {
		return "waits for another attempt of the workspace, which fills its caches"
	}
	return "provision run " + term.Line(p.Run)
}

// proof says how the end of every process was proved.
func (l look) proof(d death) string {
	if !d.Proved && d.Survivors == 0 {
		return l.Paint(term.Bad, "not proved: processes may be left")
	}
	if !d.Proved {
		return l.Paint(term.Bad, "not proved: "+counted(d.Survivors, "process")+" left")
	}
	how := []string{term.Line(d.Method)}
	if d.Took > 0 {
		how = append(how, "after "+span(time.Duration(d.Took)))
	}
	if len(d.Signals) > 0 {
		how = append(how, term.Line(strings.Join(d.Signals, " ")))
	}
	text := "proved: no process left (" + strings.Join(how, ", ") + ")"
	return l.Paint(term.Good, text)
}

func gateNode(l look, g api.GateState) term.Node {
	name := "gate " + term.Line(g.Name)
	if !g.Required {
		name += " (advisory)"
	}
	reason := firstLine(g.Reason)
	if reason == g.Verdict {
		reason = ""
	}
	reason = strings.TrimPrefix(reason, g.Verdict+": ") // said already
	return term.Node{Text: join(l.state(g.Verdict), name, reason)}
}

func approvalNode(l look, a api.Approval, now time.Time) term.Node {
	what := "approval: " + term.Line(a.Kind)
	due := ""
	if !a.Deadline.IsZero() {
		due = "due " + l.when(a.Deadline, now) + ", then " + fallback(a)
	}
	n := term.Node{Text: join(l.Mark(term.Ask)+" "+l.Paint(term.Ask, what), l.quote(a.Prompt), due)}
	n.Notes = append(n.Notes, answerCommands(l, a)...)
	return n
}

// fallback is what happens when nobody answers.
func fallback(a api.Approval) string {
	if a.Default == "" {
		return "unanswered"
	}
	return term.Line(a.Default)
}

// answerCommands are the commands that answer an approval.
func answerCommands(l look, a api.Approval) []string {
	if a.Kind == kindQuestion {
		lines := []string{}
		if len(a.Options) > 0 {
			lines = append(lines, "options: "+term.Line(strings.Join(a.Options, " | ")))
		}
		return append(lines, l.command("drawspan approval answer "+a.ID+" TEXT"))
	}
	return []string{l.command("drawspan approval allow " + a.ID), l.command("drawspan approval deny " + a.ID)}
}

// activity is the last thing that an attempt did.
type activity struct {
	At   time.Time
	Text string // clean, one line
}

func (l look) activity(a activity, now time.Time) string {
	ago := ""
	if d := now.Sub(a.At); !a.At.IsZero() && d >= 2*time.Second {
		ago = l.faint("(" + clock(d) + " ago)")
	}
	lead := "> "
	if l.profile.Glyphs {
		lead = "› "
	}
	return join(l.faint(lead)+term.Cut(a.Text, 100), ago)
}
