package config

import (
	"bytes"
	"slices"
	"testing"
)

func TestFormatIsCanonicalAndIdempotent(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		"a=1\nbcd   =  2\n":                      "a   = 1\nbcd = 2\n",
		"x   \"y\"{\n    a=1 # why\n  }":         "x \"y\" {\n  a = 1 # why\n}",
		"a = [\n1,\n  2,\n]\n":                   "a = [\n  1,\n  2,\n]\n",
		"a = <<-E\n   text\n  E\nb  =1\n":        "a = <<-E\n   text\n  E\nb = 1\n",
		"when=diff.lines>4||touches(diff,\"*\")": "when = diff.lines > 4 || touches(diff, \"*\")",
	} {
		got, diags := Format([]byte(in), "x.hcl")
		if string(got) != want || len(diags) > 0 {
			t.Errorf("%q: got %q, want %q (%s)", in, got, want, rendered(diags))
		}
		again, _ := Format(got, "x.hcl")
		if !bytes.Equal(again, got) {
			t.Errorf("%q is not stable: %q", got, again)
		}
	}
}

func TestFormatDoesNotTouchWhatItCannotRead(t *testing.T) {
	for name, row := range map[string]struct{ file, text, want string }{
		"broken": {"x.hcl", "a = {\n", "syntax 2:1"},
		"binary": {"x.hcl", "\x00", "encoding 1:1"},
		"JSON":   {"x.hcl.json", "{}", "syntax 0:0"},
		"twice":  {"x.hcl", "a = 1\na = 2\n", "duplicate_attribute 2:1"},
	} {
		got, diags := Format([]byte(row.text), row.file)
		if string(got) != row.text || !slices.Equal(brief(diags), []string{row.want}) {
			t.Errorf("%s: got %q, %q", name, got, brief(diags))
		}
	}
}
