package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/escape/catalogue"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// line is one row of the table and one line of the JSON file.
type line struct {
	Probe    string `json:"probe"`
	Name     string `json:"name"`
	Layer    string `json:"layer"`
	Claimed  string `json:"claimed_from"` // the lowest level that claims the refusal
	Level    string `json:"level"`
	Backend  string `json:"backend"`
	Refused  bool   `json:"refused"`
	Broken   bool   `json:"broken,omitempty"`
	Detail   string `json:"detail"`
	Feed     string `json:"feed,omitempty"`     // what the kernel reported
	Control  string `json:"control"`            // how the probe is known to work
	Proof    string `json:"proof"`              // "open", "differs", "reported", "plain" or "none"
	Without  string `json:"without,omitempty"`  // the layers left out in the control
	Excepted string `json:"excepted,omitempty"` // why this back-end does not refuse it, although the level does
}

// Proofs, strongest first.
const (
	proofOpen     = "open"     // without the layers it gets through
	proofPlain    = "plain"    // without any sandbox it gets through
	proofReported = "reported" // the kernel named the layer's refusal
	proofDiffers  = "differs"  // without the layers the answer is another
	proofNone     = "none"     // not provable here
)

// try runs one probe inside, and its controls.
func (g *rig) try(p *catalogue.Probe, plainToo bool) (line, error) {
	if why := cannot(g.backend, p); why != "" {
		return line{Probe: p.ID, Name: p.Title, Layer: p.Layer, Claimed: p.Level, Level: g.level, Backend: g.backend, Detail: "not run", Excepted: why}, nil
	}
	r, err := g.confined(p, nil)
	if err != nil {
		return line{}, err
	}
	l := line{Probe: p.ID, Name: p.Title, Layer: p.Layer, Claimed: p.Level, Level: g.level, Backend: g.backend,
		Refused: r.refused(), Broken: r.broken(), Detail: r.detail(), Feed: named(r.reported), Without: strings.Join(p.Walls, ",")}
	if !l.Refused {
		l.Excepted = exceptions(g.backend)[p.ID]
		return l, nil // there is nothing to prove
	}
	return l, g.control(p, r, &l, plainToo)
}

func named(reported map[string]int64) string {
	names := make([]string, 0, len(reported))
	for n := range reported {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// control finds the strongest proof that the probe works.
func (g *rig) control(p *catalogue.Probe, r *result, l *line, plainToo bool) error {
	answer := ""
	if len(p.Walls) > 0 {
		c, err := g.confined(p, p.Walls)
		if err != nil {
			return err
		}
		if answer = c.detail(); c.open() {
			l.Proof, l.Control = proofOpen, answer
			return nil
		}
	}
	if plainToo && p.Where == catalogue.Anywhere {
		c, err := g.plain(p, unconfined)
		if err != nil {
			return err
		}
		if c.open() {
			l.Proof, l.Control = proofPlain, c.detail()
			return nil
		}
		answer = cmp.Or(answer, c.detail())
	}
	l.Proof, l.Control = weaker(p, l, answer)
	return nil
}

// weaker is what proves the probe where nothing made it get through: the answer is what it got without the
// layers.
func weaker(p *catalogue.Probe, l *line, answer string) (proof, text string) {
	switch {
	case p.Layer == catalogue.Seccomp && l.Feed != "":
		return proofReported, "the kernel's feed names " + l.Feed
	case answer != "" && answer != l.Detail:
		return proofDiffers, answer
	}
	return proofNone, "not provable here: " + cmp.Or(p.Note, answer, "there is no layer to leave out")
}

// unconfined runs a probe as a program of this user, with the variables that a careless daemon would pass on.
func unconfined(w *world, argv []string) *exec.Cmd {
	return &exec.Cmd{Path: argv[0], Args: append([]string{"probe"}, argv[1:]...), Env: append(os.Environ(), w.careless()...), Dir: w.target.Tree}
}

func writeJSON(file string, lines []line) (err error) {
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	enc := json.NewEncoder(f)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// claimed reports that the level says to refuse it.
func (l *line) claimed() bool { return spec.AtLeast(l.Level, l.Claimed) }

func printTable(out io.Writer, g *rig, lines []line) (int, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-4s %-62s %-12s %-9s %-9s %s\n", "#", "probe", "layer", "from", "", "inside | control")
	bad, refusedCount, unproved, unclaimed, lower := 0, 0, 0, 0, 0
	proofs := make(map[string]int)
	for _, l := range lines {
		word := "refused"
		switch {
		case l.Broken:
			word, bad = "BROKEN", bad+1
		case !l.Refused && l.Excepted != "":
			word, unclaimed = "unclaimed", unclaimed+1
		case !l.Refused && l.claimed():
			word, bad = "THROUGH", bad+1
		case !l.Refused:
			word, lower = "through", lower+1
		default:
			refusedCount++
			proofs[l.Proof]++
		}
		if l.Proof == proofNone {
			unproved++
		}
		fmt.Fprintf(&b, "%-4s %-62s %-12s %-9s %-9s %s | %s\n", l.Probe, clip(l.Name, 62), l.Layer, l.Claimed, word, clip(l.Detail, 60), control(&l))
	}
	fmt.Fprintf(&b, "\n%d of %d refused at level %s, back-end %s; %d let through that the level claims, or broken; %d not claimed by the back-end, %d claimed by higher levels only\n",
		refusedCount, len(lines), g.level, g.backend, bad, unclaimed, lower)
	fmt.Fprintf(&b, "controls: %d get through without the layer, %d without any sandbox, %d named by the kernel's feed, %d answer differently, %d not provable here\n",
		proofs[proofOpen], proofs[proofPlain], proofs[proofReported], proofs[proofDiffers], unproved)
	if _, err := io.WriteString(out, b.String()); err != nil {
		return 1, err
	}
	if bad > 0 {
		return 1, nil
	}
	return 0, nil
}

func control(l *line) string {
	switch l.Proof {
	case proofOpen:
		return "without " + l.Without + ": " + clip(l.Control, 60)
	case proofPlain:
		return "without a sandbox: " + clip(l.Control, 60)
	case proofDiffers:
		return "otherwise: " + clip(l.Control, 60)
	case "":
		return l.Excepted
	}
	return clip(l.Control, 90)
}

func clip(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n-2], "") + ".."
}
