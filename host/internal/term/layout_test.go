package term

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestWidthCountsColumnsNotBytes(t *testing.T) {
	cases := []struct {
		in   string
		want int
	}{
		{"", 0}, {"abc", 3}, {"größe", 5}, {"日本", 4}, {"e\u0301", 1}, {"🙂", 2}, {"\x1b[31mred\x1b[0m", 3}, {"✓ ok", 4},
	}
	for _, c := range cases {
		if got := Width(c.in); got != c.want {
			t.Errorf("Width(%q) = %d, want %d", c.in, got, c.want)
		}
	}
}

func TestCutNeverExceedsTheWidthAndClosesColour(t *testing.T) {
	cases := []struct {
		in    string
		width int
		want  string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"abc", 1, "…"}, {"abc", 0, ""},
		{"日本語", 5, "日本…"}, {"日本語", 4, "日…"},
		{"\x1b[31mabcdef\x1b[0m", 4, "\x1b[31mabc…\x1b[0m"},
		{"\x1b[31mab\x1b[0mcdef", 4, "\x1b[31mab\x1b[0mc…"},
	}
	for _, c := range cases {
		got := Cut(c.in, c.width)
		if got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.in, c.width, got, c.want)
		}
		if Width(got) > c.width {
			t.Errorf("Cut(%q, %d) is %d wide", c.in, c.width, Width(got))
		}
	}
}

func TestWrapBreaksAtSpaces(t *testing.T) {
	got := strings.Join(Wrap("one two three\nfour fiiiiiiiive", 8), "|")
	if want := "one two|three|four|fiiiiii…"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestATableGivesWayInOneColumnOnly(t *testing.T) {
	table := Table{Head: []string{"ID", "TITLE", "STATE"}, Flex: 1, Rows: [][]string{
		{"run_1", "a title that is much too long for it", "open"},
		{"run_22", "short", "closed"},
	}}
	got := strings.Join(table.Lines(Profile{TTY: true, Width: 40}), "\n")
	want := strings.TrimPrefix(`
ID      TITLE                     STATE
run_1   a title that is much to…  open
run_22  short                     closed`, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	whole := strings.Join(table.Lines(Profile{}), "\n")
	if !strings.Contains(whole, "much too long for it") {
		t.Errorf("a pipe got a cut table:\n%s", whole)
	}
}

func TestATreeDrawsNotesAndKids(t *testing.T) {
	tree := Node{Text: "run", Notes: []string{"note of run"}, Kids: []Node{
		{Text: "step 1", Notes: []string{"note of 1"}, Kids: []Node{{Text: "attempt"}, {Text: "gate"}}},
		{Text: "step 2", Notes: []string{"note of 2"}},
	}}
	want := map[bool]string{true: `
run
│  note of run
├─ step 1
│  │  note of 1
│  ├─ attempt
│  └─ gate
└─ step 2
      note of 2`, false: "\n" + `run
|  note of run
|- step 1
|  |  note of 1
|  |- attempt
|  ` + "`" + `- gate
` + "`" + `- step 2
      note of 2`}
	for glyphs, want := range want {
		got := "\n" + strings.Join(tree.Lines(Profile{Glyphs: glyphs}), "\n")
		if got != want {
			t.Errorf("glyphs %v: got%s\nwant%s", glyphs, got, want)
		}
	}
}

func TestTheProfileObeysTheEnvironment(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cases := []struct {
		name string
		env  map[string]string
		off  bool
		want Profile
	}{
		{"a pipe has neither colour nor width", nil, false, Profile{Glyphs: true}},
		{"forced terminal", map[string]string{"DRAWSPAN_FORCE_TTY": "1"}, false, Profile{TTY: true, Color: true, Glyphs: true, Width: 80}},
		{"forced width", map[string]string{"DRAWSPAN_FORCE_TTY": "120"}, false, Profile{TTY: true, Color: true, Glyphs: true, Width: 120}},
		{"NO_COLOR", map[string]string{"DRAWSPAN_FORCE_TTY": "1", "NO_COLOR": "1"}, false, Profile{TTY: true, Glyphs: true, Width: 80}},
		{"NO_COLOR beats force", map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, false, Profile{Glyphs: true}},
		{"CLICOLOR_FORCE in a pipe", map[string]string{"CLICOLOR_FORCE": "1"}, false, Profile{Color: true, Glyphs: true}},
		{"CLICOLOR=0", map[string]string{"DRAWSPAN_FORCE_TTY": "1", "CLICOLOR": "0"}, false, Profile{TTY: true, Glyphs: true, Width: 80}},
		{"TERM=dumb", map[string]string{"DRAWSPAN_FORCE_TTY": "1", "TERM": "dumb"}, false, Profile{TTY: true, Width: 80}},
		{"the flag beats all", map[string]string{"CLICOLOR_FORCE": "1"}, true, Profile{Glyphs: true}},
		{"another locale", map[string]string{"LANG": "de_DE.ISO-8859-1"}, false, Profile{}},
		{"LC_ALL first", map[string]string{"LC_ALL": "C.UTF-8", "LANG": "C"}, false, Profile{Glyphs: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.want.Height = 24
			got := Detect(null.Fd(), func(k string) string { return c.env[k] }, c.off)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestEveryMarkHasAnASCIITwin(t *testing.T) {
	for tone, glyph := range marks {
		if Width(glyph) != 1 || len(ascii[tone]) != 1 {
			t.Errorf("tone %d: %q and %q are not one column each", tone, glyph, ascii[tone])
		}
	}
}

// screen plays the few sequences that Live uses, to see what a reader sees.
type screen struct {
	lines []string
	row   int
}

func (s *screen) Write(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if p[i] != 0x1b {
			j := bytes.IndexAny(p[i:], "\x1b\n\r")
			switch {
			case j == 0 && p[i] == '\n':
				s.row++
				i++
			case j == 0:
				i++
			default:
				if j < 0 {
					j = len(p) - i
				}
				s.at()
				s.lines[s.row] += string(p[i : i+j])
				i += j
			}
			continue
		}
		n := sequence(string(p[i:]))
		switch seq := string(p[i+2 : i+n]); {
		case seq == "2K":
			s.at()
			s.lines[s.row] = ""
		case seq == "J":
			s.lines = s.lines[:min(s.row, len(s.lines))]
		case strings.HasSuffix(seq, "A"):
			up := 0
			for _, d := range seq[:len(seq)-1] {
				up = up*10 + int(d-'0')
			}
			s.row -= up
		}
		i += n
	}
	return len(p), nil
}

func (s *screen) at() {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, "")
	}
}

func TestTheLiveViewRedrawsInPlace(t *testing.T) {
	s := &screen{}
	l := NewLive(s, Profile{Height: 8})
	frames := [][]string{{"a", "b", "c"}, {"a", "B"}, {"1", "2", "3", "4", "5", "6", "7", "8", "9"}}
	wants := []string{"a|b|c", "a|B", "1|2|… 3 more lines …|6|7|8|9"}
	for i, f := range frames {
		if err := l.Draw(f); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.lines, "|"); got != wants[i] {
			t.Errorf("frame %d: %q, want %q", i, got, wants[i])
		}
	}
	if err := l.Finish(frames[2]); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.lines, "|"); got != "1|2|3|4|5|6|7|8|9" {
		t.Errorf("the last frame is cut: %q", got)
	}
}
