package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/internal/term"
)

// tones says what each word of the API means; a word that is not here is neutral.
var tones = map[string]term.Tone{
	"open": term.Busy, "closed": term.Plain,
	"queued": term.Faint, "active": term.Busy, "held": term.Ask,
	"passed": term.Good, "rejected": term.Bad, "failed": term.Bad, "cancelled": term.Plain,
	"preparing": term.Busy, "running": term.Busy, "waiting": term.Ask, "collecting": term.Busy,
	"validating": term.Busy, "stopping": term.Ask,
	"succeeded": term.Good, "no_change": term.Plain, "denied": term.Bad, "timed_out": term.Bad,
	"budget_exceeded": term.Bad, "executor_error": term.Bad, "infra_error": term.Bad, "lost": term.Bad,
	"pass": term.Good, "warn": term.Ask, "fail": term.Bad, "skip": term.Plain, "error": term.Bad,
	"pending": term.Faint, "hold": term.Ask,
	"allowed": term.Good, "answered": term.Good,
	"ok": term.Good, "mismatch": term.Bad, "not_locked": term.Ask, "missing": term.Bad, "refused": term.Bad, "changed": term.Bad,
}

// look paints words for one output.
type look struct {
	term.Palette
	profile term.Profile
}

func newLook(p term.Profile) look { return look{Palette: p.Palette(), profile: p} }

// state is a state as a mark and its word.
func (l look) state(word string) string {
	t := tones[word]
	return l.Mark(t) + " " + l.word(word)
}

// word is a state's word alone.
func (l look) word(word string) string {
	t := tones[word]
	if t == term.Faint || t == term.Plain {
		return term.Line(strings.ReplaceAll(word, "_", " "))
	}
	return l.Paint(t, term.Line(strings.ReplaceAll(word, "_", " ")))
}

func (l look) strong(s string) string { return l.Paint(term.Strong, term.Line(s)) }
func (l look) faint(s string) string  { return l.Paint(term.Faint, term.Line(s)) }

// simulated is the label that every view of something simulated carries, or nothing.
func (l look) simulated(yes bool) string {
	if !yes {
		return ""
	}
	return l.Paint(term.Note, "["+simulatedMarker+"]")
}

// command is a command to paste.
func (l look) command(s string) string { return l.Paint(term.Busy, term.Line(s)) }

// quote is a person's or executor's text, cut to one line.
func (l look) quote(s string) string {
	open, shut := "“", "”"
	if !l.profile.Glyphs {
		open, shut = "\"", "\""
	}
	return open + firstLine(s) + shut
}

// join puts the parts that are not empty side by side.
func join(parts ...string) string {
	kept := parts[:0:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "  ")
}

// firstLine is the first line of s that holds something, cleaned, with an ellipsis if more follows.
func firstLine(s string) string {
	s = strings.TrimSpace(term.Text(s))
	line, rest, more := strings.Cut(s, "\n")
	line = strings.Join(strings.Fields(line), " ")
	if more && strings.TrimSpace(rest) != "" {
		line += " …"
	}
	return line
}

// span is a duration as people say it: two units at most.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Truncate(100*time.Millisecond).Seconds()), ".0") + "s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// clock is a whole-second span for a view that ticks.
func clock(d time.Duration) string {
	if d < time.Second {
		return "0s"
	}
	return span(d.Truncate(time.Second))
}

// when is a time for people: how long ago on a terminal, RFC 3339 elsewhere.
func (l look) when(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	if !l.profile.TTY {
		return at.UTC().Format(time.RFC3339)
	}
	if d := now.Sub(at); d >= 0 {
		return clock(d) + " ago"
	}
	return "in " + clock(at.Sub(now))
}

// bytesOf is a size as people say it.
func bytesOf(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 3 {
		f, i = f/unit, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGT"[i])
}

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "s") || strings.HasSuffix(noun, "x") {
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// shortID is an id short enough to read and long enough to be unique in practice: the time of its
// making and twenty random bits.
func (l look) shortID(id string) string {
	id = term.Line(id)
	prefix, rest, ok := strings.Cut(id, "_")
	if !l.profile.TTY || !ok || len(rest) <= 14 {
		return id
	}
	return prefix + "_" + rest[:14]
}

// commit is an object id as git abbreviates it.
func commit(id string) string {
	id = term.Line(id)
	return id[:min(len(id), 10)]
}
