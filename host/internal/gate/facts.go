package gate

import (
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// modeLink is git's mode of a symbolic link.
const modeLink = "120000"

// Facts are the facts of a change as conditions and validators see them: numbers instead of files.
func Facts(f work.Facts) sdk.Facts {
	out := sdk.Facts{
		Diff: DiffFacts(f.Diff), Gates: map[string]sdk.GateFact{},
		Executor: sdk.ExecutorFact{Name: f.Executor.Name, Plugin: f.Executor.Plugin, Simulated: f.Executor.Simulated},
	}
	for name, g := range f.Gates {
		out.Gates[name] = sdk.GateFact{Verdict: string(g.Verdict), Result: string(g.Result), Message: g.Message, Findings: g.Findings, Metrics: g.Metrics}
	}
	if u := f.Usage; u != nil {
		out.Usage = &sdk.Usage{
			Input: u.Input, CachedRead: u.CachedRead, CachedWrite: u.CachedWrite, Output: u.Output, Reasoning: u.Reasoning,
			Calls: u.Calls, Cost: float64(u.CostMicros) / 1e6, Currency: u.Currency, Model: u.Model, Scope: u.Scope, Basis: u.Basis,
		}
	}
	if c := f.Claims; c != nil {
		out.Claims = &sdk.Claims{StopReason: c.StopReason, Failed: c.Failed, Denied: c.Denied, Summary: c.Summary, Files: c.Files}
	}
	return out
}

// DiffFacts counts a diff.
func DiffFacts(d work.DiffFacts) sdk.DiffFacts {
	out := sdk.DiffFacts{Files: len(d.Files), Lines: d.Lines(), Insertions: d.Insertions, Deletions: d.Deletions, Binary: d.Binary}
	for _, c := range d.Files {
		switch c.Op {
		case "add":
			out.Added++
		case "delete":
			out.Deleted++
			continue
		case "mode":
			out.Modes++
		default:
			out.Modified++
		}
		if c.NewMode == modeLink {
			out.Links++
		}
		out.Bytes += max(c.Size, 0)
		out.Largest = max(out.Largest, c.Size)
	}
	return out
}

// Paths are the changed paths; of a move, both.
func Paths(d work.DiffFacts) []string {
	var out []string
	for _, c := range d.Files {
		out = append(out, c.Path)
		if c.OldPath != "" && c.OldPath != c.Path {
			out = append(out, c.OldPath)
		}
	}
	return out
}
