package report

import (
	"net/url"
	"strings"
)

// GitHub's limits of SARIF.
const (
	maxRuns    = 20
	maxResults = 5000 // of one run that are kept
	maxRules   = 2000
	maxBytes   = 40 << 20 // unpacked; 10 MB packed are taken
)

const sarifSchema = "https://json.schemastore.org/sarif-2.1.0.json"

// fingerprintKey names the kind of fingerprint.
const fingerprintKey = "drawspan/v1"

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Automation  sarifID           `json:"automationDetails"`
	Invocations []sarifInvocation `json:"invocations"`
	Columns     string            `json:"columnKind"`
	Results     []sarifResult     `json:"results"`
	Properties  map[string]any    `json:"properties"`
}

type sarifID struct {
	ID string `json:"id"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string    `json:"name"`
	Version string    `json:"version,omitempty"`
	URI     string    `json:"informationUri"`
	Rules   []sarifID `json:"rules"`
}

type sarifInvocation struct {
	OK            bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string    `json:"level"`
	Message sarifText `json:"message"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	Rule         string            `json:"ruleId"`
	Level        string            `json:"level"`
	Message      sarifText         `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Fingerprints map[string]string `json:"partialFingerprints"`
	State        string            `json:"baselineState,omitempty"`
}

type sarifLocation struct {
	Physical struct {
		Artifact struct {
			URI  string `json:"uri"`
			Base string `json:"uriBaseId"`
		} `json:"artifactLocation"`
		Region *sarifRegion `json:"region,omitempty"`
	} `json:"physicalLocation"`
}

type sarifRegion struct {
	Start int `json:"startLine"`
	End   int `json:"endLine,omitempty"`
}

// SARIF is one run for each gate, at most twenty: where there are more, the last holds the rest. Findings
// that a baseline has are there too, as unchanged.
func SARIF(d *Document) ([]byte, error) {
	log := sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{}}
	used := 0
	for i, g := range worstFirst(d) {
		if i < maxRuns {
			log.Runs = append(log.Runs, runOf(d, g))
		}
		run := &log.Runs[len(log.Runs)-1]
		if i >= maxRuns {
			run.Tool.Driver.Name, run.Automation.ID = "drawspan (other gates)", "drawspan/"+line(d.Workspace, 100)+"/others/"
			run.Invocations[0].OK = run.Invocations[0].OK && g.Result != errored
		}
		run.take(resultsOf(d, g), &used)
	}
	if len(log.Runs) > 0 {
		log.Runs[0].annotate(d)
	}
	return encode(log)
}

// take adds results while there is room.
func (r *sarifRun) take(results []sarifResult, used *int) {
	left := 0
	for _, result := range results {
		size := len(result.Message.Text) + len(result.Rule) + 600
		if len(r.Results) >= maxResults-1 || *used+size > maxBytes {
			left++
			continue
		}
		*used += size
		r.Results = append(r.Results, result)
		r.rule(result.Rule)
	}
	if left > 0 {
		r.notify(warning, counted(left, "result")+" more are left out")
	}
}

func (r *sarifRun) notify(level, text string) {
	in := &r.Invocations[0]
	in.Notifications = append(in.Notifications, sarifNotification{level, sarifText{text}})
}

// annotate adds what is to be said of the whole run.
func (r *sarifRun) annotate(d *Document) {
	for _, n := range d.Notes {
		r.notify(severity(n.Level), line(n.Text, maxMessage))
		r.Results = append(r.Results, resultOf(d, "drawspan/"+n.Code, placed{
			Finding: Finding{Severity: n.Level, Path: n.Path, Message: n.Text, Fingerprint: fingerprint("drawspan", Finding{Rule: n.Code, Path: n.Path})}}))
		r.rule("drawspan/" + n.Code)
	}
}

func runOf(d *Document, g Gate) sarifRun {
	run := sarifRun{
		Tool:        sarifTool{sarifDriver{Name: "drawspan " + line(g.Name, 64), URI: "https://github.com/drawspan/drawspan", Rules: []sarifID{}}},
		Automation:  sarifID{"drawspan/" + line(d.Workspace, 100) + "/" + line(g.Name, 64) + "/"},
		Invocations: []sarifInvocation{{OK: g.Result != errored}}, Columns: "utf16CodeUnits", Results: []sarifResult{},
		Properties: map[string]any{"gate": line(g.Name, 64), "verdict": g.Verdict, "required": g.Required, "reason": line(said(g), maxReason), "level": levelOf(g)},
	}
	if g.Plugin != nil {
		run.Tool.Driver.Version = line(g.Plugin.Version, 64)
	}
	if g.Result == errored {
		run.notify(errored, line(sentence(g), maxReason))
	}
	return run
}

// rule names a rule once.
func (r *sarifRun) rule(id string) {
	rules := r.Tool.Driver.Rules
	for _, known := range rules {
		if known.ID == id {
			return
		}
	}
	if len(rules) < maxRules {
		r.Tool.Driver.Rules = append(rules, sarifID{id})
	}
}

// resultsOf are a gate's findings, and its verdict where that is not a pass.
func resultsOf(d *Document, g Gate) []sarifResult {
	var out []sarifResult
	if weight(g) <= 2 {
		file, at := declaredAt(g)
		out = append(out, resultOf(d, "drawspan/verdict", placed{gate: g, Finding: Finding{
			Severity: errored, Path: file, Line: at, Message: sentence(g), Fingerprint: fingerprint(g.Name, Finding{Rule: "verdict"})}}))
	}
	for _, f := range g.Findings {
		out = append(out, resultOf(d, line(f.Rule, 200), placed{f, g}))
	}
	return out
}

func resultOf(d *Document, rule string, p placed) sarifResult {
	r := sarifResult{
		Rule: rule, Level: severity(p.Severity), Message: sarifText{line(p.Message, maxMessage)},
		Fingerprints: map[string]string{fingerprintKey: line(p.Fingerprint, 200)},
	}
	if p.gate.Name != "" {
		r.Level = effective(p)
	}
	if r.Rule == "" {
		r.Rule = "drawspan/finding"
	}
	if d.Baseline != nil {
		r.State = "new"
		if p.Known {
			r.State = "unchanged"
		}
	}
	path := p.Path
	if path == "" {
		path = rulesFile(d)
	}
	var l sarifLocation
	l.Physical.Artifact.URI, l.Physical.Artifact.Base = uri(path), "%SRCROOT%"
	if p.Path != "" && p.Line > 0 {
		l.Physical.Region = &sarifRegion{Start: p.Line, End: max(p.EndLine, p.Line)}
	}
	r.Locations = []sarifLocation{l}
	return r
}

// uri is a path of the repository as a relative URI.
func uri(path string) string {
	parts := strings.Split(strings.TrimLeft(path, "/"), "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	s := strings.Join(parts, "/")
	if head, _, _ := strings.Cut(s, "/"); strings.Contains(head, ":") { // else it would be a scheme
		s = "./" + s
	}
	return s
}
