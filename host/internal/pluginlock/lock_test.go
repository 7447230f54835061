package pluginlock_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
)

var (
	digestA = "sha256:" + strings.Repeat("a", 64)
	digestB = "sha256:" + strings.Repeat("b", 64)
)

func entry(name, version, digest string) pluginlock.Entry {
	return pluginlock.Entry{Name: name, Version: version, Hashes: map[string]string{pluginlock.Platform(): digest}}
}

func TestWhatIsWrittenIsReadAgainAndLooksTheSameEachTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), pluginlock.FileName)
	f := &pluginlock.File{Entries: []pluginlock.Entry{
		{
			Name: "validator-paths", Version: "0.1.0", Protocol: []string{"v1alpha"},
			Hashes: map[string]string{"linux_amd64": digestA, "darwin_arm64": digestB},
			Nature: pluginlock.Nature{Feeds: []string{"patch", "facts"}, Pure: true, Resident: true},
		},
		{
			Name: "executor-script", Version: `odd "${x}" %{ \n`, Protocol: []string{"v1alpha", "v1"}, Simulated: true,
			Hashes:     map[string]string{"linux_amd64": digestB},
			Attributes: []pluginlock.Attribute{{"play", "any", true}, {"allow_text_play", "bool", false}},
		},
	}}
	if err := pluginlock.Write(path, f); err != nil {
		t.Fatal(err)
	}
	got, err := pluginlock.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Encode(), f.Encode()) {
		t.Errorf("read and encoded again:\n%s\nwant\n%s", got.Encode(), f.Encode())
	}
	e, ok := got.Find("executor", "script")
	if !ok || e.Version != f.Entries[1].Version || !e.Simulated || len(e.Attributes) != 2 || e.Attributes[1].Name != "play" ||
		!maps.Equal(e.Hashes, f.Entries[1].Hashes) || !slices.Equal(e.Protocol, f.Entries[1].Protocol) {
		t.Errorf("executor-script = %+v", e)
	}
	if v, ok := got.Find("validator", "paths"); !ok || !v.Nature.Same(f.Entries[0].Nature) || e.Nature.Same(v.Nature) {
		t.Errorf("validator-paths = %+v", v)
	}
	if e.Declared != path+":3" {
		t.Errorf("declared at %s, want line 3", e.Declared)
	}
	if _, ok := got.Find("executor", "scrip"); ok {
		t.Error("found a plugin that is not there")
	}
}

func TestTheFileLooksLikeThis(t *testing.T) {
	e := entry("executor-command", "0.1.0", digestA)
	e.Hashes = map[string]string{"linux_arm64": digestB, "linux_amd64": digestA}
	e.Protocol = []string{"v1alpha"}
	e.Attributes = []pluginlock.Attribute{{"program", "list(string)", true}, {"env", "map(string)", false}}
	e.Drives = []pluginlock.Driven{{"agent", "", ">=1.0", "npm install agent"}, {Name: "other", Profile: "b"}}
	pins := []pluginlock.Pin{{Executor: "work", Path: "/opt/agent", Digest: digestA, Files: digestB}, {Executor: "alone", Path: "/opt/a b", Digest: digestB}}
	want := `# Written by "drawspan plugin lock". Commit it: a plugin runs only while its bytes have these digests.

plugin "executor-command" {
  version   = "0.1.0"
  protocol  = ["v1alpha"]
  simulated = false
  hashes = {
    linux_amd64 = "` + digestA + `"
    linux_arm64 = "` + digestB + `"
  }
  attribute "env" {
    type = "map(string)"
  }
  attribute "program" {
    type     = "list(string)"
    required = true
  }
  drives "agent" {
    tested  = ">=1.0"
    install = "npm install agent"
  }
  drives "other" {
    profile = "b"
  }
}

program "alone" {
  path   = "/opt/a b"
  digest = "` + digestB + `"
}

program "work" {
  path   = "/opt/agent"
  digest = "` + digestA + `"
  files  = "` + digestB + `"
}
`
	got := string((&pluginlock.File{Entries: []pluginlock.Entry{e}, Programs: pins}).Encode())
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	f, err := pluginlock.Parse("lock.hcl", []byte(got))
	if err != nil || string(f.Encode()) != want {
		t.Fatalf("read and encoded again: %v", err)
	}
	if p, ok := f.Pinned("work"); !ok || p.Digest != digestA || p.Files != digestB || p.Declared != "lock.hcl:32" {
		t.Errorf("pinned: %+v, %v", p, ok)
	}
	if _, ok := f.Pinned("wor"); ok {
		t.Error("an executor that is not there has a program")
	}
}

func TestAProfileChoosesTheProgram(t *testing.T) {
	e := pluginlock.Entry{Drives: []pluginlock.Driven{{Name: "a", Profile: "one"}, {Name: "b", Profile: "two"}}}
	for profile, want := range map[string]string{"one": "a", "two": "b", "three": "", "": ""} {
		if d, ok := e.Drive(profile); d.Name != want || ok != (want != "") {
			t.Errorf("%q: %+v", profile, d)
		}
	}
	always := pluginlock.Entry{Drives: []pluginlock.Driven{{Name: "a"}}}
	if d, ok := always.Drive("whatever"); !ok || d.Name != "a" {
		t.Errorf("%+v, %v", d, ok)
	}
}

func TestPinsAreThoseOfTheDeclaredExecutors(t *testing.T) {
	f := &pluginlock.File{Programs: []pluginlock.Pin{{Executor: "gone", Digest: digestA}, {Executor: "same", Digest: digestA, Declared: "x:1"}, {Executor: "updated", Digest: digestA}}}
	changed := f.Pin([]pluginlock.Pin{{Executor: "updated", Digest: digestB}, {Executor: "same", Digest: digestA}, {Executor: "fresh", Digest: digestA}})
	if want := []string{"fresh", "gone", "updated"}; !slices.Equal(changed, want) {
		t.Errorf("changed: %q, want %q", changed, want)
	}
	if len(f.Programs) != 3 || f.Programs[0].Executor != "fresh" {
		t.Errorf("%+v", f.Programs)
	}
}

func TestAMissingFileLocksNothing(t *testing.T) {
	f, err := pluginlock.Read(filepath.Join(t.TempDir(), "none.hcl"))
	if err != nil || len(f.Entries) != 0 {
		t.Errorf("Read = %+v, %v", f, err)
	}
}

func TestEveryMistakeIsToldWithItsLine(t *testing.T) {
	hashes := `hashes = { linux_amd64 = "` + digestA + `" }`
	for src, want := range map[string][]string{
		"plugin \"executor-a\" {\n" + hashes + "\n}\nplugin \"executor-a\" {\n" + hashes + "\n}": {"lock.hcl:4"},
		"plugin \"executor-a\" {\n" + hashes + "\nversoin = \"1\"\n}":                            {"lock.hcl:3"},
		"plugin \"executor-a\" {\n}":                    {"lock.hcl:1"},
		"plugin \"a\" {\n" + hashes + "\n}":             {"lock.hcl:1"},
		"plugin \"executor-../x\" {\n" + hashes + "\n}": {"lock.hcl:1"},
		"plugin {\n}":               {"lock.hcl:1"},
		"plugins \"x\" {\n}":        {"lock.hcl:1"},
		"x = 1":                     {"lock.hcl:1"},
		"plugin \"executor-a\" {\n": {"lock.hcl:1"},
		"plugin \"executor-a\" {\nhashes = { linux_amd64 = \"sha256:1\" }}":                               {"lock.hcl:2"},
		"plugin \"executor-a\" {\n  hashes = { linux_amd64 = \"sha256:1\" }\n}":                           {"lock.hcl:2"},
		"plugin \"executor-a\" {\n  hashes = {}\n}":                                                       {"lock.hcl:2"},
		"plugin \"executor-a\" {\n  hashes = [\"x\"]\n}":                                                  {"lock.hcl:2"},
		"plugin \"executor-a\" {\n  hashes = { Linux = \"" + digestA + "\" }\n}":                          {"lock.hcl:2"},
		"plugin \"executor-a\" {\n  hashes = { a_b = \"" + digestA + "\", a_b = \"" + digestA + "\" }\n}": {"lock.hcl:2"},
		"plugin \"executor-a\" {\n  hashes = null\n  version = 1\n  protocol = \"v1\"\n  simulated = \"yes\"\n}": {
			"lock.hcl:3", "lock.hcl:5", "lock.hcl:4", "lock.hcl:2",
		},
		"plugin \"executor-a\" {\n" + hashes + "\nversion = file(\"x\")\n}":                                                                {"lock.hcl:3"},
		"plugin \"executor-a\" {\n" + hashes + "\nversion = var.x\n}":                                                                      {"lock.hcl:3"},
		"plugin \"executor-a\" {\n" + hashes + "\nversion = \"\"\nprotocol = [1]\n}":                                                       {"lock.hcl:3", "lock.hcl:4"},
		"plugin \"executor-a\" {\n" + hashes + "\nattribute \"x\" {\n}\n}":                                                                 {"lock.hcl:3"},
		"plugin \"executor-a\" {\n" + hashes + "\nattribute \"x\" {\ntype=\"a\"\n}\nattribute \"x\" {\ntype=\"a\"\n}\n}":                   {"lock.hcl:6"},
		"program \"w\" {\npath = \"/a\"\ndigest = \"" + digestA + "\"\n}\nprogram \"w\" {\npath = \"/a\"\ndigest = \"" + digestA + "\"\n}": {"lock.hcl:5"},
		"program \"w\" {\npath = \"a\"\ndigest = \"" + digestA + "\"\n}":                                                                   {"lock.hcl:2"},
		"program \"w\" {\npath = \"/a\"\ndigest = \"sha256:00\"\nfiles = \"\"\n}":                                                          {"lock.hcl:3", "lock.hcl:4"},
		"program \"../w\" {\npath = \"/a\"\ndigest = \"" + digestA + "\"\n}":                                                               {"lock.hcl:1"},
		"program \"w\" {\n}": {"lock.hcl:1"},
		"plugin \"executor-a\" {\n" + hashes + "\ndrives \"\" {\nprofil = \"x\"\n}\n}": {"lock.hcl:3", "lock.hcl:4"},
		"\xff\xfe": {"lock.hcl:1"},
	} {
		_, err := pluginlock.Parse("lock.hcl", []byte(src))
		var problems pluginlock.Problems
		if !errors.As(err, &problems) {
			t.Errorf("Parse(%q) = %v, want problems", src, err)
			continue
		}
		var got []string
		for _, p := range problems {
			got = append(got, p.Where)
			if p.Code != fault.ConfigInvalid || p.Hint == "" || p.Message == "" {
				t.Errorf("Parse(%q): %+v", src, p)
			}
		}
		if !slices.Equal(slices.Compact(got), want) {
			t.Errorf("Parse(%q) complains at %v, want %v\n%v", src, got, want, err)
		}
		if !fault.Is(err, fault.ConfigInvalid) {
			t.Errorf("Parse(%q): code %s", src, fault.CodeOf(err))
		}
	}
}

func TestAHugeOrDeepFileIsRefusedAlive(t *testing.T) {
	for _, src := range []string{
		strings.Repeat("x", 1<<20),
		"x = " + strings.Repeat("[", 200<<10),
		"x = " + strings.Repeat("(", 200<<10),
		strings.Repeat("a {", 60<<10),
		`x = "` + strings.Repeat("${\"", 60<<10),
	} {
		if _, err := pluginlock.Parse("lock.hcl", []byte(src)); err == nil {
			t.Errorf("%.10q was accepted", src)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add((&pluginlock.File{Entries: []pluginlock.Entry{entry("executor-a", "1", digestA)}}).Encode())
	f.Add([]byte("plugin \"validator-b\" {\n hashes = { a_b = \"" + digestB + "\" }\n attribute \"x\" {\n type = \"any\"\n}\n}"))
	f.Add([]byte("plugin \"executor-a\" {"))
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := pluginlock.Parse("lock.hcl", src)
		if err != nil {
			var problems pluginlock.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("Parse(%q) = %v", src, err)
			}
			return
		}
		again, err := pluginlock.Parse("lock.hcl", got.Encode())
		if err != nil {
			t.Fatalf("Parse(%q) was accepted, its own encoding\n%s\nis not: %v", src, got.Encode(), err)
		}
		if !slices.Equal(again.Encode(), got.Encode()) {
			t.Fatalf("encodings differ:\n%s\n%s", again.Encode(), got.Encode())
		}
	})
}

func TestUpdateKeepsOtherPlatformsOfTheSameVersionOnly(t *testing.T) {
	here := pluginlock.Platform()
	f := &pluginlock.File{Entries: []pluginlock.Entry{
		{Name: "executor-gone", Version: "1", Hashes: map[string]string{here: digestA}},
		{Name: "executor-gone-here", Version: "1", Hashes: map[string]string{here: digestA, "plan9_386": digestB}},
		{Name: "executor-new-version", Version: "1", Hashes: map[string]string{here: digestA, "plan9_386": digestB}},
		{Name: "executor-rebuilt", Version: "1", Hashes: map[string]string{here: digestA, "plan9_386": digestB}},
		{Name: "executor-same", Version: "1", Hashes: map[string]string{here: digestA}},
	}}
	changed := f.Update([]pluginlock.Entry{
		entry("executor-new-version", "2", digestB), entry("executor-rebuilt", "1", digestB), entry("executor-same", "1", digestA),
		entry("executor-fresh", "1", digestA),
	})
	want := []pluginlock.Entry{
		entry("executor-fresh", "1", digestA),
		{Name: "executor-gone-here", Version: "1", Hashes: map[string]string{"plan9_386": digestB}},
		entry("executor-new-version", "2", digestB),
		{Name: "executor-rebuilt", Version: "1", Hashes: map[string]string{here: digestB, "plan9_386": digestB}},
		entry("executor-same", "1", digestA),
	}
	if !reflect.DeepEqual(f.Entries, want) {
		t.Errorf("entries = %+v\nwant %+v", f.Entries, want)
	}
	names := []string{"executor-fresh", "executor-gone", "executor-gone-here", "executor-new-version", "executor-rebuilt"}
	if !slices.Equal(changed, names) {
		t.Errorf("changed = %v, want %v", changed, names)
	}
}

func install(t *testing.T, dir, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestInstalledProgramsAreFoundInTheOrderOfTheDirectories(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	install(t, first, "drawspan-executor-a", "1", 0o755)
	install(t, second, "drawspan-executor-a", "2", 0o755)
	install(t, second, "drawspan-validator-b-c", "3", 0o755)
	install(t, second, "drawspan-executor-not-executable", "4", 0o644)
	install(t, second, "drawspan-executor-.hidden", "5", 0o755)
	install(t, second, "drawspan-relay", "6", 0o755)
	install(t, second, "executor-d", "7", 0o755)
	if err := os.Mkdir(filepath.Join(second, "drawspan-executor-dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := pluginlock.Installed([]string{first, filepath.Join(first, "none"), second})
	want := []pluginlock.Program{
		{Name: "executor-a", Path: filepath.Join(first, "drawspan-executor-a")},
		{Name: "validator-b-c", Path: filepath.Join(second, "drawspan-validator-b-c")},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("Installed = %+v, %v, want %+v", got, err, want)
	}
	if got[1].Kind() != "validator" || got[1].Plugin() != "b-c" {
		t.Errorf("kind %q, plugin %q", got[1].Kind(), got[1].Plugin())
	}
}

func TestVerifyTellsHowEachPluginStands(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "drawspan-executor-changed", "1", 0o755)
	install(t, dir, "drawspan-executor-new", "2", 0o755)
	install(t, dir, "drawspan-executor-same", "3", 0o755)
	locked, err := pluginlock.Lock([]string{dir}, func(p pluginlock.Program) (pluginlock.Facts, error) {
		digest, err := pluginlock.DigestFile(p.Path)
		return pluginlock.Facts{Digest: digest, Version: "1"}, err
	})
	if err != nil || len(locked) != 3 || locked[0].Version != "1" {
		t.Fatalf("Lock = %+v, %v", locked, err)
	}
	f := &pluginlock.File{}
	f.Update(append(slices.DeleteFunc(locked, func(e pluginlock.Entry) bool { return e.Name == "executor-new" }),
		entry("validator-gone", "1", digestA)))
	install(t, dir, "drawspan-executor-changed", "1x", 0o755)
	got, err := pluginlock.Verify(f, []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, v := range got {
		states = append(states, v.Name+" "+v.State)
		if v.State == pluginlock.StateMismatch && (v.Expected == v.Actual || v.Actual == "") {
			t.Errorf("%+v", v)
		}
	}
	want := []string{"executor-changed mismatch", "executor-new not_locked", "executor-same ok", "validator-gone missing"}
	if !slices.Equal(states, want) {
		t.Errorf("Verify = %v, want %v", states, want)
	}
}

func TestAProgramThatChangesWhileItIsLockedIsNotLocked(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "drawspan-executor-a", "1", 0o755)
	_, err := pluginlock.Lock([]string{dir}, func(pluginlock.Program) (pluginlock.Facts, error) {
		return pluginlock.Facts{Digest: digestA, Version: "1"}, nil
	})
	if !fault.Is(err, fault.PluginMismatch) {
		t.Errorf("Lock = %v, want plugin_mismatch", err)
	}
}

func TestAFailedWriteLeavesTheOldFile(t *testing.T) {
	if os.Getuid() == 0 {
		// Root writes anywhere; a directory in the file's place stops the rename for everybody.
		t.Log("as root: only the rename can be made to fail")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, pluginlock.FileName)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := pluginlock.Write(path, &pluginlock.File{}); err == nil {
		t.Fatal("Write succeeded")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
