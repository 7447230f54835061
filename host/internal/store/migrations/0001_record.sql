-- The log. Nothing of event, node and checkpoint is ever changed or deleted: triggers refuse it here,
-- the authorizer of the daemon's connections refuses it there, and the verifier sees it done elsewhere.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
  seq         INTEGER PRIMARY KEY,
  schema      INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  boot_id     TEXT    NOT NULL,
  kind        TEXT    NOT NULL,
  actor_kind  TEXT    NOT NULL,
  actor_id    TEXT    NOT NULL,
  workspace   TEXT,
  run_id      TEXT,
  step_id     TEXT,
  attempt_id  TEXT,
  run_ix      INTEGER,
  run_prev    BLOB CHECK (length(run_prev) = 32),
  body_digest BLOB NOT NULL CHECK (length(body_digest) = 32),
  leaf        BLOB NOT NULL CHECK (length(leaf) = 32),
  CHECK ((run_id IS NULL) = (run_ix IS NULL) AND (run_id IS NULL) = (run_prev IS NULL))
) STRICT;

CREATE UNIQUE INDEX event_of_run ON event (run_id, run_ix) WHERE run_id IS NOT NULL;
CREATE UNIQUE INDEX event_one_end ON event (attempt_id) WHERE kind = 'attempt.ended';

CREATE TABLE event_body (
  seq  INTEGER PRIMARY KEY,
  salt BLOB NOT NULL CHECK (length(salt) = 16),
  json TEXT NOT NULL
) STRICT;

CREATE TABLE node (
  ix   INTEGER PRIMARY KEY,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE checkpoint (
  size INTEGER PRIMARY KEY,
  at   INTEGER NOT NULL,
  root BLOB NOT NULL CHECK (length(root) = 32),
  note BLOB NOT NULL
) STRICT;

CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'event is append-only'); END;
CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'event is append-only'); END;
CREATE TRIGGER event_in_order BEFORE INSERT ON event
  WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), -1) + 1 FROM event)
  BEGIN SELECT RAISE(ABORT, 'event is append-only: seq must follow the last'); END;

CREATE TRIGGER node_no_update BEFORE UPDATE ON node BEGIN SELECT RAISE(ABORT, 'node is append-only'); END;
CREATE TRIGGER node_no_delete BEFORE DELETE ON node BEGIN SELECT RAISE(ABORT, 'node is append-only'); END;
CREATE TRIGGER node_in_order BEFORE INSERT ON node
  WHEN NEW.ix IS NOT (SELECT coalesce(max(ix), -1) + 1 FROM node)
  BEGIN SELECT RAISE(ABORT, 'node is append-only: ix must follow the last'); END;

CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(ABORT, 'checkpoint is append-only'); END;
CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON checkpoint BEGIN SELECT RAISE(ABORT, 'checkpoint is append-only'); END;
CREATE TRIGGER checkpoint_in_order BEFORE INSERT ON checkpoint
  WHEN NEW.size <= (SELECT coalesce(max(size), -1) FROM checkpoint)
  BEGIN SELECT RAISE(ABORT, 'checkpoint is append-only: size must grow'); END;

-- A body belongs to the newest event and leaves only behind the record of a purge.
CREATE TRIGGER event_body_no_update BEFORE UPDATE ON event_body BEGIN SELECT RAISE(ABORT, 'event_body does not change'); END;
CREATE TRIGGER event_body_of_newest BEFORE INSERT ON event_body
  WHEN NEW.seq IS NOT (SELECT max(seq) FROM event)
  BEGIN SELECT RAISE(ABORT, 'event_body belongs to the newest event'); END;
CREATE TRIGGER event_body_purge BEFORE DELETE ON event_body
  WHEN (SELECT kind FROM event ORDER BY seq DESC LIMIT 1) IS NOT 'retention.purged'
    OR OLD.seq = (SELECT max(seq) FROM event)
  BEGIN SELECT RAISE(ABORT, 'event_body is deleted only behind retention.purged'); END;

-- The objects: a fold over the log. They change by compare-and-set on version and never leave. Their
-- checks are written with OR because SQLite builds a temporary index for IN, at every write.

CREATE TABLE run (
  id            TEXT    PRIMARY KEY,
  workspace     TEXT    NOT NULL,
  title         TEXT    NOT NULL,
  base          TEXT    NOT NULL,
  base_commit   TEXT    NOT NULL,
  state         TEXT    NOT NULL CHECK (state = 'open' OR state = 'closed' OR state = 'cancelled'),
  version       INTEGER NOT NULL,
  actor_kind    TEXT    NOT NULL,
  actor_id      TEXT    NOT NULL,
  opened_at     INTEGER NOT NULL,
  ended_at      INTEGER NOT NULL,
  steps         INTEGER NOT NULL,
  policy_digest TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX run_of_workspace ON run (workspace, id);
CREATE INDEX run_open ON run (id) WHERE state = 'open';

CREATE TABLE step (
  id            TEXT    PRIMARY KEY,
  run_id        TEXT    NOT NULL REFERENCES run (id),
  workspace     TEXT    NOT NULL,
  ix            INTEGER NOT NULL,
  spec_digest   TEXT    NOT NULL,
  state         TEXT    NOT NULL CHECK (state = 'queued' OR state = 'active' OR state = 'held' OR state = 'passed' OR state = 'rejected' OR state = 'failed' OR state = 'cancelled'),
  reason        TEXT    NOT NULL,
  version       INTEGER NOT NULL,
  actor_kind    TEXT    NOT NULL,
  actor_id      TEXT    NOT NULL,
  attempt_id    TEXT    NOT NULL,
  attempts      INTEGER NOT NULL,
  simulated     INTEGER NOT NULL CHECK (simulated = 0 OR simulated = 1),
  dispatched_at INTEGER NOT NULL,
  ended_at      INTEGER NOT NULL,
  unsettled     INTEGER NOT NULL, -- apart from state, so that a move does not touch the index below
  UNIQUE (run_id, ix),
  CHECK (unsettled = (state = 'queued' OR state = 'active' OR state = 'held'))
) STRICT, WITHOUT ROWID;
CREATE INDEX step_of_workspace ON step (workspace, id);
CREATE INDEX step_unsettled ON step (run_id, ix) WHERE unsettled = 1;

-- What was asked for. Kept apart so that a move does not rewrite it.
CREATE TABLE step_spec (
  step_id TEXT PRIMARY KEY REFERENCES step (id),
  text    TEXT NOT NULL,
  spec    TEXT NOT NULL
) STRICT;

CREATE TABLE attempt (
  id           TEXT    PRIMARY KEY,
  step_id      TEXT    NOT NULL REFERENCES step (id),
  run_id       TEXT    NOT NULL REFERENCES run (id),
  workspace    TEXT    NOT NULL,
  n            INTEGER NOT NULL,
  executor     TEXT    NOT NULL,
  state        TEXT    NOT NULL CHECK (state = 'queued' OR state = 'preparing' OR state = 'running' OR state = 'waiting' OR state = 'collecting' OR state = 'validating' OR state = 'stopping' OR state = 'ended'),
  version      INTEGER NOT NULL,
  base_commit  TEXT    NOT NULL,
  start_commit TEXT    NOT NULL,
  level        TEXT    NOT NULL,
  outcome      TEXT    NOT NULL CHECK (outcome = '' OR outcome = 'succeeded' OR outcome = 'no_change' OR outcome = 'failed' OR outcome = 'denied' OR outcome = 'timed_out' OR outcome = 'budget_exceeded' OR outcome = 'cancelled' OR outcome = 'executor_error' OR outcome = 'infra_error' OR outcome = 'lost'),
  reason       TEXT    NOT NULL,
  message      TEXT    NOT NULL,
  retryable    INTEGER NOT NULL CHECK (retryable = 0 OR retryable = 1),
  cause        TEXT    NOT NULL,
  simulated    INTEGER NOT NULL CHECK (simulated = 0 OR simulated = 1),
  created_at   INTEGER NOT NULL,
  started_at   INTEGER NOT NULL,
  ended_at     INTEGER NOT NULL,
  live         INTEGER NOT NULL, -- apart from state, so that a move does not touch the index below
  UNIQUE (step_id, n),
  CHECK ((state = 'ended') = (outcome <> '')),
  CHECK (live = (state <> 'ended'))
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_of_run ON attempt (run_id, id);
CREATE UNIQUE INDEX attempt_live ON attempt (step_id) WHERE live = 1;

-- The parts of an attempt that are set once and may be large, as JSON; 'text' is plain and there only
-- where it differs from the step's.
CREATE TABLE attempt_part (
  attempt_id TEXT NOT NULL REFERENCES attempt (id),
  part       TEXT NOT NULL CHECK (part = 'text' OR part = 'plugin' OR part = 'enforced' OR part = 'claim' OR part = 'evidence' OR part = 'death'),
  body       TEXT NOT NULL,
  PRIMARY KEY (attempt_id, part)
) STRICT;

CREATE TABLE artifact (
  attempt_id TEXT    NOT NULL REFERENCES attempt (id),
  name       TEXT    NOT NULL,
  run_id     TEXT    NOT NULL,
  step_id    TEXT    NOT NULL,
  kind       TEXT    NOT NULL,
  digest     TEXT    NOT NULL CHECK (length(digest) = 71),
  size       INTEGER NOT NULL CHECK (size >= 0),
  media_type TEXT    NOT NULL,
  truncated  INTEGER NOT NULL CHECK (truncated = 0 OR truncated = 1),
  inlined    INTEGER NOT NULL CHECK (inlined = 0 OR inlined = 1),
  at         INTEGER NOT NULL,
  PRIMARY KEY (attempt_id, name)
) STRICT, WITHOUT ROWID;

-- The bytes of small artifacts; deletable beside their immutable row.
CREATE TABLE artifact_body (
  attempt_id TEXT NOT NULL,
  name       TEXT NOT NULL,
  bytes      BLOB NOT NULL,
  PRIMARY KEY (attempt_id, name),
  FOREIGN KEY (attempt_id, name) REFERENCES artifact (attempt_id, name)
) STRICT;

CREATE TABLE validation (
  id            TEXT    PRIMARY KEY,
  attempt_id    TEXT    NOT NULL REFERENCES attempt (id),
  step_id       TEXT    NOT NULL,
  run_id        TEXT    NOT NULL,
  gate          TEXT    NOT NULL,
  n             INTEGER NOT NULL,
  plugin        TEXT    NOT NULL,
  command       TEXT,
  exit_code     INTEGER,
  signal        TEXT    NOT NULL,
  duration      INTEGER NOT NULL,
  stdout_digest TEXT    NOT NULL,
  stderr_digest TEXT    NOT NULL,
  result        TEXT    NOT NULL CHECK (result = 'pass' OR result = 'warn' OR result = 'fail' OR result = 'skip' OR result = 'error'),
  message       TEXT    NOT NULL,
  findings      TEXT,
  enforced      TEXT,
  tree          TEXT    NOT NULL,
  at            INTEGER NOT NULL,
  UNIQUE (attempt_id, gate, n)
) STRICT;
CREATE INDEX validation_of_run ON validation (run_id, id);

CREATE TABLE gate (
  id            TEXT    PRIMARY KEY,
  attempt_id    TEXT    NOT NULL REFERENCES attempt (id),
  step_id       TEXT    NOT NULL,
  run_id        TEXT    NOT NULL,
  name          TEXT    NOT NULL,
  rule          TEXT    NOT NULL,
  rule_digest   TEXT    NOT NULL,
  required      INTEGER NOT NULL CHECK (required = 0 OR required = 1),
  verdict       TEXT    NOT NULL CHECK (verdict = 'pending' OR verdict = 'pass' OR verdict = 'fail' OR verdict = 'hold'),
  reason        TEXT    NOT NULL,
  validation_id TEXT    REFERENCES validation (id),
  approval_id   TEXT    REFERENCES approval (id),
  decided_by    TEXT    NOT NULL,
  version       INTEGER NOT NULL,
  at            INTEGER NOT NULL,
  UNIQUE (attempt_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE approval (
  id            TEXT    PRIMARY KEY,
  attempt_id    TEXT    NOT NULL REFERENCES attempt (id),
  step_id       TEXT    NOT NULL,
  run_id        TEXT    NOT NULL,
  workspace     TEXT    NOT NULL,
  kind          TEXT    NOT NULL CHECK (kind = 'hold' OR kind = 'permission' OR kind = 'question'),
  gate          TEXT    NOT NULL,
  item_id       TEXT    NOT NULL,
  prompt        TEXT    NOT NULL,
  options       TEXT,
  deadline      INTEGER NOT NULL,
  fallback      TEXT    NOT NULL,
  state         TEXT    NOT NULL CHECK (state = 'open' OR state = 'allowed' OR state = 'denied' OR state = 'answered'),
  answer        TEXT    NOT NULL,
  note          TEXT    NOT NULL,
  decided_by    TEXT    NOT NULL,
  actor_kind    TEXT    NOT NULL,
  actor_id      TEXT    NOT NULL,
  version       INTEGER NOT NULL,
  opened_at     INTEGER NOT NULL,
  decided_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_open ON approval (id) WHERE state = 'open';
CREATE INDEX approval_of_attempt ON approval (attempt_id, id);
CREATE INDEX approval_of_run ON approval (run_id, id);

-- Keys that make a create, dispatch or retry repeatable.
CREATE TABLE idempotency (
  actor     TEXT    NOT NULL,
  workspace TEXT    NOT NULL,
  key       TEXT    NOT NULL,
  request   TEXT    NOT NULL,
  object_id TEXT    NOT NULL,
  seq       INTEGER NOT NULL,
  PRIMARY KEY (actor, workspace, key)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER run_no_delete BEFORE DELETE ON run BEGIN SELECT RAISE(ABORT, 'run is never deleted'); END;
CREATE TRIGGER run_final BEFORE UPDATE ON run WHEN OLD.state <> 'open'
  BEGIN SELECT RAISE(ABORT, 'an ended run does not change'); END;
CREATE TRIGGER step_no_delete BEFORE DELETE ON step BEGIN SELECT RAISE(ABORT, 'step is never deleted'); END;
CREATE TRIGGER step_spec_no_update BEFORE UPDATE ON step_spec BEGIN SELECT RAISE(ABORT, 'step_spec does not change'); END;
CREATE TRIGGER step_spec_no_delete BEFORE DELETE ON step_spec BEGIN SELECT RAISE(ABORT, 'step_spec is never deleted'); END;
CREATE TRIGGER attempt_no_delete BEFORE DELETE ON attempt BEGIN SELECT RAISE(ABORT, 'attempt is never deleted'); END;
CREATE TRIGGER attempt_final BEFORE UPDATE ON attempt WHEN OLD.state = 'ended'
  BEGIN SELECT RAISE(ABORT, 'an ended attempt does not change'); END;
CREATE TRIGGER attempt_part_no_delete BEFORE DELETE ON attempt_part BEGIN SELECT RAISE(ABORT, 'attempt_part is never deleted'); END;
CREATE TRIGGER artifact_no_update BEFORE UPDATE ON artifact BEGIN SELECT RAISE(ABORT, 'artifact does not change'); END;
CREATE TRIGGER artifact_no_delete BEFORE DELETE ON artifact BEGIN SELECT RAISE(ABORT, 'artifact is never deleted'); END;
CREATE TRIGGER artifact_body_no_update BEFORE UPDATE ON artifact_body BEGIN SELECT RAISE(ABORT, 'artifact_body does not change'); END;
CREATE TRIGGER validation_no_update BEFORE UPDATE ON validation BEGIN SELECT RAISE(ABORT, 'validation does not change'); END;
CREATE TRIGGER validation_no_delete BEFORE DELETE ON validation BEGIN SELECT RAISE(ABORT, 'validation is never deleted'); END;
CREATE TRIGGER gate_no_delete BEFORE DELETE ON gate BEGIN SELECT RAISE(ABORT, 'gate is never deleted'); END;
CREATE TRIGGER gate_final BEFORE UPDATE ON gate WHEN OLD.verdict = 'pass' OR OLD.verdict = 'fail'
  BEGIN SELECT RAISE(ABORT, 'a decided gate does not change'); END;
CREATE TRIGGER approval_no_delete BEFORE DELETE ON approval BEGIN SELECT RAISE(ABORT, 'approval is never deleted'); END;
CREATE TRIGGER approval_final BEFORE UPDATE ON approval WHEN OLD.state <> 'open'
  BEGIN SELECT RAISE(ABORT, 'a decided approval does not change'); END;

-- The documented views. Their columns stay; a new one may be added at the end.

CREATE VIEW v_run AS
  SELECT id, workspace, title, state, base, base_commit, steps, actor_kind, actor_id,
         strftime('%Y-%m-%dT%H:%M:%S', opened_at / 1000000000, 'unixepoch') || printf('.%09dZ', opened_at % 1000000000) AS opened_at,
         CASE WHEN ended_at <> 0 THEN strftime('%Y-%m-%dT%H:%M:%S', ended_at / 1000000000, 'unixepoch') || printf('.%09dZ', ended_at % 1000000000) END AS ended_at,
         policy_digest, version
  FROM run;

CREATE VIEW v_step AS
  SELECT step.id, run_id, workspace, ix, state, reason, step_spec.spec ->> '$.executor' AS executor, step_spec.text AS text,
         spec_digest, attempts, attempt_id, simulated, actor_kind, actor_id,
         strftime('%Y-%m-%dT%H:%M:%S', dispatched_at / 1000000000, 'unixepoch') || printf('.%09dZ', dispatched_at % 1000000000) AS dispatched_at,
         CASE WHEN ended_at <> 0 THEN strftime('%Y-%m-%dT%H:%M:%S', ended_at / 1000000000, 'unixepoch') || printf('.%09dZ', ended_at % 1000000000) END AS ended_at,
         version
  FROM step JOIN step_spec ON step_spec.step_id = step.id;

CREATE VIEW v_attempt AS
  SELECT id, step_id, run_id, workspace, n, executor, state, outcome, reason, message, retryable, cause, level, simulated,
         base_commit, start_commit,
         (SELECT body ->> '$.commit' FROM attempt_part WHERE attempt_id = id AND part = 'evidence') AS kept_commit,
         (SELECT body ->> '$.ref' FROM attempt_part WHERE attempt_id = id AND part = 'evidence') AS kept_ref,
         (SELECT json_array_length(body, '$.diff.files') FROM attempt_part WHERE attempt_id = id AND part = 'evidence') AS files_changed,
         (SELECT body ->> '$.diff.insertions' FROM attempt_part WHERE attempt_id = id AND part = 'evidence') AS insertions,
         (SELECT body ->> '$.diff.deletions' FROM attempt_part WHERE attempt_id = id AND part = 'evidence') AS deletions,
         (SELECT body ->> '$.name' FROM attempt_part WHERE attempt_id = id AND part = 'plugin') AS plugin,
         (SELECT body ->> '$.digest' FROM attempt_part WHERE attempt_id = id AND part = 'plugin') AS plugin_digest,
         (SELECT body ->> '$.proved' FROM attempt_part WHERE attempt_id = id AND part = 'death') AS death_proved,
         strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000000000, 'unixepoch') || printf('.%09dZ', created_at % 1000000000) AS created_at,
         CASE WHEN started_at <> 0 THEN strftime('%Y-%m-%dT%H:%M:%S', started_at / 1000000000, 'unixepoch') || printf('.%09dZ', started_at % 1000000000) END AS started_at,
         CASE WHEN ended_at <> 0 THEN strftime('%Y-%m-%dT%H:%M:%S', ended_at / 1000000000, 'unixepoch') || printf('.%09dZ', ended_at % 1000000000) END AS ended_at,
         version
  FROM attempt;

CREATE VIEW v_gate AS
  SELECT id, attempt_id, step_id, run_id, name, required, verdict, reason, decided_by, validation_id, approval_id, rule, rule_digest,
         strftime('%Y-%m-%dT%H:%M:%S', at / 1000000000, 'unixepoch') || printf('.%09dZ', at % 1000000000) AS at,
         version
  FROM gate;

CREATE VIEW v_validation AS
  SELECT id, attempt_id, step_id, run_id, gate, n, result, message, plugin ->> '$.name' AS plugin, plugin ->> '$.version' AS plugin_version,
         plugin ->> '$.digest' AS plugin_digest, command, exit_code, signal, duration AS duration_ns, stdout_digest, stderr_digest, tree, findings,
         strftime('%Y-%m-%dT%H:%M:%S', at / 1000000000, 'unixepoch') || printf('.%09dZ', at % 1000000000) AS at
  FROM validation;

CREATE VIEW v_approval AS
  SELECT id, attempt_id, step_id, run_id, workspace, kind, gate, item_id, prompt, options, fallback, state, answer, note, decided_by, actor_kind, actor_id,
         strftime('%Y-%m-%dT%H:%M:%S', deadline / 1000000000, 'unixepoch') || printf('.%09dZ', deadline % 1000000000) AS deadline,
         strftime('%Y-%m-%dT%H:%M:%S', opened_at / 1000000000, 'unixepoch') || printf('.%09dZ', opened_at % 1000000000) AS opened_at,
         CASE WHEN decided_at <> 0 THEN strftime('%Y-%m-%dT%H:%M:%S', decided_at / 1000000000, 'unixepoch') || printf('.%09dZ', decided_at % 1000000000) END AS decided_at,
         version
  FROM approval;

CREATE VIEW v_event AS
  SELECT epoch || '.' || event.seq AS position, event.seq AS seq,
         strftime('%Y-%m-%dT%H:%M:%S', at / 1000000000, 'unixepoch') || printf('.%09dZ', at % 1000000000) AS at,
         kind, actor_kind, actor_id, workspace, run_id, step_id, attempt_id, run_ix, boot_id,
         lower(hex(leaf)) AS leaf, lower(hex(body_digest)) AS body_digest, event_body.json AS body
  FROM event LEFT JOIN event_body ON event_body.seq = event.seq;
