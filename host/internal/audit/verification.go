package audit

import (
	"github.com/drawspan/drawspan/host/fault"
)

// Problem is one thing in the log that contradicts its proofs.
type Problem struct {
	Seq    int64  `json:"seq"` // the offending event, or the size at which a checkpoint fails; -1 for none
	What   string `json:"what"`
	Detail string `json:"detail,omitempty"`
}

// Verification is the result of recomputing a log.
type Verification struct {
	Origin      string    `json:"origin"`
	Key         string    `json:"key"`    // the verifier key the checkpoints were opened with
	Events      int64     `json:"events"` // how many events were recomputed
	Runs        int64     `json:"runs"`
	Bodies      int64     `json:"bodies"`      // bodies whose digest was recomputed
	Purged      int64     `json:"purged"`      // bodies that retention deleted; their envelopes verify
	Checkpoints int64     `json:"checkpoints"` // checkpoints whose signature and root were recomputed
	Signed      int64     `json:"signed"`      // how many events the newest checkpoint covers
	Root        string    `json:"root"`        // the recomputed root, base64
	Problems    []Problem `json:"problems,omitempty"`
}

// OK reports whether nothing contradicts.
func (v Verification) OK() bool { return len(v.Problems) == 0 }

// Err is nil or a fault that names the first offending event.
func (v Verification) Err() error {
	if v.OK() {
		return nil
	}
	p := v.Problems[0]
	return fault.New(fault.AuditFailed, "the log does not verify at event %d: %s", p.Seq, p.What).
		Fix("keep the state directory as it is and run: drawspan audit verify")
}
