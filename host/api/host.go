package api

import (
	"encoding/json"
	"time"
)

// EventsRequest reads (events.read) or follows (events.subscribe) the log. After is a position
// "<epoch>.<seq>", exclusive; "" is the beginning for read and now for subscribe.
type EventsRequest struct {
	After  string `json:"after,omitempty"`
	Limit  int    `json:"limit,omitempty"`
	RunID  string `json:"run_id,omitempty"`
	StepID string `json:"step_id,omitempty"`
	Kind   string `json:"kind,omitempty"` // a kind, or a prefix that ends in ".*"
}

// Event is one entry of the log.
type Event struct {
	Pos       string          `json:"pos"` // "<epoch>.<seq>"
	At        time.Time       `json:"at"`
	Kind      string          `json:"kind"`
	Actor     Actor           `json:"actor"`
	RunID     string          `json:"run_id,omitempty"`
	StepID    string          `json:"step_id,omitempty"`
	AttemptID string          `json:"attempt_id,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
	Purged    bool            `json:"purged,omitempty"` // retention removed the body; the digest stays
}

// AuditQueryRequest asks the record (audit.query): events by filter, newest first.
type AuditQueryRequest struct {
	Page
	RunID  string `json:"run_id,omitempty"`
	StepID string `json:"step_id,omitempty"`
	Kind   string `json:"kind,omitempty"`
	Actor  string `json:"actor,omitempty"`
	Since  string `json:"since,omitempty"` // RFC 3339
	Until  string `json:"until,omitempty"`
}

// AuditVerdict is the answer of audit.verify. Problems is empty when OK.
type AuditVerdict struct {
	OK          bool     `json:"ok"`
	Events      int64    `json:"events"`
	Runs        int64    `json:"runs"`
	Checkpoints int64    `json:"checkpoints"`
	Artifacts   int64    `json:"artifacts"`
	Bodies      int64    `json:"bodies"`
	Purged      int64    `json:"purged_bodies"`
	Root        string   `json:"root"` // base64 of the tree's root hash
	Key         string   `json:"key"`  // the verifier key of the log's checkpoints
	Problems    []string `json:"problems"`
	TookMS      float64  `json:"took_ms"`
}

// AuditVerifyRequest asks for a verification of the whole log; Artifacts reads every artifact too.
type AuditVerifyRequest struct {
	Artifacts bool `json:"artifacts,omitempty"`
}

// AuditExportRequest names what to export (audit.export): the whole log or one run of it.
type AuditExportRequest struct {
	RunID string `json:"run_id,omitempty"`
}

// ConfigShown is the effective configuration (config.show).
type ConfigShown struct {
	Files []string `json:"files"`
	// GateFiles are the digests of those files that hold a gate set.
	GateFiles map[string]string `json:"gate_files,omitempty"`
	PolicySum string            `json:"policy_digest"`
	LoadedAt  time.Time         `json:"loaded_at"`
	Config    json.RawMessage   `json:"config"`
}

// ConfigPlan compares the running configuration with the files (config.plan).
type ConfigPlan struct {
	Same        bool            `json:"same"`
	Changes     []ConfigChange  `json:"changes"`
	Diagnostics json.RawMessage `json:"diagnostics,omitempty"` // when the files are invalid
	Valid       bool            `json:"valid"`
}

// ConfigChange is one difference. Widens says that it gives authority that was not there.
type ConfigChange struct {
	Block   string `json:"block"` // workspace "api"
	Op      string `json:"op"`    // add, change, remove
	Detail  string `json:"detail,omitempty"`
	Widens  bool   `json:"widens"`
	Restart bool   `json:"needs_restart"`
}

// ConfigReloaded is the answer of config.reload.
type ConfigReloaded struct {
	PolicySum string         `json:"policy_digest"`
	Changes   []ConfigChange `json:"changes"`
	Pending   []string       `json:"waits_for_restart,omitempty"`
}

// Plugin is one installed or locked plugin (plugin.list).
type Plugin struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Version   string `json:"version,omitempty"`
	Path      string `json:"path,omitempty"`
	Digest    string `json:"digest,omitempty"` // of the file found
	Locked    string `json:"locked,omitempty"` // the digest in the lock file
	State     string `json:"state"`            // ok, mismatch, not_locked, missing
	Simulated bool   `json:"simulated"`
}

// Doctor is the answer of doctor: what was tried and what came of it.
type Doctor struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// Check is one line of doctor.
type Check struct {
	Group  string `json:"group"`
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warn, fail
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// GCRequest cleans up (gc).
type GCRequest struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// GCReport says what was, or would be, removed.
type GCReport struct {
	DryRun    bool  `json:"dry_run"`
	Trees     int   `json:"trees"`
	Blobs     int   `json:"blobs"`
	Bytes     int64 `json:"bytes"`
	KeptTrees int   `json:"kept_trees"`
	// Caches are those that are not declared any more, as WORKSPACE/NAME.
	Caches     []string `json:"caches,omitempty"`
	KeptCaches []string `json:"kept_caches,omitempty"` // not declared either; an attempt of the workspace is live
}

// BackupRequest writes a verified copy of the record to a new directory (backup).
type BackupRequest struct {
	Dir string `json:"dir"`
}

// BackupReport says what was copied.
type BackupReport struct {
	Dir    string `json:"dir"`
	Events int64  `json:"events"`
	Blobs  int    `json:"blobs"`
	Bytes  int64  `json:"bytes"`
	Head   string `json:"head"`
}

// ErrorBody is the JSON of every failed request.
type ErrorBody struct {
	Error Error `json:"error"`
}

// Error is a fault on the wire.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Where   string `json:"where,omitempty"`
	Hint    string `json:"hint,omitempty"`
	Request string `json:"request_id,omitempty"`
}
