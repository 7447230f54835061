package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// The artifact that keeps an executor's own session, for a follow-up on this host and for nothing else.
const (
	sessionName   = "session.json"
	sessionSchema = "drawspan/session/v1alpha"
	maxSession    = 2 * sdk.MaxState // of session.json in bytes: base64, names
)

// session is session.json.
type session struct {
	Schema   string          `json:"schema"`
	Executor string          `json:"executor"`
	Session  string          `json:"session"`
	Files    []sdk.StateFile `json:"files"`
}

// keepSession is the row of session.json; nil where there is nothing that a follow-up could go on with.
func (a *drive) keepSession(ctx context.Context, r sdk.Result) []work.Mutation {
	size := 0
	for _, f := range r.State {
		size += len(f.Path) + len(f.Data)
	}
	if r.Session == "" || len(r.State) == 0 || size > sdk.MaxState || len(r.State) > sdk.MaxStates {
		return nil
	}
	body := jsonOf(session{sessionSchema, a.at.Executor, r.Session, r.State})
	row, err := a.keep(sessionName, "session", "application/json", body)
	if err != nil {
		a.d.report(ctx, "keep the executor's session", err, "attempt", a.at.ID)
		return nil
	}
	return []work.Mutation{work.KeepArtifact{Artifact: row}}
}

// resume is what a follow-up goes on with: the executor's own session where the same program kept one, else
// what it said last. Nil for what is no follow-up.
func (a *drive) resume(ctx context.Context, now work.PluginIdentity) *sdk.Resume {
	if a.before == nil {
		return nil
	}
	r := &sdk.Resume{}
	if c := a.before.Claim; c != nil {
		r.Summary = c.Summary
	}
	kept, why := a.resumable(ctx, now)
	a.resumed = &work.Resumed{From: a.before.ID, Mode: work.ResumedSummary, Why: why}
	if kept != nil {
		r.Session, r.State = kept.Session, kept.Files
		a.resumed.Mode = work.ResumedNative
	}
	return r
}

// resumable is the session of the attempt before, or why there is none to go on with.
func (a *drive) resumable(ctx context.Context, now work.PluginIdentity) (*session, string) {
	b := a.before
	switch {
	case b.Evidence == nil || !b.Evidence.Session:
		return nil, "the attempt before kept no session"
	case b.Plugin == nil || b.Executor != a.at.Executor:
		return nil, "the attempt before was another executor's"
	case b.Plugin.Digest != now.Digest:
		return nil, "the plugin has changed since"
	case program(*b.Plugin) != program(now):
		return nil, "the program has changed since"
	}
	kept, err := a.readSession(ctx, b.ID)
	if err != nil {
		a.d.report(ctx, "read the session of the attempt before", err, "attempt", b.ID)
		return nil, "the session of the attempt before cannot be read: " + fault.From(err).Message
	}
	return kept, "same executor, plugin and program"
}

// program is the digest of what a plugin drives, with its package.
func program(id work.PluginIdentity) string {
	if id.Program == nil {
		return ""
	}
	return id.Program.Digest + " " + id.Program.Files
}

func (a *drive) readSession(ctx context.Context, attemptID string) (*session, error) {
	row, err := a.d.opt.Record.Artifact(ctx, attemptID, sessionName)
	if err != nil {
		return nil, err
	}
	body := row.Inline
	if body == nil {
		if body, err = a.stored(ctx, row); err != nil {
			return nil, err
		}
	}
	var s session
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("read %s: %w", sessionName, err)
	}
	if s.Schema != sessionSchema || s.Session == "" || len(s.Files) == 0 {
		return nil, fault.New(fault.ArtifactCorrupt, "%s of attempt %s has no session", sessionName, attemptID)
	}
	return &s, nil
}

// stored are the bytes of an artifact in the content store.
func (a *drive) stored(ctx context.Context, row work.Artifact) ([]byte, error) {
	if row.Size > maxSession || row.Truncated {
		return nil, fault.New(fault.TooLarge, "%s has %d bytes", row.Name, row.Size)
	}
	f, err := a.d.opt.Artifacts.Verified(ctx, row.Digest, row.Size)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxSession))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", row.Name, err)
	}
	return body, nil
}

// told adds to what was handed over what the executor says of it.
func (a *drive) told(r sdk.Result, offered *sdk.Resume) {
	if a.resumed != nil && a.resumed.Mode == work.ResumedNative && r.Session != "" && r.Session != offered.Session {
		a.resumed.Why += "; at its end the executor names another session than it was given"
	}
}
