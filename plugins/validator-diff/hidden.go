package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// orders are the characters that change the order in which text is shown (Trojan Source, CVE-2021-42574).
var orders = map[rune]string{
	0x061C: "ARABIC LETTER MARK", 0x200E: "LEFT-TO-RIGHT MARK", 0x200F: "RIGHT-TO-LEFT MARK",
	0x202A: "LEFT-TO-RIGHT EMBEDDING", 0x202B: "RIGHT-TO-LEFT EMBEDDING", 0x202C: "POP DIRECTIONAL FORMATTING",
	0x202D: "LEFT-TO-RIGHT OVERRIDE", 0x202E: "RIGHT-TO-LEFT OVERRIDE", 0x2066: "LEFT-TO-RIGHT ISOLATE",
	0x2067: "RIGHT-TO-LEFT ISOLATE", 0x2068: "FIRST STRONG ISOLATE", 0x2069: "POP DIRECTIONAL ISOLATE",
}

// invisible are characters that show nothing, or nothing of what they do.
var invisible = map[rune]string{
	0x00AD: "SOFT HYPHEN", 0x034F: "COMBINING GRAPHEME JOINER", 0x115F: "HANGUL CHOSEONG FILLER",
	0x1160: "HANGUL JUNGSEONG FILLER", 0x17B4: "KHMER VOWEL INHERENT AQ", 0x17B5: "KHMER VOWEL INHERENT AA",
	0x180E: "MONGOLIAN VOWEL SEPARATOR", 0x200B: "ZERO WIDTH SPACE", 0x200C: "ZERO WIDTH NON-JOINER",
	0x200D: "ZERO WIDTH JOINER", 0x2028: "LINE SEPARATOR", 0x2029: "PARAGRAPH SEPARATOR", 0x2060: "WORD JOINER",
	0x2061: "FUNCTION APPLICATION", 0x2062: "INVISIBLE TIMES", 0x2063: "INVISIBLE SEPARATOR", 0x2064: "INVISIBLE PLUS",
	0x3164: "HANGUL FILLER", 0xFEFF: "ZERO WIDTH NO-BREAK SPACE", 0xFFA0: "HALFWIDTH HANGUL FILLER",
	0x1B: "ESCAPE", 0x08: "BACKSPACE", 0x0D: "CARRIAGE RETURN inside of a line",
}

// joined are the scripts whose words are written with joiners.
var joined = []*unicode.RangeTable{unicode.Arabic, unicode.Syriac, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi,
	unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala,
	unicode.Khmer, unicode.Myanmar, unicode.Mongolian, unicode.Mandaic, unicode.Nko}

// ranges are more of them.
var ranges = []struct {
	from, to rune
	name     string
}{
	{0, 0x08, "CONTROL CHARACTER"}, {0x0A, 0x0B, "CONTROL CHARACTER"}, {0x0E, 0x1F, "CONTROL CHARACTER"},
	{0x7F, 0x9F, "CONTROL CHARACTER"}, {0x206A, 0x206F, "FORMAT CHARACTER"}, {0xFFF9, 0xFFFB, "FORMAT CHARACTER"},
	{0xE0000, 0xE007F, "TAG CHARACTER"}, {0x180B, 0x180D, selector}, {0xFE00, 0xFE0F, selector}, {0xE0100, 0xE01EF, selector},
}

const selector = "VARIATION SELECTOR"

// suspicious names a character that hides or reorders text, "" for any other.
func suspicious(r rune) string {
	name := cmp.Or(orders[r], invisible[r])
	for i := 0; name == "" && i < len(ranges); i++ {
		if r >= ranges[i].from && r <= ranges[i].to {
			name = ranges[i].name
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf("U+%04X %s", r, name)
}

// hiddenIn lists the suspicious characters of a text, each once. first tells that the text begins its file, where a
// byte order mark may stand.
func hiddenIn(text string, first bool) []string {
	if plain(text) {
		return nil
	}
	var found []string
	runes := []rune(strings.TrimSuffix(text, "\r"))
	for i, r := range runes {
		name := suspicious(r)
		if name == "" || r == 0xFEFF && first && i == 0 || lawful(runes, i) {
			continue
		}
		if !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	return found
}

// plain tells of a text of printable ASCII, which nearly every line is.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c >= 0x7F {
			return false
		}
	}
	return true
}

// lawful tells of a character that its neighbours need: in emoji, and in scripts that join letters.
func lawful(runes []rune, i int) bool {
	if i == 0 {
		return false
	}
	before := runes[i-1]
	switch r := runes[i]; {
	case r == 0xFE0E || r == 0xFE0F:
		return pictorial(before)
	case (r == 0x200C || r == 0x200D) && i+1 < len(runes):
		after := runes[i+1]
		return unicode.In(before, joined...) && unicode.In(after, joined...) ||
			r == 0x200D && (pictorial(before) || before == 0xFE0F) && pictorial(after)
	}
	return false
}

// pictorial tells of a symbol, and of what an emoji is made of beside symbols.
func pictorial(r rune) bool {
	return unicode.In(r, unicode.So, unicode.Sm, unicode.Sk) && r > 0x7F || strings.ContainsRune("0123456789#*\u203C\u2049", r)
}

// most characters that one message names.
const mostNamed = 5

func listed(found []string) string {
	more := ""
	if len(found) > mostNamed {
		more = fmt.Sprintf(" and %d others", len(found)-mostNamed)
		found = found[:mostNamed]
	}
	return strings.Join(found, ", ") + more
}
