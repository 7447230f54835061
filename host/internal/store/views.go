package store

// Column is one documented column of a view.
type Column struct {
	View string
	Name string
	Doc  string
}

// Views are the SQL views that others may read, with all their columns. Documentation is made from this
// table, and a test holds it to the database. Times are RFC 3339 in UTC with nanoseconds; what is not
// known yet is NULL or empty; flags are 0 and 1.
func Views() []Column {
	var all []Column
	for _, v := range []struct {
		view    string
		columns [][2]string
	}{
		{"v_run", runView}, {"v_step", stepView}, {"v_attempt", attemptView}, {"v_gate", gateView}, {"v_validation", validationView},
		{"v_approval", approvalView}, {"v_event", eventView},
	} {
		for _, c := range v.columns {
			all = append(all, Column{View: v.view, Name: c[0], Doc: c[1]})
		}
	}
	return all
}

var runView = [][2]string{
	{"id", "the run"},
	{"workspace", "the workspace it works in"},
	{"title", "what the planner called it"},
	{"state", "open, closed or cancelled"},
	{"base", "the ref it was opened on, as asked"},
	{"base_commit", "the commit that ref named then"},
	{"steps", "how many steps were dispatched"},
	{"actor_kind", "what kind of caller opened it"},
	{"actor_id", "which caller opened it, as the receiving side authenticated it"},
	{"opened_at", "when it was opened"},
	{"ended_at", "when it was closed or cancelled"},
	{"policy_digest", "digest of the configuration in force when it was opened"},
	{"version", "how often it has moved, from 1"},
}

var stepView = [][2]string{
	{"id", "the step"},
	{"run_id", "its run"},
	{"workspace", "the workspace"},
	{"ix", "its place in the run, from 1; steps run in this order"},
	{"state", "queued, active, held, passed, rejected, failed or cancelled"},
	{"reason", "why it is in this state, where there is a reason"},
	{"executor", "the executor that was named"},
	{"text", "what was asked for"},
	{"spec_digest", "digest of all that was asked for"},
	{"attempts", "how many attempts it has had"},
	{"attempt_id", "the newest attempt"},
	{"simulated", "1 when a simulator did the work"},
	{"actor_kind", "what kind of caller dispatched it"},
	{"actor_id", "which caller dispatched it"},
	{"dispatched_at", "when it was dispatched"},
	{"ended_at", "when it settled"},
	{"version", "how often it has moved, from 1"},
}

var attemptView = [][2]string{
	{"id", "the attempt"},
	{"step_id", "its step"},
	{"run_id", "its run"},
	{"workspace", "the workspace"},
	{"n", "1 for the first attempt of the step"},
	{"executor", "the executor"},
	{"state", "queued, preparing, running, waiting, collecting, validating, stopping or ended"},
	{"outcome", "how it ended; empty while it lives"},
	{"reason", "the outcome's reason code"},
	{"message", "the outcome in words"},
	{"retryable", "1 when another attempt may do better"},
	{"cause", "why it was stopped, where it was"},
	{"level", "the sandbox level that was enforced"},
	{"simulated", "1 when a simulator did the work"},
	{"base_commit", "the commit its diff is taken against"},
	{"start_commit", "the commit its tree began as"},
	{"kept_commit", "the commit its final tree is kept as"},
	{"kept_ref", "the ref that keeps that commit"},
	{"files_changed", "how many files the diff changes"},
	{"insertions", "lines that the diff adds"},
	{"deletions", "lines that the diff removes"},
	{"plugin", "the executor plugin that ran"},
	{"plugin_digest", "digest of the bytes that were executed"},
	{"death_proved", "1 when the launcher proved that no process is left"},
	{"created_at", "when it was queued"},
	{"started_at", "when its executor began"},
	{"ended_at", "when it ended"},
	{"version", "how often it has moved, from 1"},
}

var gateView = [][2]string{
	{"id", "the gate of this attempt"},
	{"attempt_id", "the attempt it judges"},
	{"step_id", "the step"},
	{"run_id", "the run"},
	{"name", "the gate's name in the configuration"},
	{"required", "1 when the step cannot pass without it"},
	{"verdict", "pending, pass, fail or hold; passing ones are kept too"},
	{"reason", "why it was decided so"},
	{"decided_by", "rule, operator, planner, deadline or cancel"},
	{"validation_id", "the validation it was decided from"},
	{"approval_id", "the approval that decided it, where a person was asked"},
	{"rule", "the rule as declared, canonical JSON"},
	{"rule_digest", "digest of the rule"},
	{"at", "when it was opened"},
	{"version", "how often it has moved, from 1"},
}

var validationView = [][2]string{
	{"id", "the validation"},
	{"attempt_id", "the attempt that was checked"},
	{"step_id", "the step"},
	{"run_id", "the run"},
	{"gate", "the gate that asked for it"},
	{"n", "1 for the first evaluation of this gate"},
	{"result", "pass, warn, fail, skip or error; an error is never a pass"},
	{"message", "the result in words"},
	{"plugin", "the validator plugin that ran"},
	{"plugin_version", "its version"},
	{"plugin_digest", "digest of the bytes that were executed"},
	{"command", "the declared command, JSON array, where one was run"},
	{"exit_code", "its exit code"},
	{"signal", "the signal that ended it"},
	{"duration_ns", "how long it took, in nanoseconds"},
	{"stdout_digest", "digest of its standard output"},
	{"stderr_digest", "digest of its standard error"},
	{"tree", "the git tree that was judged"},
	{"findings", "what it found, JSON array"},
	{"at", "when it was recorded"},
	{"inputs_digest", "digest of all that it rests on"},
	{"reused", "the validation with the same inputs whose result this is, where it was not done again"},
	{"metrics_micros", "its numbers by name, in millionths, JSON object"},
}

var approvalView = [][2]string{
	{"id", "the approval"},
	{"attempt_id", "the attempt that waits for it"},
	{"step_id", "the step"},
	{"run_id", "the run"},
	{"workspace", "the workspace"},
	{"kind", "hold, permission or question"},
	{"gate", "the gate that holds"},
	{"item_id", "the executor's own id of its question"},
	{"prompt", "what is asked"},
	{"options", "the answers offered, JSON array"},
	{"fallback", "what happens at the deadline"},
	{"state", "open, allowed, denied or answered"},
	{"answer", "the answer"},
	{"note", "what the person who decided wrote beside it"},
	{"decided_by", "operator, planner, deadline or cancel"},
	{"actor_kind", "what kind of caller decided"},
	{"actor_id", "which caller decided"},
	{"deadline", "until when it may be answered"},
	{"opened_at", "when it was opened"},
	{"decided_at", "when it was decided"},
	{"version", "how often it has moved, from 1"},
}

var eventView = [][2]string{
	{"position", "its place in the log, <epoch>.<seq>"},
	{"seq", "its number, from 0, without gaps"},
	{"at", "when it happened"},
	{"kind", "what happened"},
	{"actor_kind", "what kind of caller did it"},
	{"actor_id", "which caller did it"},
	{"workspace", "the workspace it belongs to"},
	{"run_id", "the run it belongs to"},
	{"step_id", "the step it belongs to"},
	{"attempt_id", "the attempt it belongs to"},
	{"run_ix", "its number in the run's chain, from 0"},
	{"boot_id", "the boot of the machine it was written in"},
	{"leaf", "its RFC 6962 leaf hash, hex"},
	{"body_digest", "SHA-256 of salt and body, hex"},
	{"body", "its body, canonical JSON; NULL once retention has deleted it"},
}
