package term

// Tone is what a piece of text means; the palette turns it into a colour.
type Tone int

// The tones.
const (
	Plain Tone = iota
	Strong
	Faint
	Good
	Bad
	Busy
	Ask  // waits for a person
	Note // a remark that must not be missed: simulated
)

const reset = "\x1b[0m"

// The sixteen colours of the terminal's own theme; nothing that could vanish on a light background.
var codes = map[Tone]string{
	Strong: "\x1b[1m",
	Faint:  "\x1b[2m",
	Good:   "\x1b[32m",
	Bad:    "\x1b[31m",
	Busy:   "\x1b[36m",
	Ask:    "\x1b[33m",
	Note:   "\x1b[35m",
}

// Palette paints text within the means of a profile.
type Palette struct {
	color  bool
	glyphs bool
}

// Palette is the profile's palette.
func (p Profile) Palette() Palette { return Palette{color: p.Color, glyphs: p.Glyphs} }

// Paint colours s. The text itself must be clean already.
func (p Palette) Paint(t Tone, s string) string {
	if !p.color || s == "" || codes[t] == "" {
		return s
	}
	return codes[t] + s + reset
}

// The marks, and what stands for them where there is only ASCII.
var (
	marks = map[Tone]string{Good: "✓", Bad: "✗", Busy: "●", Ask: "?", Faint: "○", Plain: "·", Note: "!"}
	ascii = map[Tone]string{Good: "+", Bad: "x", Busy: "*", Ask: "?", Faint: "o", Plain: "-", Note: "!"}
)

// Mark is the painted symbol of a tone. It never stands without its word.
func (p Palette) Mark(t Tone) string {
	if p.glyphs {
		return p.Paint(t, marks[t])
	}
	return p.Paint(t, ascii[t])
}
