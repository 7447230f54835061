package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

// F15: what a reader of the diff sees is what is there.
func TestF15_CharactersThatHideOrReorderTextAreFound(t *testing.T) {
	for name, text := range map[string]string{
		"override":            "if access != \"user\u202e \u2066// check\u2069 \u2066\" {",
		"isolate":             "a \u2067b",
		"mark":                "a\u200fb",
		"zero width space":    "pass\u200bword",
		"joiner in a word":    "pass\u200dword",
		"mark in the middle":  "a\ufeffb",
		"hangul filler":       "const { a,\u3164} = b",
		"tag":                 "hello\U000e0041",
		"selector on letter":  "a\ufe0f",
		"many selectors":      "😀\ufe0f\ufe0f",
		"selector supplement": "x\U000e0100",
		"escape":              "\x1b[2K ok",
		"control sequence":    "\u009b2K ok",
		"carriage return":     "rm -rf /\recho ok",
		"soft hyphen":         "ad\u00admin",
		"line separator":      "// x\u2028evil()",
		"first on a line":     "\u200d",
	} {
		v := judged(t, `{}`, changed(t, files{"a.go": "1\n"}, files{"a.go": "1\n2\n" + text + "\n"}))
		if got := told(v); v.Outcome != sdk.Fail || !slices.Equal(got, []string{"hidden-character a.go:3"}) {
			t.Errorf("%s: %s %q", name, v.Outcome, got)
		}
		if strings.ContainsFunc(v.Message, func(r rune) bool { return suspicious(r) != "" }) {
			t.Errorf("%s: the message has one too: %q", name, v.Message)
		}
	}
}

func TestTextOfEveryLanguageIsLeftAlone(t *testing.T) {
	for name, text := range map[string]string{
		"ascii":           "a\tb\f\n",
		"crlf":            "a\r\nb\r\n",
		"order mark":      "\ufeffusing System;\n",
		"emoji":           "ok 👍 ❤\ufe0f 👩\u200d💻 1\ufe0f\u20e3 👨\u200d👩\u200d👧 🏳\ufe0f\u200d🌈\n",
		"persian":         "می\u200cخواهم\n",
		"hindi":           "क्\u200dष\n",
		"hebrew":          "שלום world\n",
		"chinese":         "你好，世界\n",
		"accents":         "e\u0301 é ü ß\n",
		"no text":         "",
		"latin-1":         "caf\xe9\n",
		"without newline": "x",
	} {
		if v := judged(t, `{}`, changed(t, nil, files{"a.txt": text})); v.Outcome != sdk.Pass {
			t.Errorf("%s: %s %+v", name, v.Outcome, v.Findings)
		}
	}
}

func TestOnlyWhatIsAddedIsJudged(t *testing.T) {
	old := "a\u202eb\nx\n"
	if v := judged(t, `{}`, changed(t, files{"a": old, "gone": old}, files{"a": old + "y\n"})); v.Outcome != sdk.Pass {
		t.Errorf("%s %q", v.Outcome, told(v))
	}
}

func TestNamesOfFilesAreJudgedToo(t *testing.T) {
	v := judged(t, `{}`, changed(t, files{"old\u202e": "x\n"}, files{"a\u202egpj.exe": "x\n", "b\nc": "y\n", "d\x1b[": "", "ok é.txt": "x\n", "\xff": "x\n"}))
	want := []string{"hidden-character a\u202egpj.exe", "hidden-character b\nc", "hidden-character d\x1b["}
	if got := told(v); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestALinksTargetIsAnAddedLine(t *testing.T) {
	v := judged(t, `{"symlink":"ignore"}`, changed(t, nil, files{"l": "link:a\u200bb"}))
	if got := told(v); !slices.Equal(got, []string{"hidden-character l:1"}) {
		t.Errorf("%q", got)
	}
}

func FuzzHidden(f *testing.F) {
	f.Add("a\u202eb", true)
	f.Add("👩\u200d💻\ufe0f", false)
	f.Add("\xff\r\x00\ufeff", true)
	f.Fuzz(func(t *testing.T, text string, first bool) {
		found := hiddenIn(text, first)
		if plain(text) && len(found) > 0 {
			t.Errorf("%q has %q", text, found)
		}
		for r := range orders {
			// No neighbour makes a reordering character lawful.
			if strings.ContainsRune(text, r) && len(found) == 0 {
				t.Errorf("%q passes with U+%04X", text, r)
			}
		}
		if strings.ContainsFunc(listed(found), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is shown raw", found)
		}
	})
}
