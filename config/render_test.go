package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

var update = flag.Bool("update", false, "write golden files and the reference")

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run with -update to write it. Got:\n%s", file, got)
	}
}

// faulty has problems of every kind of place: a name, a value, a list element, a block, a whole file.
const faulty = `version = 1

daemon {
  listen = "0.0.0.0:7070"
  retention {
    bodies = "30d"
  }
}

sandbox "box" {
  levle = "isolated"
}

executor "codex" {
  plugin = "codex"
}

workspace "api" {
  root      = "src/api"
  base      = "main"
  executors = ["codx"]
  paths {
    forbid = ["**/*.pem"]
  }
  provision {
    copy = [".env.test"]
  }
  gate "review" {
    when = diff.line > 400
    hold = "look"
  }
}

workspace "web" {
  root      = "~/src/web"
  base      = "main"
  executors = ["codex"]
  provision {
    copy = ["not-there"]
  }
}
`

func faultyDiagnostics(t *testing.T) Diagnostics {
	w := newWorld(t)
	_, diags := w.load(faulty)
	for i := range diags {
		diags[i].Hint = strings.ReplaceAll(diags[i].Hint, w.dir, "/cwd")
		diags[i].Summary = strings.ReplaceAll(diags[i].Summary, w.dir, "/cwd")
	}
	return diags
}

func TestAllProblemsAreFoundInOnePass(t *testing.T) {
	want := []string{
		"not_loopback 4:12", "not_supported_yet 5:3", "unknown_attribute 11:3", "missing_attribute 14:1",
		"path_not_absolute 19:15", "unknown_reference 21:16", "unenforced_limit 23:14", "unknown_reference 29:12",
		"path_missing 39:13",
	}
	if got := brief(faultyDiagnostics(t)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTextShowsThePlaceTheLineAndTheFix(t *testing.T) {
	diags := faultyDiagnostics(t)
	for name, style := range map[string]struct {
		width int
		color bool
	}{"diagnostics.txt": {100, false}, "diagnostics-narrow.txt": {44, false}, "diagnostics-color.txt": {100, true}} {
		var b bytes.Buffer
		if err := diags.Text(&b, style.width, style.color); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func TestJSONHasTheShapeThatEditorsRead(t *testing.T) {
	var b bytes.Buffer
	if err := faultyDiagnostics(t).JSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "diagnostics.json", b.Bytes())
	var none bytes.Buffer
	if err := (Diagnostics)(nil).JSON(&none); err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(none.Bytes(), &doc); err != nil || doc["valid"] != true || doc["diagnostics"] == nil {
		t.Errorf("without problems: %s, %v", none.Bytes(), err)
	}
}

func TestTheFaultStandsForAllProblems(t *testing.T) {
	err := faultyDiagnostics(t).Err()
	f := fault.From(err)
	if f.Code != fault.ConfigInvalid || f.Where != "drawspan.hcl:4" || !strings.Contains(f.Message, "and 7 more") || f.Hint == "" {
		t.Errorf("got %+v", f)
	}
	if err := (Diagnostics{{Severity: "warning"}}).Err(); err != nil {
		t.Errorf("a warning is no error: %v", err)
	}
}

func TestASecondProblemAtOnePlaceIsDropped(t *testing.T) {
	w := newWorld(t)
	_, diags := w.load(strings.Replace(minimal, `["go"]`, `var.names`, 1))
	if got := brief(diags); !slices.Equal(got, []string{"unknown_reference 13:15"}) {
		t.Errorf("got %q", got)
	}
}

func TestATerminalIsNotFedWhatAFileContains(t *testing.T) {
	w := newWorld(t)
	_, diags := w.load(strings.Replace(minimal, `"command"`, "\"\\u001b]0;x\x1b[31m\u202e\"", 1) + "sandbox \"\x1b[2J\" {}\n")
	var b bytes.Buffer
	if err := diags.JSON(&b); err != nil {
		t.Fatal(err)
	}
	if all := rendered(diags) + b.String(); !diags.HasErrors() || strings.ContainsAny(all, "\x1b\u202e") {
		t.Errorf("control characters reach the terminal: %q", all)
	}
}

func TestALongLineIsCutAroundItsProblem(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("é", 5000)
	_, diags := w.load("version = 1\nlocals { a = [\"" + long + "\", var.x, \"" + long + "\"] }\n")
	if len(diags) != 1 || len(diags[0].Snippet.Code) > 2*maxSnippet {
		t.Fatalf("got %d problems:\n%s", len(diags), rendered(diags))
	}
	s := diags[0].Snippet
	if got := s.Code[s.Start:s.End]; got != "var.x" {
		t.Errorf("the marked part is %q", got)
	}
}
