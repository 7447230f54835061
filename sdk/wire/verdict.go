package wire

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
)

func severities() []string { return []string{"error", "warning", "note"} }

// verdictToProto keeps a verdict within the bounds: more findings than fit are cut, and the message
// says how many.
func verdictToProto(v sdk.Verdict) *pb.Verdict {
	if more := len(v.Findings) - sdk.MaxFindings; more > 0 {
		v.Findings = v.Findings[:sdk.MaxFindings]
		v.Message = clip(v.Message, sdk.MaxSummary/2) + fmt.Sprintf(" (%d further findings were cut)", more)
	}
	p := &pb.Verdict{Outcome: string(v.Outcome), Message: clip(v.Message, sdk.MaxSummary)}
	if !slices.Contains(sdk.Outcomes(), v.Outcome) {
		p.Outcome = string(sdk.Error)
		p.Message = fmt.Sprintf("the validator returned the outcome %q", clip(string(v.Outcome), 80))
	}
	for _, f := range v.Findings {
		p.Findings = append(p.Findings, findingToProto(f))
	}
	p.Metrics = metricsToProto(v.Metrics)
	if v.Ran != nil {
		p.Ran = &pb.Ran{ExitCode: int32(v.Ran.ExitCode), Signal: clip(v.Ran.Signal, sdk.MaxName), DurationNs: int64(v.Ran.Duration)}
		for _, arg := range v.Ran.Argv {
			p.Ran.Argv = append(p.Ran.Argv, clip(arg, sdk.MaxSummary))
		}
	}
	return p
}

// metricsToProto keeps the first metrics by name, and none that is no number.
func metricsToProto(all map[string]float64) map[string]float64 {
	kept := map[string]float64{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if len(kept) < sdk.MaxMetrics && metric(name, all[name]) {
			kept[name] = all[name]
		}
	}
	return kept
}

// metric reports whether a name and a value are in order.
func metric(name string, value float64) bool {
	return name != "" && len(name) <= sdk.MaxName && !math.IsNaN(value) && !math.IsInf(value, 0)
}

func findingToProto(f sdk.Finding) *pb.Finding {
	severity := f.Severity
	if !slices.Contains(severities(), severity) {
		severity = "error"
	}
	return &pb.Finding{
		Rule: clip(f.Rule, sdk.MaxName), Severity: severity, Path: []byte(f.Path), Line: line(f.Line), EndLine: line(f.EndLine),
		Message: clip(f.Message, maxFindingText), Help: clip(f.Help, maxFindingText), Fingerprint: clip(f.Fingerprint, sdk.MaxName),
	}
}

// line keeps a number within what the wire can carry: a report of a tool may say any.
func line(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) }

const (
	maxFindingText = 4 << 10
	maxPath        = 4 << 10
	maxArgs        = 4 << 10
)

func verdictFromProto(p *pb.Verdict) (sdk.Verdict, error) {
	v := sdk.Verdict{Outcome: sdk.Outcome(p.GetOutcome()), Message: p.GetMessage()}
	switch {
	case !slices.Contains(sdk.Outcomes(), v.Outcome):
		return sdk.Verdict{}, violated("outcome %q is not in the set", clip(p.GetOutcome(), 80))
	case len(v.Message) > sdk.MaxSummary:
		return sdk.Verdict{}, violated("the message of its verdict is too long")
	case len(p.GetFindings()) > sdk.MaxFindings:
		return sdk.Verdict{}, violated("its verdict has %d findings, more than %d", len(p.GetFindings()), sdk.MaxFindings)
	case len(p.GetMetrics()) > sdk.MaxMetrics:
		return sdk.Verdict{}, violated("its verdict has %d metrics, more than %d", len(p.GetMetrics()), sdk.MaxMetrics)
	case len(p.GetRan().GetArgv()) > maxArgs:
		return sdk.Verdict{}, violated("it ran a program with %d arguments", len(p.GetRan().GetArgv()))
	}
	for _, f := range p.GetFindings() {
		finding, err := findingFromProto(f)
		if err != nil {
			return sdk.Verdict{}, err
		}
		v.Findings = append(v.Findings, finding)
	}
	for name, value := range p.GetMetrics() {
		if !metric(name, value) {
			return sdk.Verdict{}, violated("metric %q of its verdict is no finite number", clip(name, 80))
		}
	}
	v.Metrics = p.GetMetrics()
	if ran := p.GetRan(); ran != nil {
		v.Ran = &sdk.Ran{
			Argv: ran.GetArgv(), ExitCode: int(ran.GetExitCode()), Signal: clip(ran.GetSignal(), sdk.MaxName),
			Duration: time.Duration(ran.GetDurationNs()),
		}
	}
	return v, nil
}

func findingFromProto(f *pb.Finding) (sdk.Finding, error) {
	switch {
	case !slices.Contains(severities(), f.GetSeverity()):
		return sdk.Finding{}, violated("severity %q of a finding is not in the set", clip(f.GetSeverity(), 80))
	case len(f.GetRule()) > sdk.MaxName || len(f.GetFingerprint()) > sdk.MaxName || len(f.GetPath()) > maxPath ||
		len(f.GetMessage()) > maxFindingText || len(f.GetHelp()) > maxFindingText:
		return sdk.Finding{}, violated("a text of a finding is too long")
	case f.GetLine() < 0 || f.GetEndLine() < 0:
		return sdk.Finding{}, violated("a finding has a negative line")
	}
	return sdk.Finding{
		Rule: f.GetRule(), Severity: f.GetSeverity(), Path: string(f.GetPath()), Line: int(f.GetLine()),
		EndLine: int(f.GetEndLine()), Message: f.GetMessage(), Help: f.GetHelp(), Fingerprint: f.GetFingerprint(),
	}, nil
}
