package store

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Options say where the record is and who hears of its changes.
type Options struct {
	Dir string       // the state directory; made with mode 0700 where it is missing
	Log hclog.Logger // nil for none
	Now func() time.Time
	// OnCommit gets the events of each committed transaction in log order, before the callers of
	// Apply get their answer. It must not block.
	OnCommit func([]work.Event)
	// Inspect opens for reading only, and also a record whose log does not verify.
	Inspect bool
}

// Store is an open record.
type Store struct{}

var errUnbuilt = fault.New(fault.NotSupported, "not built yet")

func Open(ctx context.Context, o Options) (*Store, error) { return nil, errUnbuilt }

func (s *Store) Close(ctx context.Context) error { return errUnbuilt }
func (s *Store) InstanceID() string              { return "" }
func (s *Store) Key() string                     { return "" }
func (s *Store) Epoch() int64                    { return 0 }
func (s *Store) Broken() <-chan struct{}         { return nil }
func (s *Store) Apply(ctx context.Context, m ...work.Mutation) ([]work.Event, error) {
	return nil, errUnbuilt
}
func (s *Store) Run(ctx context.Context, id string) (work.Run, error) { return work.Run{}, errUnbuilt }
func (s *Store) Runs(ctx context.Context, f RunFilter) (Page[work.Run], error) {
	return Page[work.Run]{}, errUnbuilt
}
func (s *Store) Step(ctx context.Context, id string) (work.Step, error) {
	return work.Step{}, errUnbuilt
}
func (s *Store) Steps(ctx context.Context, f StepFilter) (Page[work.Step], error) {
	return Page[work.Step]{}, errUnbuilt
}
func (s *Store) UnsettledSteps(ctx context.Context) ([]work.Step, error) { return nil, errUnbuilt }
func (s *Store) Attempt(ctx context.Context, id string) (work.Attempt, error) {
	return work.Attempt{}, errUnbuilt
}
func (s *Store) Attempts(ctx context.Context, f AttemptFilter) (Page[work.Attempt], error) {
	return Page[work.Attempt]{}, errUnbuilt
}
func (s *Store) LiveAttempts(ctx context.Context) ([]work.Attempt, error) { return nil, errUnbuilt }
func (s *Store) Gates(ctx context.Context, attemptID string) ([]work.GateRecord, error) {
	return nil, errUnbuilt
}
func (s *Store) Gate(ctx context.Context, id string) (work.GateRecord, error) {
	return work.GateRecord{}, errUnbuilt
}
func (s *Store) Validations(ctx context.Context, f ValidationFilter) (Page[work.Validation], error) {
	return Page[work.Validation]{}, errUnbuilt
}
func (s *Store) Artifacts(ctx context.Context, attemptID string) ([]work.Artifact, error) {
	return nil, errUnbuilt
}
func (s *Store) Artifact(ctx context.Context, attemptID, name string) (work.Artifact, error) {
	return work.Artifact{}, errUnbuilt
}
func (s *Store) Approvals(ctx context.Context, f ApprovalFilter) (Page[work.Approval], error) {
	return Page[work.Approval]{}, errUnbuilt
}
func (s *Store) Approval(ctx context.Context, id string) (work.Approval, error) {
	return work.Approval{}, errUnbuilt
}
func (s *Store) Events(ctx context.Context, f EventFilter) ([]work.Event, error) {
	return nil, errUnbuilt
}
func (s *Store) Head(ctx context.Context) (Head, error)         { return Head{}, errUnbuilt }
func (s *Store) Checkpoint(ctx context.Context) ([]byte, error) { return nil, errUnbuilt }
func (s *Store) Verify(ctx context.Context, progress func(done, total int64)) (audit.Verification, error) {
	return audit.Verification{}, errUnbuilt
}
func (s *Store) Fold(ctx context.Context) ([]audit.Problem, error) { return nil, errUnbuilt }
func (s *Store) Backup(ctx context.Context, dir string) error      { return errUnbuilt }
