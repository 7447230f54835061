package wire

import (
	"io/fs"
	"math"
	"time"
	"unicode/utf8"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
)

// The bounds of what concerns a program that a plugin drives.
const (
	maxPrograms   = 64
	maxNotes      = 16
	maxRetryAfter = 24 * time.Hour
)

// programsFromProto adds the programs of a manifest to m.
func programsFromProto(all []*pb.Program, m *sdk.Manifest) error {
	if len(all) > maxPrograms {
		return violated("its manifest names %d programs", len(all))
	}
	for _, p := range all {
		if p.GetName() == "" || len(p.GetName()) > sdk.MaxName || len(p.GetProfile()) > sdk.MaxName {
			return violated("its manifest names program %q", clip(p.GetName(), 80))
		}
		m.Programs = append(m.Programs, sdk.Program{
			Name: p.GetName(), Profile: p.GetProfile(), Tested: clip(p.GetTested(), sdk.MaxName), Install: clip(p.GetInstall(), sdk.MaxSummary),
		})
	}
	return nil
}

func installedToProto(p *sdk.Installed) *pb.Installed {
	if p == nil {
		return nil
	}
	return &pb.Installed{Name: p.Name, Path: p.Path, Digest: p.Digest, Interpreter: p.Interpreter}
}

func installedFromProto(p *pb.Installed) *sdk.Installed {
	if p == nil {
		return nil
	}
	return &sdk.Installed{Name: p.GetName(), Path: p.GetPath(), Digest: p.GetDigest(), Interpreter: p.GetInterpreter()}
}

func gatewayToProto(g *sdk.Gateway) *pb.Gateway {
	if g == nil {
		return nil
	}
	return &pb.Gateway{Url: g.URL, Key: g.Key, Wire: g.Wire}
}

func gatewayFromProto(g *pb.Gateway) *sdk.Gateway {
	if g == nil {
		return nil
	}
	return &sdk.Gateway{URL: g.GetUrl(), Key: g.GetKey(), Wire: g.GetWire()}
}

func resumeToProto(r *sdk.Resume) *pb.Resume {
	if r == nil {
		return nil
	}
	return &pb.Resume{Session: r.Session, State: stateToProto(r.State), Summary: r.Summary}
}

func resumeFromProto(r *pb.Resume) *sdk.Resume {
	if r == nil {
		return nil
	}
	return &sdk.Resume{Session: r.GetSession(), State: stateFromProto(r.GetState()), Summary: r.GetSummary()}
}

// bounded is a state that may travel; one that is too large is none, and the session cannot be continued.
func bounded(files []sdk.StateFile) []sdk.StateFile {
	if checkState(files) != nil {
		return nil
	}
	return files
}

// checkState holds a session's state to its bounds. Paths are names for the plugin that gets them back;
// the host follows none.
func checkState(files []sdk.StateFile) error {
	total := 0
	for _, f := range files {
		if !fs.ValidPath(f.Path) || f.Path == "." || len(f.Path) > sdk.MaxName {
			return violated("a file of its session's state is named %q", clip(f.Path, 80))
		}
		total += len(f.Data)
	}
	if total > sdk.MaxState || len(files) > sdk.MaxStates {
		return violated("its session's state has %d files of %d bytes", len(files), total)
	}
	return nil
}

func stateToProto(files []sdk.StateFile) []*pb.StateFile {
	var all []*pb.StateFile
	for _, f := range files {
		all = append(all, &pb.StateFile{Path: f.Path, Data: f.Data})
	}
	return all
}

func stateFromProto(files []*pb.StateFile) []sdk.StateFile {
	var all []sdk.StateFile
	for _, f := range files {
		all = append(all, sdk.StateFile{Path: f.GetPath(), Data: f.GetData()})
	}
	return all
}

func usageToProto(u *sdk.Usage) *pb.Usage {
	if u == nil {
		return nil
	}
	return &pb.Usage{
		Input: u.Input, CachedRead: u.CachedRead, CachedWrite: u.CachedWrite, Output: u.Output, Reasoning: u.Reasoning,
		Calls: u.Calls, Cost: u.Cost, Currency: clip(u.Currency, 8), Basis: clip(u.Basis, 16),
	}
}

// usageFromProto reads a claim: numbers that cannot be are none.
func usageFromProto(u *pb.Usage) *sdk.Usage {
	if u == nil {
		return nil
	}
	cost := u.GetCost()
	if math.IsNaN(cost) || math.IsInf(cost, 0) || cost < 0 {
		cost = 0
	}
	out := &sdk.Usage{
		Input: max(0, u.GetInput()), CachedRead: max(0, u.GetCachedRead()), CachedWrite: max(0, u.GetCachedWrite()),
		Output: max(0, u.GetOutput()), Reasoning: max(0, u.GetReasoning()), Calls: max(0, u.GetCalls()),
		Cost: cost, Currency: clip(u.GetCurrency(), 8), Scope: "session", Basis: "reported",
	}
	if u.GetBasis() == "computed" {
		out.Basis = "computed"
	}
	return out
}

func probeToProto(p sdk.Probe) *pb.ProbeReply {
	r := &pb.ProbeReply{Version: clip(p.Version, sdk.MaxName), Tested: p.Tested, Login: clip(p.Login, 16)}
	for _, n := range p.Notes[:min(len(p.Notes), maxNotes)] {
		r.Notes = append(r.Notes, clip(n, sdk.MaxSummary))
	}
	return r
}

func probeFromProto(p *pb.ProbeReply) (sdk.Probe, error) {
	out := sdk.Probe{Version: p.GetVersion(), Tested: p.GetTested(), Login: p.GetLogin(), Notes: p.GetNotes()}
	switch {
	case len(out.Version) > sdk.MaxName || !utf8.ValidString(out.Version):
		return sdk.Probe{}, violated("it says that its program has an unusable version")
	case out.Login != "ready" && out.Login != "missing" && out.Login != "unknown":
		return sdk.Probe{}, violated("it says that the login of its program is %q", clip(out.Login, 80))
	case len(out.Notes) > maxNotes:
		return sdk.Probe{}, violated("it has %d notes on its program", len(out.Notes))
	}
	for _, n := range out.Notes {
		if len(n) > sdk.MaxSummary {
			return sdk.Probe{}, violated("a note on its program is too long")
		}
	}
	return out, nil
}
