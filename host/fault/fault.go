// Package fault is the one error type that crosses rooms, and the closed list of its codes.
//
// A Fault says what happened (Message), where (Where: file:line for configuration, an id or a
// path otherwise) and what to do next (Hint, ideally a command that can be pasted). Every code has
// one HTTP status and one exit code, in one table, so the daemon, the client and the command line
// cannot disagree. An error without a Fault in its chain is "internal" to outsiders; its full text
// goes to the log only.
//
// It must not know: any room, any transport, any storage. It imports the standard library only.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Code names a kind of failure. Codes are stable: scripts and clients match on them, never on text.
type Code string

// The closed list of codes. A new code gets its row in table below, or the package's test fails.
const (
	Internal            Code = "internal"
	InvalidRequest      Code = "invalid_request"
	UnsupportedMedia    Code = "unsupported_media_type"
	TooLarge            Code = "too_large"
	MethodNotAllowed    Code = "method_not_allowed"
	Unauthenticated     Code = "unauthenticated"
	Forbidden           Code = "forbidden"
	NotFound            Code = "not_found"
	Conflict            Code = "conflict"
	Stale               Code = "stale_revision"
	IdempotencyConflict Code = "idempotency_conflict"
	RunNotOpen          Code = "run_not_open"
	StateLocked         Code = "state_locked"
	NotSupported        Code = "not_supported"
	ConfigInvalid       Code = "config_invalid"
	NotAllowed          Code = "not_allowed"
	WorkspaceUnusable   Code = "workspace_unusable"
	BaseMoved           Code = "base_moved"
	BranchCheckedOut    Code = "branch_checked_out"
	TreeRefused         Code = "tree_refused"
	SandboxUnavailable  Code = "sandbox_unavailable"
	SandboxUnverified   Code = "sandbox_unverified"
	PluginNotFound      Code = "plugin_not_found"
	PluginNotLocked     Code = "plugin_not_locked"
	PluginMismatch      Code = "plugin_mismatch"
	PluginStart         Code = "plugin_start"
	PluginCrashed       Code = "plugin_crashed"
	PluginUnresponsive  Code = "plugin_unresponsive"
	PluginProtocol      Code = "plugin_protocol"
	PluginConfig        Code = "plugin_config"
	ProgramMissing      Code = "program_missing"
	ProgramNotLocked    Code = "program_not_locked"
	ProgramChanged      Code = "program_changed"
	ProgramRefused      Code = "program_refused"
	ProvisionFailed     Code = "provision_failed"
	ArtifactCorrupt     Code = "artifact_corrupt"
	AuditFailed         Code = "audit_failed"
	NoSpace             Code = "no_space"
	Unavailable         Code = "unavailable"
	WaitExpired         Code = "wait_expired"
	RootRefused         Code = "root_refused"
)

// Exit codes of the drawspan program. The table is documented by `drawspan help exit-codes`.
const (
	ExitOK             = 0
	ExitInternal       = 1
	ExitUsage          = 2
	ExitConfig         = 3
	ExitAuth           = 4
	ExitNotFound       = 5
	ExitConflict       = 6
	ExitPending        = 8
	ExitGateFailed     = 10
	ExitExecutorFailed = 11
	ExitCancelled      = 12
	ExitWaitsForHuman  = 13
	ExitBudget         = 14
	ExitWaitExpired    = 15
	ExitUnconfirmed    = 16
	ExitUnreachable    = 20
	ExitAuditFailed    = 21
	ExitInterrupted    = 130
)

type row struct {
	status int
	exit   int
}

var table = map[Code]row{
	Internal:            {http.StatusInternalServerError, ExitInternal},
	InvalidRequest:      {http.StatusBadRequest, ExitUsage},
	UnsupportedMedia:    {http.StatusUnsupportedMediaType, ExitUsage},
	TooLarge:            {http.StatusRequestEntityTooLarge, ExitUsage},
	MethodNotAllowed:    {http.StatusMethodNotAllowed, ExitUsage},
	Unauthenticated:     {http.StatusUnauthorized, ExitAuth},
	Forbidden:           {http.StatusForbidden, ExitAuth},
	NotFound:            {http.StatusNotFound, ExitNotFound},
	Conflict:            {http.StatusConflict, ExitConflict},
	Stale:               {http.StatusConflict, ExitConflict},
	IdempotencyConflict: {http.StatusConflict, ExitConflict},
	RunNotOpen:          {http.StatusConflict, ExitConflict},
	StateLocked:         {http.StatusConflict, ExitConflict},
	NotSupported:        {http.StatusNotImplemented, ExitUsage},
	ConfigInvalid:       {http.StatusUnprocessableEntity, ExitConfig},
	NotAllowed:          {http.StatusForbidden, ExitAuth},
	WorkspaceUnusable:   {http.StatusUnprocessableEntity, ExitConfig},
	BaseMoved:           {http.StatusConflict, ExitConflict},
	BranchCheckedOut:    {http.StatusConflict, ExitConflict},
	TreeRefused:         {http.StatusUnprocessableEntity, ExitExecutorFailed},
	SandboxUnavailable:  {http.StatusUnprocessableEntity, ExitExecutorFailed},
	SandboxUnverified:   {http.StatusUnprocessableEntity, ExitExecutorFailed},
	PluginNotFound:      {http.StatusUnprocessableEntity, ExitConfig},
	PluginNotLocked:     {http.StatusUnprocessableEntity, ExitConfig},
	PluginMismatch:      {http.StatusUnprocessableEntity, ExitConfig},
	PluginStart:         {http.StatusBadGateway, ExitExecutorFailed},
	PluginCrashed:       {http.StatusBadGateway, ExitExecutorFailed},
	PluginUnresponsive:  {http.StatusGatewayTimeout, ExitExecutorFailed},
	PluginProtocol:      {http.StatusBadGateway, ExitExecutorFailed},
	PluginConfig:        {http.StatusUnprocessableEntity, ExitConfig},
	ProgramMissing:      {http.StatusUnprocessableEntity, ExitConfig},
	ProgramNotLocked:    {http.StatusUnprocessableEntity, ExitConfig},
	ProgramChanged:      {http.StatusUnprocessableEntity, ExitConfig},
	ProgramRefused:      {http.StatusUnprocessableEntity, ExitConfig},
	ProvisionFailed:     {http.StatusUnprocessableEntity, ExitExecutorFailed},
	ArtifactCorrupt:     {http.StatusInternalServerError, ExitAuditFailed},
	AuditFailed:         {http.StatusInternalServerError, ExitAuditFailed},
	NoSpace:             {http.StatusInsufficientStorage, ExitInternal},
	Unavailable:         {http.StatusServiceUnavailable, ExitUnreachable},
	WaitExpired:         {http.StatusRequestTimeout, ExitWaitExpired},
	RootRefused:         {http.StatusForbidden, ExitAuth},
}

// Codes lists every code, sorted, for documentation and completeness tests.
func Codes() []Code {
	codes := make([]Code, 0, len(table))
	for c := range table {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	return codes
}

// Known reports whether c is in the closed list.
func (c Code) Known() bool { _, ok := table[c]; return ok }

// HTTPStatus is the status that answers a request which failed with c; 500 for an unknown code.
func (c Code) HTTPStatus() int {
	if r, ok := table[c]; ok {
		return r.status
	}
	return http.StatusInternalServerError
}

// ExitCode is the exit code of a command that failed with c; 1 for an unknown code.
func (c Code) ExitCode() int {
	if r, ok := table[c]; ok {
		return r.exit
	}
	return ExitInternal
}

// Fault is an error that may be shown to the person or program that asked.
type Fault struct {
	Code    Code   // what kind of failure, from the closed list
	Message string // what happened, one sentence, no trailing period, no secrets
	Where   string // where: "file.hcl:12", an id, a path; may be empty
	Hint    string // what to do next, ideally a command; may be empty
	Err     error  // the cause, for the log; its text is not sent to remote callers
}

// New makes a Fault with a formatted message.
func New(code Code, format string, args ...any) *Fault {
	return &Fault{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes a Fault around a cause.
func Wrap(err error, code Code, format string, args ...any) *Fault {
	return &Fault{Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}

// At returns f with Where set.
func (f *Fault) At(where string) *Fault { f.Where = where; return f }

// Fix returns f with a formatted Hint.
func (f *Fault) Fix(format string, args ...any) *Fault {
	f.Hint = fmt.Sprintf(format, args...)
	return f
}

// Error is the message and, where there is one, the cause.
func (f *Fault) Error() string {
	s := string(f.Code) + ": " + f.Message
	if f.Where != "" {
		s = f.Where + ": " + s
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap is the cause.
func (f *Fault) Unwrap() error { return f.Err }

// CodeOf is the code of the first Fault in err's chain, Internal where there is none.
func CodeOf(err error) Code {
	var f *Fault
	if errors.As(err, &f) {
		return f.Code
	}
	return Internal
}

// Is reports whether err carries the code.
func Is(err error, code Code) bool {
	var f *Fault
	return errors.As(err, &f) && f.Code == code
}

// From is the first Fault in err's chain; an error without one becomes Internal with a message that
// tells nothing of the cause.
func From(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Code: Internal, Message: "internal error; the log has the details", Err: err}
}
