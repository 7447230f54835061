package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// MaxBaseline is the largest file that is read as a baseline.
const MaxBaseline = 64 << 20

// maxKnown bounds the findings of a baseline.
const maxKnown = 500_000

// Baseline is what was known before: findings of an earlier run, by fingerprint, or those of any SARIF file,
// by rule, path and message, each as often as it is there.
type Baseline struct {
	exact map[string]bool // gate and fingerprint
	loose map[string]int  // how often: rule, path and essence of the message
	size  int
}

// Len is how many findings it holds.
func (b *Baseline) Len() int { return b.size }

// Mark marks the findings of a gate that the baseline has, and counts them. Settle comes first.
func (b *Baseline) Mark(gate string, findings []Finding) int {
	known, used := 0, map[string]int{}
	for i, f := range findings {
		like := looseKey(f.Rule, f.Path, f.Message)
		switch {
		case b.exact[exactKey(gate, f.Fingerprint)]:
		case used[like] < b.loose[like]:
			used[like]++
		default:
			continue
		}
		findings[i].Known = true
		known++
	}
	return known
}

func exactKey(gate, fingerprint string) string { return gate + "\x00" + fingerprint }

func looseKey(rule, path, message string) string {
	return rule + "\x00" + path + "\x00" + essence(message)
}

// ReadBaseline reads the JSON of an earlier gate run, or SARIF 2.1.0 of any tool.
func ReadBaseline(data []byte) (*Baseline, error) {
	if len(data) > MaxBaseline {
		return nil, fmt.Errorf("it has more than %d MiB", MaxBaseline>>20)
	}
	var head struct {
		Schema  string `json:"schema"`
		Version any    `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	b := &Baseline{exact: map[string]bool{}, loose: map[string]int{}}
	switch {
	case head.Schema == Schema:
		return b, b.document(data)
	case head.Schema == "" && head.Version == "2.1.0":
		return b, b.sarif(data)
	}
	return nil, errors.New("it is neither the JSON of a gate run nor SARIF 2.1.0")
}

func (b *Baseline) document(data []byte) error {
	var d struct {
		Gates []struct {
			Name     string    `json:"name"`
			Findings []Finding `json:"findings"`
		} `json:"gates"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return fmt.Errorf("it is no document of a gate run: %w", err)
	}
	for _, g := range d.Gates {
		for _, f := range g.Findings {
			if f.Fingerprint != "" {
				b.exact[exactKey(g.Name, f.Fingerprint)] = true
				b.size++
			}
		}
	}
	return b.bounded()
}

// oldResult is what counts of a result of SARIF.
type oldResult struct {
	Rule         string            `json:"ruleId"`
	State        string            `json:"baselineState"`
	Message      sarifText         `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Fingerprints map[string]string `json:"partialFingerprints"`
}

func (b *Baseline) sarif(data []byte) error {
	var log struct {
		Runs []struct {
			Properties struct {
				Gate string `json:"gate"`
			} `json:"properties"`
			Results []oldResult `json:"results"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(data, &log); err != nil {
		return fmt.Errorf("it is no SARIF 2.1.0: %w", err)
	}
	for _, run := range log.Runs {
		for _, r := range run.Results {
			switch f := r.Fingerprints[fingerprintKey]; {
			case strings.HasPrefix(r.Rule, "drawspan/"), r.State == "absent":
				continue // a verdict is never a finding
			case f != "" && run.Properties.Gate != "":
				b.exact[exactKey(run.Properties.Gate, f)] = true
			case r.Rule == "" || r.Message.Text == "" || len(r.Locations) == 0:
				continue // it would match too much
			default:
				b.loose[looseKey(r.Rule, pathOf(r.Locations[0].Physical.Artifact.URI), r.Message.Text)]++
			}
			b.size++
		}
	}
	return b.bounded()
}

func (b *Baseline) bounded() error {
	if b.size > maxKnown {
		return fmt.Errorf("it has more than %d findings", maxKnown)
	}
	return nil
}

func pathOf(uri string) string {
	path, err := url.PathUnescape(strings.TrimPrefix(uri, "./"))
	if err != nil {
		return uri
	}
	return path
}
