package work

import (
	"encoding/json"
	"time"
)

// ResultSchema names the form of result.json.
const ResultSchema = "drawspan/result/v1alpha"

// ResultSpec is result.json: what one attempt came to, claim and evidence apart. The doc tags are the rows
// of host/docs/result.md.
type ResultSpec struct {
	Schema     string         `json:"schema" doc:"The form of this document."`
	Daemon     string         `json:"drawspan_version" doc:"Version of the daemon that wrote it."`
	RunID      string         `json:"run_id" doc:"The run."`
	StepID     string         `json:"step_id" doc:"The step."`
	AttemptID  string         `json:"attempt_id" doc:"The attempt."`
	N          int            `json:"attempt_n" doc:"Its number in the step, from 1."`
	Supersedes string         `json:"supersedes,omitempty" doc:"The attempt of the step before it."`
	Executor   SpecExecutor   `json:"executor" doc:"What ran."`
	Simulated  bool           `json:"simulated" doc:"The plugin only plays a part: nothing here is the work of a coding agent."`
	Session    *SpecSession   `json:"session,omitempty" doc:"The executor's own session, as it says."`
	Resumed    *Resumed       `json:"resumed,omitempty" doc:"Of a follow-up: what it went on with."`
	Outcome    Outcome        `json:"outcome" doc:"How it came out; see below."`
	Reason     string         `json:"reason" doc:"Why, as a code: a limit, an error class, a signal, a fault."`
	Message    string         `json:"message" doc:"Why, in words."`
	Retryable  bool           `json:"retryable" doc:"A further attempt makes sense."`
	RetryAfter int64          `json:"retry_after_ms,omitempty" doc:"When it does, in milliseconds from the end, where the executor says."`
	Claim      *Claim         `json:"claim" doc:"What the executor says of itself. Never evidence."`
	Evidence   *Evidence      `json:"evidence" doc:"What the host saw: trees, commit, changed files, refusals, left-over processes, output, decisions."`
	Base       string         `json:"base_commit" doc:"What the diff is taken against."`
	Start      string         `json:"start_commit" doc:"What the tree began as; in a follow-up the kept commit of the attempt before."`
	Sandbox    SpecSandbox    `json:"sandbox" doc:"What was enforced."`
	Death      *Death         `json:"death" doc:"The proof that no process of it is alive."`
	Usage      SpecUsage      `json:"usage" doc:"Model use, by who counted it; the two are never summed."`
	Permission Permissions    `json:"permissions" doc:"The host's decisions on what the executor asked leave for."`
	Timing     SpecTiming     `json:"timing" doc:"When what happened, by the host's clock."`
	Limits     SpecLimits     `json:"limits" doc:"The limits in force."`
	Artifacts  []SpecArtifact `json:"artifacts" doc:"Everything that is kept, this document excepted."`
	Gates      []SpecGate     `json:"gates" doc:"The gates and their verdicts when it ended."`
	Warnings   []string       `json:"warnings" doc:"What somebody should know who only reads the outcome."`
	Questions  []SpecQuestion `json:"questions" doc:"What people were asked, questions and requests, and how that ended."`
}

// SpecExecutor is what ran.
type SpecExecutor struct {
	Name     string          `json:"name" doc:"As it is declared."`
	Plugin   *PluginIdentity `json:"plugin,omitempty" doc:"The plugin's name, kind, version, protocol and the digest of the bytes that were executed; with the program that it drives, where it drives one."`
	Protocol string          `json:"protocol,omitempty" doc:"The protocol that it spoke."`
	Version  string          `json:"program_version,omitempty" doc:"The version that the driven program says it has."`
}

// SpecSession is an executor's own session.
type SpecSession struct {
	NativeID  string `json:"native_id" doc:"The executor's id of it."`
	Resumable bool   `json:"resumable" doc:"What a follow-up needs of it is kept."`
}

// SpecSandbox is what was enforced.
type SpecSandbox struct {
	Level    string          `json:"level" doc:"Name of the level."`
	Enforced json.RawMessage `json:"enforced,omitempty" doc:"The launcher's vector."`
}

// SpecUsage is model use by who counted it.
type SpecUsage struct {
	Reported *Usage `json:"reported,omitempty" doc:"By the executor: a claim."`
	Gateway  *Usage `json:"gateway,omitempty" doc:"By the host's gateway, where the executor has one."`
}

// SpecTiming says when what happened.
type SpecTiming struct {
	Queued     time.Time `json:"queued" doc:"The step was dispatched or queued again."`
	Started    time.Time `json:"started,omitzero" doc:"The executor had its text."`
	FirstEvent time.Time `json:"first_event,omitzero" doc:"Its first event came."`
	Ended      time.Time `json:"ended" doc:"This document was written."`
}

// SpecLimits are the limits in force.
type SpecLimits struct {
	Wall      string `json:"wall" doc:"Time of the attempt; 0s for none."`
	Output    int64  `json:"output_bytes" doc:"Size of its stream."`
	Memory    int64  `json:"memory_bytes,omitempty" doc:"Memory of all processes together."`
	Disk      int64  `json:"disk_bytes,omitempty" doc:"What may be written."`
	CPUTime   string `json:"cpu_time,omitempty" doc:"Processor time of all processes together."`
	Processes int    `json:"processes,omitempty" doc:"Processes and threads at once."`
}

// SpecArtifact is a kept file.
type SpecArtifact struct {
	Name      string `json:"name" doc:"Its name."`
	Kind      string `json:"kind" doc:"diff, log, events, session or validation."`
	Media     string `json:"media_type" doc:"Its media type."`
	Size      int64  `json:"size" doc:"In bytes."`
	Digest    string `json:"digest" doc:"SHA-256 of its bytes."`
	Truncated bool   `json:"truncated" doc:"It was cut at a limit."`
}

// SpecGate is a gate with its verdict.
type SpecGate struct {
	Name    string  `json:"name" doc:"As it is declared."`
	Verdict Verdict `json:"verdict" doc:"pass, fail, hold or pending."`
	Reason  string  `json:"reason" doc:"Why."`
	Ref     string  `json:"ref,omitempty" doc:"The validation that it rests on."`
}

// SpecQuestion is what people were asked.
type SpecQuestion struct {
	ApprovalID string        `json:"approval_id" doc:"The approval."`
	Kind       ApprovalKind  `json:"kind" doc:"question or permission."`
	Prompt     string        `json:"prompt" doc:"What was asked, at most 1 KiB of it."`
	State      ApprovalState `json:"state" doc:"allowed, denied or answered."`
	DecidedBy  string        `json:"decided_by" doc:"operator, client, planner, deadline or cancel."`
	Answer     string        `json:"answer,omitempty" doc:"The answer, at most 1 KiB of it."`
}
