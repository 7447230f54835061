package work

import "testing"

// The allowed pairs, written down a second time so that a slip in a table is seen.
var (
	attemptPairs = map[AttemptState]string{
		AttemptQueued:     "preparing stopping ended",
		AttemptPreparing:  "running stopping ended",
		AttemptRunning:    "waiting collecting stopping ended",
		AttemptWaiting:    "running collecting stopping ended",
		AttemptCollecting: "validating stopping ended",
		AttemptValidating: "stopping ended",
		AttemptStopping:   "collecting ended",
		AttemptEnded:      "",
	}
	stepPairs = map[StepState]string{
		StepQueued:    "active cancelled failed",
		StepActive:    "held passed rejected failed cancelled",
		StepHeld:      "active passed rejected failed cancelled",
		StepPassed:    "queued",
		StepRejected:  "queued",
		StepFailed:    "queued",
		StepCancelled: "queued",
	}
	runPairs      = map[RunState]string{RunOpen: "closed cancelled", RunClosed: "", RunCancelled: ""}
	verdictPairs  = map[Verdict]string{VerdictPending: "pass fail hold", VerdictHold: "pass fail", VerdictPass: "", VerdictFail: ""}
	approvalPairs = map[ApprovalState]string{ApprovalOpen: "allowed denied answered", ApprovalAllowed: "", ApprovalDenied: "", ApprovalAnswered: ""}
)

func enumerate[S state](t *testing.T, kind string, pairs map[S]string, tbl table[S], can func(from, to S) bool) {
	t.Helper()
	if len(pairs) != len(tbl) {
		t.Errorf("%s: %d states in the table, %d expected", kind, len(tbl), len(pairs))
	}
	for _, from := range tbl.states() {
		allowed := map[string]bool{}
		for _, w := range fields(pairs[from]) {
			allowed[w] = true
		}
		for _, to := range tbl.states() {
			if got, want := can(from, to), allowed[string(to)]; got != want {
				t.Errorf("%s %s -> %s: got %v, want %v", kind, from, to, got, want)
			}
		}
		if can(from, "nonsense") {
			t.Errorf("%s %s may become a state that does not exist", kind, from)
		}
	}
}

func fields(s string) []string {
	var out []string
	word := ""
	for _, r := range s + " " {
		if r == ' ' {
			if word != "" {
				out = append(out, word)
			}
			word = ""
			continue
		}
		word += string(r)
	}
	return out
}

func TestEveryStatePairIsDecided(t *testing.T) {
	enumerate(t, "attempt", attemptPairs, attemptTable, AttemptState.CanBecome)
	enumerate(t, "step", stepPairs, stepTable, StepState.CanBecome)
	enumerate(t, "run", runPairs, runTable, RunState.CanBecome)
	enumerate(t, "verdict", verdictPairs, verdictTable, Verdict.CanBecome)
	enumerate(t, "approval", approvalPairs, approvalTable, ApprovalState.CanBecome)
}

func TestFromEveryLiveAttemptStateTheEndCanBeReached(t *testing.T) {
	for _, s := range attemptTable.states() {
		if !s.Live() {
			continue
		}
		if !s.CanBecome(AttemptEnded) {
			t.Errorf("%s cannot end", s)
		}
		if s != AttemptStopping && !s.CanBecome(AttemptStopping) {
			t.Errorf("%s cannot be stopped", s)
		}
	}
}

func TestAnEndedStepIsSettledAndALiveOneIsNot(t *testing.T) {
	for s, want := range map[StepState]bool{StepQueued: false, StepActive: false, StepHeld: false, StepPassed: true, StepRejected: true, StepFailed: true, StepCancelled: true} {
		if s.Settled() != want {
			t.Errorf("%s: got %v, want %v", s, s.Settled(), want)
		}
	}
}

func TestOutcomesAndResultsAreClosedSets(t *testing.T) {
	for _, o := range Outcomes() {
		if !o.Known() {
			t.Errorf("%s is not known", o)
		}
	}
	if Outcome("done").Known() || Result("ok").Known() || !ResultSkip.Known() {
		t.Error("the sets are not closed")
	}
}
