package spec

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

func fullSpec() Spec {
	return Spec{
		UID: 1, GID: 2, Hostname: "h", Etc: "/e", Home: "/home/user", Scratch: 1 << 40,
		Secrets: []Secret{{Name: "token", Value: []byte("\x00s")}}, Backend: Bwrap, Network: NetworkProxy, Gateway: true, Calls: []string{"ptrace"},
		System: []Mount{{Host: "/usr", Inside: "/usr", Mode: ReadOnly}, {Host: "usr/bin", Inside: "/bin", Mode: Link}},
		Mounts: []Mount{{Host: "/t", Inside: "/t", Mode: Writable, Dev: 1<<64 - 1, Ino: 7, Tree: true, Git: true, Shared: true}, {Inside: "/c", Mode: Overlay, Empty: true}},
		Limits: Limits{Processes: 5, OpenFiles: 6, FileSize: -1, Memory: 7, Disk: 8, CPUs: 9, CPUTimeMS: 10},
		Probe:  Probe{StateCanary: "/s", HomeCanary: "/h", Home: "/home", HomeDev: 3, Namespaces: []string{"net:[1]"}, HomeIno: 4},
		Path:   "/bin/x", Argv: []string{"x", "", "y\x00z"}, Env: []string{"A=B"}, Dir: "/t", Program: true,
	}
}

func fullMessages() []Message {
	return []Message{
		{Report: &Report{
			Stage: "tree", Err: "bad", Features: Features{View: true, External: true}, Landlock: 7, Filter: 200,
			Limits: Limits{Processes: 1}, Verified: []Verified{{"a", true}, {"b", false}}, Notes: []string{"n"}, SetupUS: 9, VerifyUS: 8,
		}},
		{Started: &Started{PID: 2, Err: "no"}},
		{Violations: []Violation{{Syscall: -1, Name: "others", PID: 3, Comm: "c\"\n", Count: 1 << 40}}},
		{Exceeded: &Exceeded{Limit: LimitMemory, Used: 2, Cap: 1}},
		{Exit: &Exit{Code: 1, Signal: 9, Leftovers: 2, Emptied: true, Ended: true, UserUS: 3, SystemUS: 4, MaxRSSKB: 5}},
		{},
	}
}

func TestWhatIsSentIsWhatArrives(t *testing.T) {
	want := fullSpec()
	var got Spec
	if err := got.Decode(want.Append(nil)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for _, want := range fullMessages() {
		var got Message
		if err := got.Decode(want.Append(nil)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
		}
	}
}

// Every field must be listed for the wire: one that is not would silently be lost.
func TestEveryFieldTravels(t *testing.T) {
	for _, v := range []any{fullSpec(), fullSpec().Mounts[0], fullSpec().Secrets[0], fullSpec().Limits, fullSpec().Probe, *fullMessages()[0].Report,
		*fullMessages()[1].Started, fullMessages()[2].Violations[0], *fullMessages()[3].Exceeded, *fullMessages()[4].Exit} {
		r := reflect.ValueOf(v)
		for i := range r.NumField() {
			name := r.Type().Field(i).Name
			if r.Field(i).IsZero() && name != "Empty" {
				t.Errorf("%s.%s is not set in the example", r.Type().Name(), name)
			}
		}
	}
	f := Features{}
	for i := range reflect.TypeFor[Features]().NumField() {
		one := Features{}
		reflect.ValueOf(&one).Elem().Field(i).SetBool(true)
		m := Message{Report: &Report{Features: one}}
		var got Message
		if err := got.Decode(m.Append(nil)); err != nil || got.Report.Features == f {
			t.Errorf("%s does not travel", reflect.TypeFor[Features]().Field(i).Name)
		}
	}
}

func TestABrokenPacketIsRefused(t *testing.T) {
	s := fullSpec()
	whole := s.Append(nil)
	for n := range whole {
		if err := new(Spec).Decode(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken", n, len(whole))
		}
	}
	if err := new(Spec).Decode(append(slices.Clone(whole), 0)); err == nil {
		t.Error("a byte too many was taken")
	}
}

func FuzzDecode(f *testing.F) {
	s := fullSpec()
	f.Add(s.Append(nil))
	for _, m := range fullMessages() {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		var s Spec
		if s.Decode(packet) == nil {
			again := Spec{}
			if err := again.Decode(s.Append(nil)); err != nil || !reflect.DeepEqual(s, again) {
				t.Errorf("a specification changed on its way: %v", err)
			}
		}
		var m Message
		if m.Decode(packet) == nil {
			again := Message{}
			if err := again.Decode(m.Append(nil)); err != nil || !reflect.DeepEqual(m, again) {
				t.Errorf("a message changed on its way: %v", err)
			}
		}
	})
}

func TestALevelIsNamedOnlyWithAllItsFeatures(t *testing.T) {
	guarded := Features{NoNewPrivs: true, Seccomp: true, Limits: true, FDs: true, Landlock: true}
	isolated := guarded
	isolated.Landlock = false // the view is enough
	isolated.Namespaces, isolated.View, isolated.Network, isolated.Caps, isolated.Nested = true, true, true, true, true
	strict := isolated
	strict.Landlock, strict.Scopes, strict.Notify, strict.Git = true, true, true, true
	vm := strict
	vm.External = true
	noView := strict
	noView.View = false
	for _, c := range []struct {
		name    string
		has     Features
		want    string
		level   string
		missing int
	}{
		{"nothing", Features{}, LevelOff, LevelOff, 0},
		{"nothing, for isolated", Features{}, LevelIsolated, LevelOff, 10},
		{"neither Landlock nor a view", Features{NoNewPrivs: true, Seccomp: true, Limits: true, FDs: true}, LevelGuarded, LevelOff, 1},
		{"guarded", guarded, LevelGuarded, LevelGuarded, 0},
		{"isolated", isolated, LevelIsolated, LevelIsolated, 0},
		{"isolated, for strict", isolated, LevelStrict, LevelIsolated, 4},
		{"strict", strict, LevelStrict, LevelStrict, 0},
		{"strict, for vm", strict, LevelVM, LevelStrict, 1},
		{"all", vm, LevelVM, LevelVM, 0},
		{"a hole in the middle", noView, LevelStrict, LevelGuarded, 1},
	} {
		level, missing := Judge(c.has, c.want)
		if level != c.level || len(missing) != c.missing {
			t.Errorf("%s: %s, missing %q", c.name, level, missing)
		}
	}
}

func TestLevelsAreOrdered(t *testing.T) {
	for i, a := range levels() {
		for j, b := range levels() {
			if AtLeast(a, b) != (i >= j) {
				t.Errorf("AtLeast(%s, %s) is %v", a, b, !(i >= j))
			}
		}
		if AtLeast(a, "unknown") || AtLeast("unknown", a) {
			t.Errorf("an unknown level compares with %s", a)
		}
	}
}

func TestTheVectorHasItsRecordedForm(t *testing.T) {
	var e Enforced
	e.Required, e.Enforced = "isolated", "isolated"
	e.FS.RW = []string{"worktree"}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"required":"isolated"`, `"launcher_sha256":`, `"fs":{"view":`, `"landlock_abi":0`, `"net":{"mode":`, `"netns":false`,
		`"proc":{"pidns":`, `"nested_userns":`, `"no_new_privs":`, `"syscalls":{"filter":`, `"notify":`, `"limits":{"source":`,
		`"memory":null`, `"verified":`, `"setup_us":0`,
	} {
		if !bytes.Contains(text, []byte(part)) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
}
