package wire

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
)

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func manifestToProto(m sdk.Manifest) *pb.Manifest {
	p := &pb.Manifest{
		Name: m.Name, Version: m.Version, Summary: m.Summary, Simulated: m.Simulated, Kinds: m.Kinds,
		Feeds: m.Feeds, Pure: m.Pure, Resident: m.Resident,
	}
	for _, a := range m.Config {
		p.Config = append(p.Config, &pb.Attribute{Name: a.Name, Type: a.Type, Required: a.Required, Doc: a.Doc})
	}
	for _, x := range m.Programs {
		p.Programs = append(p.Programs, &pb.Program{Name: x.Name, Profile: x.Profile, Tested: x.Tested, Install: x.Install})
	}
	return p
}

func manifestFromProto(p *pb.Manifest) (sdk.Manifest, error) {
	m := sdk.Manifest{
		Name: p.GetName(), Version: p.GetVersion(), Summary: clip(p.GetSummary(), sdk.MaxSummary),
		Simulated: p.GetSimulated(), Kinds: p.GetKinds(), Feeds: p.GetFeeds(), Pure: p.GetPure(), Resident: p.GetResident(),
	}
	switch {
	case m.Name == "" || len(m.Name) > sdk.MaxName:
		return sdk.Manifest{}, violated("its manifest has no usable name")
	case m.Version == "" || len(m.Version) > sdk.MaxName:
		return sdk.Manifest{}, violated("its manifest has no usable version")
	case len(m.Kinds) == 0 || len(m.Kinds) > 2:
		return sdk.Manifest{}, violated("its manifest names no kind")
	case m.Resident && slices.Contains(m.Feeds, sdk.FeedBase):
		return sdk.Manifest{}, violated("its manifest asks for a tree and says that it sees none")
	}
	for _, feed := range m.Feeds {
		if !slices.Contains(sdk.Feeds(), feed) {
			return sdk.Manifest{}, violated("its manifest asks to be fed %q", clip(feed, 80))
		}
	}
	for _, a := range p.GetConfig() {
		if a.GetName() == "" || !slices.Contains(sdk.AttributeTypes(), a.GetType()) {
			return sdk.Manifest{}, violated("its manifest declares attribute %q of type %q",
				clip(a.GetName(), 80), clip(a.GetType(), 80))
		}
		m.Config = append(m.Config, sdk.Attribute{
			Name: a.GetName(), Type: a.GetType(), Required: a.GetRequired(), Doc: clip(a.GetDoc(), sdk.MaxSummary),
		})
	}
	return m, programsFromProto(p.GetPrograms(), &m)
}

func pathsToProto(rules []sdk.Paths) []*pb.Paths {
	var all []*pb.Paths
	for _, r := range rules {
		all = append(all, &pb.Paths{Write: r.Write, Forbid: r.Forbid})
	}
	return all
}

func pathsFromProto(rules []*pb.Paths) []sdk.Paths {
	var all []sdk.Paths
	for _, r := range rules {
		all = append(all, sdk.Paths{Write: r.GetWrite(), Forbid: r.GetForbid()})
	}
	return all
}

func attemptToProto(a sdk.Attempt) *pb.StartRequest {
	return &pb.StartRequest{
		AttemptId: a.ID, RunId: a.RunID, StepId: a.StepID, Instruction: a.Instruction, Tree: a.Tree,
		BaseCommit: a.Base, Paths: pathsToProto(a.Paths), Deadline: nanos(a.Deadline),
		Program: installedToProto(a.Program), Gateway: gatewayToProto(a.Gateway), Resume: resumeToProto(a.Resume),
	}
}

func attemptFromProto(p *pb.StartRequest, config json.RawMessage) *sdk.Attempt {
	return &sdk.Attempt{
		ID: p.GetAttemptId(), RunID: p.GetRunId(), StepID: p.GetStepId(), Instruction: p.GetInstruction(),
		Tree: p.GetTree(), Base: p.GetBaseCommit(), Config: config,
		Paths:    pathsFromProto(p.GetPaths()),
		Deadline: fromNanos(p.GetDeadline()),
		Program:  installedFromProto(p.GetProgram()), Gateway: gatewayFromProto(p.GetGateway()), Resume: resumeFromProto(p.GetResume()),
	}
}

func eventToProto(e sdk.Event) *pb.Event {
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	return &pb.Event{
		Type: clip(string(e.Type), sdk.MaxName), Time: at.UnixNano(), ItemId: clip(e.ItemID, sdk.MaxName),
		ParentId: clip(e.Parent, sdk.MaxName), Turn: int32(e.Turn), Data: e.Data, Stream: e.Stream, Log: e.Log,
	}
}

func eventFromProto(p *pb.Event) sdk.Event {
	return sdk.Event{
		Type: sdk.EventType(p.GetType()), Time: fromNanos(p.GetTime()), ItemID: p.GetItemId(),
		Parent: p.GetParentId(), Turn: int(p.GetTurn()), Data: p.GetData(), Stream: p.GetStream(), Log: p.GetLog(),
	}
}

func stopReasons() []string {
	return []string{"end_turn", "cancelled", "max_turns", "max_tokens", "budget", "refusal", "error"}
}

func resultToProto(r sdk.Result) *pb.Result {
	p := &pb.Result{
		StopReason: r.StopReason, Signal: clip(r.Signal, sdk.MaxName), Summary: clip(r.Summary, sdk.MaxSummary),
		Failed: r.Failed, ErrorClass: r.Class, Message: clip(r.Message, sdk.MaxSummary),
		Retryable: r.Retryable, Denied: r.Denied,
		Session: clip(r.Session, sdk.MaxName), State: stateToProto(bounded(r.State)), Version: clip(r.Version, sdk.MaxName),
		RetryAfterMs: max(0, r.RetryAfter.Milliseconds()), Usage: usageToProto(r.Usage),
	}
	if !slices.Contains(stopReasons(), p.StopReason) {
		p.StopReason = "end_turn"
		if r.Failed {
			p.StopReason = "error"
		}
	}
	switch {
	case !r.Failed:
		p.ErrorClass = ""
	case !slices.Contains(sdk.ErrorClasses(), p.ErrorClass):
		p.ErrorClass = "unknown"
	}
	if r.ExitCode != nil {
		code := int32(*r.ExitCode)
		p.ExitCode = &code
	}
	return p
}

func resultFromProto(p *pb.Result) (sdk.Result, error) {
	r := sdk.Result{
		StopReason: p.GetStopReason(), Signal: p.GetSignal(), Summary: p.GetSummary(), Failed: p.GetFailed(),
		Class: p.GetErrorClass(), Message: p.GetMessage(), Retryable: p.GetRetryable(), Denied: p.GetDenied(),
		Session: p.GetSession(), State: stateFromProto(p.GetState()), Version: p.GetVersion(),
		RetryAfter: time.Duration(min(max(p.GetRetryAfterMs(), 0), maxRetryAfter.Milliseconds())) * time.Millisecond,
		Usage:      usageFromProto(p.GetUsage()),
	}
	if p.ExitCode != nil {
		code := int(p.GetExitCode())
		r.ExitCode = &code
	}
	switch {
	case !slices.Contains(stopReasons(), r.StopReason):
		return sdk.Result{}, violated("stop reason %q of its result is not in the set", clip(r.StopReason, 80))
	case r.Failed != (r.Class != ""):
		return sdk.Result{}, violated("its result has an error class without having failed, or the reverse")
	case r.Failed && !slices.Contains(sdk.ErrorClasses(), r.Class):
		return sdk.Result{}, violated("error class %q of its result is not in the set", clip(r.Class, 80))
	case len(r.Summary) > sdk.MaxSummary || len(r.Message) > sdk.MaxSummary || len(r.Signal) > sdk.MaxName:
		return sdk.Result{}, violated("a text of its result is too long")
	case len(r.Session) > sdk.MaxName || len(r.Version) > sdk.MaxName:
		return sdk.Result{}, violated("a name of its result is too long")
	}
	return r, checkState(r.State)
}

func checkToProto(c sdk.Check, beat time.Duration) *pb.CheckRequest {
	p := &pb.CheckRequest{
		AttemptId: c.AttemptID, Gate: c.Gate, Tree: c.Tree, BaseCommit: c.Base, TreeId: c.TreeSum,
		Paths:    pathsToProto(c.Paths),
		Deadline: nanos(c.Deadline), HeartbeatMs: millis(beat),
		HeadCommit: c.Head, BaseTree: c.BaseTree, Patch: c.Patch, PatchCut: c.PatchCut, Facts: factsToProto(c.Facts),
	}
	for _, ch := range c.Changes {
		p.Changes = append(p.Changes, &pb.Change{
			Path: []byte(ch.Path), OldPath: []byte(ch.OldPath), Op: ch.Op, OldMode: ch.OldMode, NewMode: ch.NewMode,
			Size: ch.Size, Binary: ch.Binary, Added: int32(ch.Added), Deleted: int32(ch.Deleted), Link: []byte(ch.Link),
		})
	}
	return p
}

func checkFromProto(p *pb.CheckRequest, config json.RawMessage) *sdk.Check {
	c := &sdk.Check{
		AttemptID: p.GetAttemptId(), Gate: p.GetGate(), Tree: p.GetTree(), Base: p.GetBaseCommit(), TreeSum: p.GetTreeId(),
		Paths:  pathsFromProto(p.GetPaths()),
		Config: config, Deadline: fromNanos(p.GetDeadline()),
		Head: p.GetHeadCommit(), BaseTree: p.GetBaseTree(), Patch: p.GetPatch(), PatchCut: p.GetPatchCut(), Facts: factsFromProto(p.GetFacts()),
	}
	for _, ch := range p.GetChanges() {
		c.Changes = append(c.Changes, sdk.Change{
			Path: string(ch.GetPath()), OldPath: string(ch.GetOldPath()), Op: ch.GetOp(), OldMode: ch.GetOldMode(),
			NewMode: ch.GetNewMode(), Size: ch.GetSize(), Binary: ch.GetBinary(),
			Added: int(ch.GetAdded()), Deleted: int(ch.GetDeleted()), Link: string(ch.GetLink()),
		})
	}
	return c
}

func factsToProto(f *sdk.Facts) []byte {
	if f == nil {
		return nil
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return nil // of numbers that are finite, and texts
	}
	return raw
}

func factsFromProto(raw []byte) *sdk.Facts {
	var f sdk.Facts
	if len(raw) == 0 || json.Unmarshal(raw, &f) != nil {
		return nil
	}
	return &f
}

func millis(d time.Duration) uint32 { return uint32(d / time.Millisecond) }
