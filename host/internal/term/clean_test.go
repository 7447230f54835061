package term

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile are samples that would command a terminal or deceive its reader if they got through.
var hostile = []struct{ name, in, line, text string }{
	{"plain text stays", "go test ./...", "go test ./...", "go test ./..."},
	{"colour goes without a trace", "\x1b[31;1mFAIL\x1b[0m", "FAIL", "FAIL"},
	{"clearing the screen is marked", "a\x1b[2J\x1b[Hb", "a��b", "a��b"},
	{"a window title is marked", "a\x1b]0;evil\x07b", "a�b", "a�b"},
	{"a title ended by ST is marked", "a\x1b]0;evil\x1b\\b", "a�b", "a�b"},
	{"a hyperlink shows its text only", "\x1b]8;;http://evil\x1b\\safe\x1b]8;;\x1b\\", "�safe�", "�safe�"},
	{"clipboard writes are marked", "\x1b]52;c;ZXZpbA==\x07", "�", "�"},
	{"a device string is marked", "\x1bPq#0\x1b\\x", "�x", "�x"},
	{"an open sequence cannot swallow the next line", "\x1b]0;a\nb", "�␊b", "�\nb"},
	{"an open control sequence ends at a control", "\x1b[12\nb", "�␊b", "�\nb"},
	{"8-bit control introducers work the same", "a\u009b2Jb\u009d0;x\u009cc", "a�b�c", "a�b�c"},
	{"a lone escape is marked", "a\x1b", "a�", "a�"},
	{"escape before escape", "\x1b\x1b[2Jx", "��x", "��x"},
	{"a charset switch is marked", "\x1b(0lqk", "�0lqk", "�0lqk"},
	{"bells and backspaces", "a\a\b\x7fb", "a���b", "a���b"},
	{"carriage return cannot overwrite", "safe\revil", "safe␊evil", "safe\nevil"},
	{"CR LF is one line break", "a\r\nb", "a␊b", "a\nb"},
	{"CR at the end", "a\r", "a␊", "a\n"},
	{"right-to-left override", "gpj.\u202eexe.txt", "gpj.�exe.txt", "gpj.�exe.txt"},
	{"isolates and marks", "\u2066a\u2069\u200e\u061c", "�a���", "�a���"},
	{"zero-width joiners and spaces", "ad\u200bmin\u200d\ufeff", "ad�min��", "ad�min��"},
	{"tags that hide text", "a\U000e0041\U000e0001", "a��", "a��"},
	{"line and paragraph separators", "a\u2028b\u2029", "a�b�", "a�b�"},
	{"Hangul fillers", "a\u3164b\uffa0", "a�b�", "a�b�"},
	{"soft hyphen", "a\u00adb", "a�b", "a�b"},
	{"broken UTF-8", "a\xff\xc3(", "a��(", "a��("},
	{"NUL", "a\x00b", "a�b", "a�b"},
	{"tabs and line breaks", "a\tb\nc", "a b␊c", "a\tb\nc"},
	{"letters of the world stay", "größe 日本語 עברית e\u0301", "größe 日本語 עברית e\u0301", "größe 日本語 עברית e\u0301"},
}

func TestHostileTextLosesItsTeeth(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			if got := Line(c.in); got != c.line {
				t.Errorf("Line(%q) = %q, want %q", c.in, got, c.line)
			}
			if got := Text(c.in); got != c.text {
				t.Errorf("Text(%q) = %q, want %q", c.in, got, c.text)
			}
		})
	}
}

func TestPaintedKeepsColoursAndNothingElse(t *testing.T) {
	painted := Palette{color: true, glyphs: true}.Paint(Good, "ok")
	for in, want := range map[string]string{
		painted:                          painted,
		painted + "\x1b[2Jx\n\x1b]0;t\a": painted + "\uFFFDx␊\uFFFD",
		"\x1b[1;31mx\x1b[0m":             "\x1b[1;31mx\x1b[0m",
		"\x1b[?25mx":                     "x",
		"\x1b[38;2;255;100;100mx":        "x",
		"plain":                          "plain",
	} {
		if got := Painted(in); got != want {
			t.Errorf("Painted(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestACleanerJoinsWhatWasCutBetweenWrites(t *testing.T) {
	for _, c := range hostile {
		for size := 1; size <= 3; size++ {
			if got := streamed(t, c.in, size); got != c.text {
				t.Errorf("%s, %d bytes a write: %q, want %q", c.name, size, got, c.text)
			}
		}
	}
}

func streamed(t *testing.T, in string, size int) string {
	t.Helper()
	var out bytes.Buffer
	c := NewCleaner(&out)
	for rest := []byte(in); len(rest) > 0; {
		n := min(size, len(rest))
		if m, err := c.Write(rest[:n]); err != nil || m != n {
			t.Fatalf("Write = %d, %v", m, err)
		}
		rest = rest[n:]
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// FuzzClean holds the promise of the package comment for any bytes, whole and in pieces.
func FuzzClean(f *testing.F) {
	for _, c := range hostile {
		f.Add([]byte(c.in), 2)
	}
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		text := Text(string(in))
		assertSafe(t, text, "\n\t")
		assertSafe(t, Line(string(in)), "")
		if Line(Line(string(in))) != Line(string(in)) {
			t.Errorf("cleaning twice differs for %q", in)
		}
		assertSafe(t, Painted(string(in)), "\x1b\t")
		if size < 1 || size > 64 {
			size = 1
		}
		if got := streamed(t, string(in), size); got != text {
			t.Errorf("in pieces of %d: %q, whole: %q", size, got, text)
		}
	})
}

func assertSafe(t *testing.T, s, allowed string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("not UTF-8: %q", s)
	}
	for _, r := range s {
		if strings.ContainsRune(allowed, r) {
			continue
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			t.Errorf("%U got through in %q", r, s)
		}
	}
}
