package api

import "net/http"

// The operations.
const (
	OpInstanceDescribe Op = "instance.describe"
	OpWorkspaceList    Op = "workspace.list"
	OpExecutorList     Op = "executor.list"
	OpExecutorProbe    Op = "executor.probe"
	OpRunOpen          Op = "run.open"
	OpRunList          Op = "run.list"
	OpRunGet           Op = "run.get"
	OpRunClose         Op = "run.close"
	OpRunCancel        Op = "run.cancel"
	OpRunExport        Op = "run.export"
	OpStepDispatch     Op = "step.dispatch"
	OpStepList         Op = "step.list"
	OpStepGet          Op = "step.get"
	OpStepCancel       Op = "step.cancel"
	OpStepRetry        Op = "step.retry"
	OpStepFollowup     Op = "step.followup"
	OpStepApply        Op = "step.apply"
	OpAttemptList      Op = "attempt.list"
	OpAttemptGet       Op = "attempt.get"
	OpAttemptStream    Op = "attempt.stream"
	OpAttemptRestore   Op = "attempt.restore"
	OpValidationList   Op = "validation.list"
	OpGateList         Op = "gate.list"
	OpApprovalList     Op = "approval.list"
	OpApprovalDecide   Op = "approval.decide"
	OpArtifactList     Op = "artifact.list"
	OpArtifactRead     Op = "artifact.read"
	OpEventsRead       Op = "events.read"
	OpEventsSubscribe  Op = "events.subscribe"
	OpAuditQuery       Op = "audit.query"
	OpAuditVerify      Op = "audit.verify"
	OpAuditExport      Op = "audit.export"
	OpConfigShow       Op = "config.show"
	OpConfigPlan       Op = "config.plan"
	OpConfigReload     Op = "config.reload"
	OpPluginList       Op = "plugin.list"
	OpPluginVerify     Op = "plugin.verify"
	OpDoctor           Op = "doctor"
	OpGC               Op = "gc"
	OpBackup           Op = "backup"

	OpTokenCreate     Op = "token.create"
	OpTokenList       Op = "token.list"
	OpTokenRevoke     Op = "token.revoke"
	OpEnrolmentCreate Op = "enrolment.create"
	OpEnrolmentList   Op = "enrolment.list"
	OpPairingStart    Op = "pairing.start"
	OpPairingDecide   Op = "pairing.decide"
	OpConnectorList   Op = "connector.list"
	OpConnectorRevoke Op = "connector.revoke"
	OpRelayAudit      Op = "relay.audit"
)

const (
	everywhere = Local | Relay | MCP
	small      = 64 << 10 // a body without a step's text
)

// read is a row that changes nothing.
func read(op Op, path string, req, resp any, doc string) Operation {
	return Operation{Name: op, Class: Read, Method: http.MethodGet, Path: path,
		Status: http.StatusOK, Request: req, Response: resp, Doc: doc}
}

// write is a row that changes the record; status tells whether the work is done with the answer (200),
// something was made (201) or work was only queued or asked for (202).
func write(op Op, path string, req, resp any, doc string) Operation {
	o := read(op, path, req, resp, doc)
	o.Class, o.Method, o.MaxBody = Write, http.MethodPost, small
	return o
}

func (o Operation) on(s Surface, scope string) Operation {
	o.Surfaces, o.Scope = s, scope
	return o
}

func (o Operation) as(c Class) Operation          { o.Class = c; return o }
func (o Operation) answers(status int) Operation  { o.Status = status; return o }
func (o Operation) takes(bytes int64) Operation   { o.MaxBody = bytes; return o }
func (o Operation) streams(kind Stream) Operation { o.Stream = kind; return o }

// remote is a row of the relay's own administration: it has no local route, and its shapes are the
// relay's.
func remote(op Op, class Class, scope, doc string) Operation {
	return Operation{Name: op, Surfaces: Relay, Scope: scope, Class: class, Doc: doc}
}

var table = []Operation{
	read(OpInstanceDescribe, "/instance", Empty{}, Instance{},
		"Describes the daemon: version, policy digest, live attempts, head of the log.").
		on(everywhere, "instances:read"),
	read(OpWorkspaceList, "/workspaces", Empty{}, List[Workspace]{},
		"Lists the declared workspaces. Only the configuration can add or widen one.").
		on(everywhere, "instances:read"),
	read(OpExecutorList, "/executors", Empty{}, List[Executor]{},
		"Lists the declared executors with their plugin, sandbox and lock state.").
		on(everywhere, "instances:read"),

	read(OpExecutorProbe, "/executors/{executor}/probe", ExecutorRef{}, ExecutorProbe{},
		"Starts an executor's plugin in its sandbox, without a network, and asks it about the program that it drives.").
		on(Local, "instances:read"),

	write(OpRunOpen, "/runs", RunOpenRequest{}, Run{},
		"Opens a run on a workspace at a base that the workspace allows.").
		on(everywhere, "runs:write").answers(http.StatusCreated),
	read(OpRunList, "/runs", RunListRequest{}, List[Run]{},
		"Lists runs, newest first.").
		on(everywhere, "runs:read"),
	read(OpRunGet, "/runs/{run_id}", RunRef{}, Run{},
		"Reads one run.").
		on(everywhere, "runs:read"),
	write(OpRunClose, "/runs/{run_id}/close", RunRef{}, Run{},
		"Closes a run: it takes no further steps. Waits for none.").
		on(everywhere, "runs:write"),
	write(OpRunCancel, "/runs/{run_id}/cancel", RunCancelRequest{}, Run{},
		"Cancels a run with all its steps. The truth arrives as the steps' states.").
		on(everywhere, "steps:cancel").answers(http.StatusAccepted),
	read(OpRunExport, "/runs/{run_id}/export", RunRef{}, Blob{},
		"Streams the evidence of one run.").
		on(Local, "audit:read").streams(StreamBytes),

	write(OpStepDispatch, "/runs/{run_id}/steps", StepDispatchRequest{}, Step{},
		"Dispatches a step. It can narrow paths and time and add gates, never widen or drop.").
		on(everywhere, "steps:dispatch").answers(http.StatusAccepted).takes(MaxBody),
	read(OpStepList, "/steps", StepListRequest{}, List[Step]{},
		"Lists the steps of a run in order, or the newest of all runs.").
		on(everywhere, "runs:read"),
	read(OpStepGet, "/steps/{step_id}", StepRef{}, Step{},
		"Reads one step; with wait, answers when it has settled, waits for a person, or the time is over.").
		on(everywhere, "runs:read"),
	write(OpStepCancel, "/steps/{step_id}/cancel", StepCancelRequest{}, Step{},
		"Asks to cancel a step. It is cancelled only when death is proved.").
		on(everywhere, "steps:cancel").answers(http.StatusAccepted),
	write(OpStepRetry, "/steps/{step_id}/retry", StepRetryRequest{}, Step{},
		"Queues a new attempt of an ended step from its base.").
		on(everywhere, "steps:dispatch").answers(http.StatusAccepted),
	write(OpStepFollowup, "/steps/{step_id}/followup", StepFollowupRequest{}, Step{},
		"Queues a new attempt that starts from the kept tree of the newest one.").
		on(everywhere, "steps:dispatch").answers(http.StatusAccepted).takes(MaxBody),
	write(OpStepApply, "/steps/{step_id}/apply", StepApplyRequest{}, StepApplied{},
		"Brings a passed step's commit to a branch, by fast-forward or as a new branch.").
		on(Local, "results:apply"),

	read(OpAttemptList, "/attempts", AttemptListRequest{}, List[Attempt]{},
		"Lists attempts of a step or run.").
		on(everywhere, "runs:read"),
	read(OpAttemptGet, "/attempts/{attempt_id}", AttemptRef{}, Attempt{},
		"Reads one attempt: outcome, evidence, plugin identity, what the sandbox enforced.").
		on(everywhere, "runs:read"),
	read(OpAttemptStream, "/attempts/{attempt_id}/stream", StreamRequest{}, Blob{},
		"Streams an attempt's events as JSON lines from a byte offset; with follow, until the stream is sealed.").
		on(Local|Relay, "artifacts:read").streams(StreamBytes),
	write(OpAttemptRestore, "/attempts/{attempt_id}/restore", AttemptRestoreRequest{}, AttemptRestored{},
		"Writes the kept state of an attempt to a new directory.").
		on(Local, "results:apply"),

	read(OpValidationList, "/validations", ValidationListRequest{}, List[Validation]{},
		"Lists recorded validations with command, exit code and output digests.").
		on(everywhere, "runs:read"),
	read(OpGateList, "/gates", GateListRequest{}, List[GateState]{},
		"Lists the gates of an attempt, or of the newest attempt of a step, with their verdicts.").
		on(everywhere, "runs:read"),
	read(OpApprovalList, "/approvals", ApprovalListRequest{}, List[Approval]{},
		"Lists what waits for an answer: holds, permissions, questions.").
		on(everywhere, "runs:read"),
	write(OpApprovalDecide, "/approvals/{approval_id}/decide", ApprovalDecideRequest{}, Approval{},
		"Decides an approval. Only the operator may, until the configuration grants it.").
		on(everywhere, "approvals:decide").as(Decide),

	read(OpArtifactList, "/attempts/{attempt_id}/artifacts", ArtifactListRequest{}, List[Artifact]{},
		"Lists the artifacts of an attempt.").
		on(everywhere, "artifacts:read"),
	read(OpArtifactRead, "/attempts/{attempt_id}/artifact", ArtifactReadRequest{}, Blob{},
		"Reads the bytes of an artifact, verified against its digest before the first byte is sent.").
		on(everywhere, "artifacts:read").streams(StreamBytes),

	read(OpEventsRead, "/events", EventsRequest{}, List[Event]{},
		"Reads the log from a position.").
		on(everywhere, "events:read"),
	read(OpEventsSubscribe, "/events/stream", EventsRequest{}, Events{},
		"Follows the log as server-sent events; resumes at Last-Event-ID.").
		on(Local|Relay, "events:read").streams(StreamSSE),

	read(OpAuditQuery, "/audit", AuditQueryRequest{}, List[Event]{},
		"Asks the record: events by filter, newest first.").
		on(Local, "audit:read"),
	read(OpAuditVerify, "/audit/verify", AuditVerifyRequest{}, AuditVerdict{},
		"Verifies the whole log: tree, chains, checkpoints, bodies and, when asked, artifacts.").
		on(Local, "audit:read"),
	read(OpAuditExport, "/audit/export", AuditExportRequest{}, Blob{},
		"Streams the log, or one run of it, with what is needed to verify it elsewhere.").
		on(Local, "audit:read").streams(StreamBytes),

	read(OpConfigShow, "/config", Empty{}, ConfigShown{},
		"Shows the effective configuration.").
		on(Local, "config:read"),
	read(OpConfigPlan, "/config/plan", Empty{}, ConfigPlan{},
		"Compares the running configuration with the files.").
		on(Local, "config:read"),
	write(OpConfigReload, "/config/reload", Empty{}, ConfigReloaded{},
		"Loads the configuration files again: all of it or nothing.").
		on(Local, "config:admin").as(Admin),
	read(OpPluginList, "/plugins", Empty{}, List[Plugin]{},
		"Lists plugins found and locked.").
		on(Local, "plugins:read"),
	read(OpPluginVerify, "/plugins/verify", Empty{}, List[Plugin]{},
		"Hashes every plugin anew and compares it with the lock file.").
		on(Local, "plugins:read"),
	read(OpDoctor, "/doctor", Empty{}, Doctor{},
		"Tries what the daemon needs of this machine and says what came of it.").
		on(Local, "instances:read"),
	write(OpGC, "/gc", GCRequest{}, GCReport{},
		"Removes trees and bytes that nothing refers to, and caches that nobody declares.").
		on(Local, "instances:admin").as(Admin),
	write(OpBackup, "/backup", BackupRequest{}, BackupReport{},
		"Writes a verified copy of the record to a new directory.").
		on(Local, "instances:admin").as(Admin),

	remote(OpTokenCreate, Admin, "tokens:admin", "Makes a planner token."),
	remote(OpTokenList, Read, "tokens:admin", "Lists planner tokens, without their secrets."),
	remote(OpTokenRevoke, Admin, "tokens:admin", "Revokes a planner token at once."),
	remote(OpEnrolmentCreate, Admin, "connectors:admin", "Makes a single-use enrolment token."),
	remote(OpEnrolmentList, Read, "connectors:admin", "Lists enrolment tokens."),
	remote(OpPairingStart, Admin, "connectors:admin", "Starts a pairing."),
	remote(OpPairingDecide, Decide, "connectors:admin", "Approves or denies a pairing."),
	remote(OpConnectorList, Read, "connectors:admin", "Lists connectors."),
	remote(OpConnectorRevoke, Admin, "connectors:admin", "Revokes a connector and closes its link."),
	remote(OpRelayAudit, Read, "audit:read", "Asks the relay's own audit log."),
}
