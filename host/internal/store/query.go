package store

import (
	"strconv"
	"time"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Bounds of one read.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Position is a place in the log.
type Position struct{ Epoch, Seq int64 }

// String writes "<epoch>.<seq>".
func (p Position) String() string {
	return strconv.FormatInt(p.Epoch, 10) + "." + strconv.FormatInt(p.Seq, 10)
}

// Head is the end of the log.
type Head struct {
	Position        // of the newest event
	Size     int64  // how many events there are
	Root     string // the tree's root, base64
	At       time.Time
}

// RunFilter selects runs, newest first. Zero fields select all. Cursor is the last id of the page before.
type RunFilter struct {
	Workspace string
	State     work.RunState
	Limit     int
	Cursor    string
}

// StepFilter selects steps in order of dispatch.
type StepFilter struct {
	RunID     string
	Workspace string
	State     work.StepState
	Newest    bool // newest first
	Limit     int
	Cursor    string
}

// AttemptFilter selects attempts, oldest first unless it says otherwise.
type AttemptFilter struct {
	RunID     string
	StepID    string
	Workspace string
	State     work.AttemptState
	Outcome   work.Outcome
	Newest    bool // newest first
	Limit     int
	Cursor    string
}

// ValidationFilter selects validations, oldest first.
type ValidationFilter struct {
	RunID     string
	StepID    string
	AttemptID string
	Gate      string
	Result    work.Result
	Limit     int
	Cursor    string
}

// ApprovalFilter selects approvals, oldest first unless it says otherwise.
type ApprovalFilter struct {
	RunID     string
	StepID    string
	AttemptID string
	Workspace string
	Kind      work.ApprovalKind
	State     work.ApprovalState
	Newest    bool // newest first
	Limit     int
	Cursor    string
}

// EventFilter selects events. Kind is exact or a prefix written "attempt.*"; Actor is an actor's id or
// kind. Newest reads backwards from the newest event, otherwise reading is forward. After is the
// position to go on from, in the direction of reading; its zero value is the beginning of that.
type EventFilter struct {
	After  Position
	Limit  int
	RunID  string
	StepID string
	Kind   string
	Actor  string
	Since  time.Time // inclusive
	Until  time.Time // exclusive
	Newest bool
}

// Page is one part of a list. Next is the cursor of the following part, empty at the end.
type Page[T any] struct {
	Items []T
	Next  string
}
