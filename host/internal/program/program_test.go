package program_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/program"
)

// machine is a home directory with programs in it.
type machine struct {
	t      *testing.T
	dir    string // of everything
	home   string
	opt    program.Options
	finder *program.Finder
	want   program.Want
}

const binary = "\x7fELF, or so"

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, home: filepath.Join(dir, "home")}
	m.mkdir("home/bin", 0o755)
	m.mkdir("state", 0o700)
	m.mkdir("repo", 0o755)
	m.mkdir("usr/bin", 0o755)
	m.opt = program.Options{
		Path: m.at("home/bin") + "::relative:" + m.at("gone") + ":" + m.at("usr/bin"), Home: m.home, StateDir: m.at("state"),
		System: []string{m.at("usr")}, UID: os.Geteuid(),
	}
	m.finder = program.New(m.opt)
	m.want = program.Want{Name: "agent", Install: "npm install agent", Declared: "drawspan.hcl:7", Roots: []string{m.at("repo")}}
	return m
}

func (m *machine) at(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) mkdir(name string, mode os.FileMode) {
	m.t.Helper()
	if err := os.MkdirAll(m.at(name), 0o755); err != nil {
		m.t.Fatal(err)
	}
	m.chmod(name, mode)
}

func (m *machine) chmod(name string, mode os.FileMode) {
	m.t.Helper()
	if err := os.Chmod(m.at(name), mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	m.mkdir(filepath.Dir(name), 0o755)
	if err := os.WriteFile(m.at(name), []byte(text), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) link(name, to string) {
	m.t.Helper()
	m.mkdir(filepath.Dir(name), 0o755)
	if err := os.Symlink(to, m.at(name)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) find() program.Found {
	m.t.Helper()
	found, err := m.finder.Find(m.t.Context(), m.want)
	if err != nil {
		m.t.Fatal(err)
	}
	return found
}

func (m *machine) shown(found program.Found) []string {
	var all []string
	for _, s := range found.Shown {
		rel, err := filepath.Rel(m.dir, s.Path)
		if err != nil || s.Ino == 0 {
			m.t.Errorf("%+v is shown: %v", s, err)
		}
		all = append(all, rel)
	}
	slices.Sort(all)
	return all
}

func (m *machine) refuses(code fault.Code, words ...string) {
	m.t.Helper()
	found, err := m.finder.Find(m.t.Context(), m.want)
	if err == nil {
		m.t.Fatalf("found %+v", found)
	}
	f := fault.From(err)
	text := f.Message + " | " + f.Where + " | " + f.Hint
	if f.Code != code || f.Where == "" || f.Hint == "" {
		m.t.Errorf("%s: %s, want %s with a place and a remedy", f.Code, text, code)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			m.t.Errorf("%q is not in %q", w, text)
		}
	}
	if strings.Contains(f.Message, m.dir) {
		m.t.Errorf("the message tells a path of the host: %s", f.Message)
	}
}

func TestABinaryIsShownAloneAtItsOwnPlace(t *testing.T) {
	m := newMachine(t)
	m.write("home/.local/share/agent/2.1/agent", binary)
	m.link("home/bin/agent", "../.local/share/agent/2.1/agent")
	found := m.find()
	if want := m.at("home/.local/share/agent/2.1/agent"); found.Path != want || found.Name != "agent" {
		t.Errorf("found %s at %s, want %s", found.Name, found.Path, want)
	}
	if got := m.shown(found); !slices.Equal(got, []string{"home/.local/share/agent/2.1/agent"}) {
		t.Errorf("shown: %q", got)
	}
	if found.Interpreter != "" || found.Files != "" || len(found.Search) != 0 || !strings.HasPrefix(found.Digest, "sha256:") {
		t.Errorf("%+v", found)
	}
}

func TestAProgramOfTheSystemIsNotShownAgain(t *testing.T) {
	m := newMachine(t)
	m.write("usr/bin/agent", binary)
	if found := m.find(); len(found.Shown) != 0 || found.Path != m.at("usr/bin/agent") {
		t.Errorf("%+v", found)
	}
}

func TestTheFirstDirectoryOfPATHThatHasItCounts(t *testing.T) {
	m := newMachine(t)
	m.write("usr/bin/agent", binary)
	m.mkdir("home/bin/agent", 0o755) // a directory of that name is passed over
	if found := m.find(); found.Path != m.at("usr/bin/agent") {
		t.Errorf("found %s", found.Path)
	}
	if err := os.Remove(m.at("home/bin/agent")); err != nil {
		t.Fatal(err)
	}
	m.write("home/bin/agent", binary)
	m.chmod("home/bin/agent", 0o644) // and what is not executable
	if found := m.find(); found.Path != m.at("usr/bin/agent") {
		t.Errorf("found %s", found.Path)
	}
	m.chmod("home/bin/agent", 0o755)
	if found := m.find(); found.Path != m.at("home/bin/agent") {
		t.Errorf("found %s", found.Path)
	}
}

func TestAPackageIsShownWithWhatWasInstalledWithIt(t *testing.T) {
	for name, c := range map[string]struct{ file, link, shown string }{
		"a local installation":     {"home/tools/node_modules/@a/agent/bin/agent.js", "../tools/node_modules/@a/agent/bin/agent.js", "home/tools/node_modules"},
		"a dependency's program":   {"home/tools/node_modules/x/node_modules/agent/cli.js", "../tools/node_modules/x/node_modules/agent/cli.js", "home/tools/node_modules"},
		"npm's global directory":   {"home/npm/lib/node_modules/agent/cli.js", "../npm/lib/node_modules/agent/cli.js", "home/npm/lib/node_modules/agent"},
		"a scope there":            {"home/npm/lib/node_modules/@a/agent/cli.js", "../npm/lib/node_modules/@a/agent/cli.js", "home/npm/lib/node_modules/@a/agent"},
		"nested in npm's global":   {"home/npm/lib/node_modules/@a/agent/node_modules/b/c.js", "../npm/lib/node_modules/@a/agent/node_modules/b/c.js", "home/npm/lib/node_modules/@a/agent"},
		"a store of linked things": {"home/g/.pnpm/agent@1/node_modules/agent/cli.js", "../g/.pnpm/agent@1/node_modules/agent/cli.js", "home/g/.pnpm"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.write("usr/bin/node", binary)
			m.write(c.file, "#!/usr/bin/env node\n")
			m.write("home/npm/lib/node_modules/other/secret.js", "")
			m.link("home/bin/agent", c.link)
			found := m.find()
			if got := m.shown(found); !slices.Equal(got, []string{c.shown}) {
				t.Errorf("shown: %q, want %s", got, c.shown)
			}
			if found.Files == "" || found.Interpreter != m.at("usr/bin/node") || found.Search[0] != m.at("usr/bin") {
				t.Errorf("%+v", found)
			}
		})
	}
}

func TestTheInterpreterOfAScriptIsShownToo(t *testing.T) {
	m := newMachine(t)
	m.write("home/.nvm/v22/bin/node", binary)
	m.link("home/bin/node", "../.nvm/v22/bin/node")
	for name, line := range map[string]string{
		"looked for": "#!/usr/bin/env node\n", "with options": "#! /usr/bin/env -S node --no-warnings\n", "with a variable": "#!/usr/bin/env A=b node\n",
		"by its place": "#!" + m.at("home/bin/node") + " --flag\n", "with a carriage return": "#!/usr/bin/env node\r\n",
	} {
		m.write("home/bin/agent", line+"run()\n")
		found := m.find()
		if want := m.at("home/.nvm/v22/bin/node"); found.Interpreter != want || found.Search[0] != filepath.Dir(want) {
			t.Errorf("%s: %+v", name, found)
		}
		if got := m.shown(found); !slices.Equal(got, []string{"home/.nvm/v22/bin/node", "home/bin/agent"}) {
			t.Errorf("%s: shown: %q", name, got)
		}
	}
}

// A shell that is many programs knows which one to be by its name.
func TestAnInterpreterOfTheSystemKeepsItsName(t *testing.T) {
	m := newMachine(t)
	m.write("usr/bin/busybox", binary)
	m.link("usr/bin/sh", "busybox")
	m.write("home/bin/agent", "#!"+m.at("usr/bin/sh")+"\n")
	if found := m.find(); found.Interpreter != m.at("usr/bin/sh") || found.Files != "" {
		t.Errorf("%+v", found)
	}
}

func TestWhatIsMissingIsSaidWithItsRemedy(t *testing.T) {
	m := newMachine(t)
	m.refuses(fault.ProgramMissing, "agent is not installed", "npm install agent", "drawspan plugin lock", "drawspan.hcl:7")
	m.want.Install = ""
	m.refuses(fault.ProgramMissing, `program = "/path/to/agent"`)
	m.want.Name = m.at("home/bin/agent")
	m.refuses(fault.ProgramMissing, m.want.Name)
	m.write("home/bin/agent", "#!/usr/bin/env snake\n")
	m.refuses(fault.ProgramMissing, "needs snake, which is not installed")
	m.link("home/bin/loop", "loop")
	m.want.Name = m.at("home/bin/loop")
	m.refuses(fault.ProgramMissing, "too many levels")
	for _, name := range []string{"", "a/b", "../agent", "a\x00b"} {
		m.want.Name = name
		if _, err := m.finder.Find(t.Context(), m.want); !fault.Is(err, fault.ConfigInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// F54: nothing that a repository brings is ever taken for a program of the operator's.
func TestF54_NothingOfAWorkspaceIsAProgram(t *testing.T) {
	for name, prepare := range map[string]func(m *machine){
		"a directory of PATH in it": func(m *machine) {
			m.write("repo/node_modules/.bin/agent", binary)
			m.opt.Path = m.at("repo/node_modules/.bin") + ":" + m.opt.Path
			m.write("home/bin/agent", binary)
		},
		"a link out of it": func(m *machine) {
			m.write("home/agent", binary)
			m.link("repo/bin/agent", "../../home/agent")
			m.opt.Path = m.at("repo/bin")
		},
		"a link into it": func(m *machine) {
			m.write("repo/agent", binary)
			m.link("home/bin/agent", "../../repo/agent")
		},
		"a detour through it": func(m *machine) {
			m.write("home/real", binary)
			m.link("repo/out", "../home")
			m.link("home/bin/agent", "../../repo/out/real")
		},
		"its place": func(m *machine) {
			m.write("repo/agent", binary)
			m.want.Name = m.at("repo/agent")
		},
		"an interpreter in it": func(m *machine) {
			m.write("repo/bin/node", binary)
			m.write("home/agents/agent", "#!/usr/bin/env node\n")
			m.opt.Path = m.at("home/agents") + ":" + m.at("repo/bin")
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			prepare(m)
			m.finder = program.New(m.opt)
			m.refuses(fault.ProgramRefused, "workspace")
		})
	}
}

func TestWhatOthersDecideAboutIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(m *machine)
		words   string
	}{
		"a file that everybody may write": {func(m *machine) { m.chmod("home/bin/agent", 0o777) }, "everybody may write"},
		"a directory on the way":          {func(m *machine) { m.chmod("home/bin", 0o777) }, "everybody may write"},
		"a directory far above":           {func(m *machine) { m.chmod("home", 0o707) }, "everybody may write"},
		"a file in a package": {func(m *machine) {
			m.write("home/t/node_modules/a/agent", binary)
			m.write("home/t/node_modules/b/index.js", "")
			m.chmod("home/t/node_modules/b/index.js", 0o666)
			m.want.Name = m.at("home/t/node_modules/a/agent")
		}, "everybody may write to b/index.js"},
		"a pipe in a package": {func(m *machine) {
			m.write("home/t/node_modules/a/agent", binary)
			if err := unix.Mkfifo(m.at("home/t/node_modules/a/pipe"), 0o600); err != nil {
				m.t.Fatal(err)
			}
			m.want.Name = m.at("home/t/node_modules/a/agent")
		}, "neither a file"},
		"the state directory": {func(m *machine) {
			m.write("state/agent", binary)
			m.chmod("state", 0o700)
			m.want.Name = m.at("state/agent")
		}, "state directory"},
		"a directory":    {func(m *machine) { m.want.Name = m.at("home/bin") }, "no regular file"},
		"a device":       {func(m *machine) { m.want.Name = "/dev/null" }, ""},
		"no executable":  {func(m *machine) { m.chmod("home/bin/agent", 0o644); m.want.Name = m.at("home/bin/agent") }, "not executable"},
		"an empty file":  {func(m *machine) { m.write("home/bin/agent", "") }, "empty"},
		"no interpreter": {func(m *machine) { m.write("home/bin/agent", "#!\n") }, "names no interpreter"},
		"a relative one": {func(m *machine) { m.write("home/bin/agent", "#!bin/sh\n") }, "names no interpreter"},
		"a program that is larger than the bound": {func(m *machine) {
			if err := os.Truncate(m.at("home/bin/agent"), 1<<30+1); err != nil {
				m.t.Fatal(err)
			}
		}, "larger than 1024 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.write("home/bin/agent", binary)
			c.prepare(m)
			m.refuses(fault.ProgramRefused, c.words)
		})
	}
}

func TestAStickyDirectoryKeepsWhatIsOnesOwn(t *testing.T) {
	m := newMachine(t)
	m.write("home/bin/agent", binary)
	m.chmod("home/bin", 0o777|os.ModeSticky)
	m.find()
}

func TestWhatBelongsToAnotherUserIsRefused(t *testing.T) {
	m := newMachine(t)
	m.write("home/bin/agent", binary)
	m.opt.UID = os.Geteuid() + 1
	m.finder = program.New(m.opt)
	if os.Geteuid() == 0 {
		t.Skip("root's files are everybody's to use")
	}
	m.refuses(fault.ProgramRefused, "belongs to user")
}

func TestThePathOfTheHomeIsNeverShown(t *testing.T) {
	m := newMachine(t)
	m.opt.Home = m.at("home/t/node_modules/x")
	m.write("home/t/node_modules/agent/agent", binary)
	m.mkdir("home/t/node_modules/x", 0o700)
	m.want.Name = m.at("home/t/node_modules/agent/agent")
	m.finder = program.New(m.opt)
	m.refuses(fault.ProgramRefused, "home directory")
}

func TestEveryChangeOfWhatRunsIsSeen(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *machine)
		words  string
	}{
		"the file":           {func(m *machine) { m.write("home/t/node_modules/a/agent.js", "#!/usr/bin/env node\n2") }, "has the digest"},
		"a file beside it":   {func(m *machine) { m.write("home/t/node_modules/b/vendor", "2") }, "installed with it"},
		"a new file":         {func(m *machine) { m.write("home/t/node_modules/b/new", "") }, "installed with it"},
		"an empty directory": {func(m *machine) { m.mkdir("home/t/node_modules/c", 0o755) }, "installed with it"},
		"a link":             {func(m *machine) { m.link("home/t/node_modules/c", "/etc") }, "installed with it"},
		"a mode":             {func(m *machine) { m.chmod("home/t/node_modules/b/vendor", 0o644) }, "installed with it"},
		"the interpreter":    {func(m *machine) { m.write("home/bin/node", binary+"2") }, "interpreter"},
		"its removal": {func(m *machine) {
			if err := os.RemoveAll(m.at("home/t")); err != nil {
				m.t.Fatal(err)
			}
		}, "is not what it was"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.write("home/bin/node", binary)
			m.write("home/t/node_modules/a/agent.js", "#!/usr/bin/env node\n1")
			m.write("home/t/node_modules/b/vendor", "1")
			m.link("home/bin/agent", "../t/node_modules/a/agent.js")
			before := m.find()
			if err := m.finder.Again(t.Context(), before, m.want); err != nil {
				t.Fatal(err)
			}
			c.change(m)
			err := m.finder.Again(t.Context(), before, m.want)
			if f := fault.From(err); f.Code != fault.ProgramChanged || !strings.Contains(f.Message, c.words) || !strings.Contains(f.Hint, "drawspan plugin lock") {
				t.Errorf("%v", err)
			}
		})
	}
}

// To look at a large package takes longer than a tick: what changed meanwhile is as new as what changed just before.
func TestWhatChangesDuringALongLookIsNotRemembered(t *testing.T) {
	began := time.Now()
	for ago, want := range map[time.Duration]bool{time.Second: false, 10 * time.Millisecond: true, 0: true, -10 * time.Millisecond: true, -time.Second: true, -time.Hour: true} {
		if got := program.Recent(began, began.Add(-ago)); got != want {
			t.Errorf("changed %v before the look began: recent %v", ago, got)
		}
	}
}

func TestTheSameBytesElsewhereAreTheSameProgram(t *testing.T) {
	m, other := newMachine(t), newMachine(t)
	for _, m := range []*machine{m, other} {
		m.write("usr/bin/node", binary)
		m.write("home/t/node_modules/a/agent", "#!/usr/bin/env node\n")
		m.link("home/t/node_modules/.bin/agent", "../a/agent")
		m.link("home/bin/agent", "../t/node_modules/.bin/agent")
	}
	if err := m.find().Compare(other.find()); err != nil {
		t.Error(err)
	}
}

// A running update moves the link to another version: what was found runs on, untouched.
func TestANewVersionBesideTheOldOneChangesNothingOfIt(t *testing.T) {
	m := newMachine(t)
	m.write("home/v/1/agent", binary)
	m.link("home/bin/agent", "../v/1/agent")
	before := m.find()
	m.write("home/v/2/agent", binary+"2")
	if err := os.Remove(m.at("home/bin/agent")); err != nil {
		t.Fatal(err)
	}
	m.link("home/bin/agent", "../v/2/agent")
	if err := m.finder.Again(t.Context(), before, m.want); err != nil {
		t.Error(err)
	}
	if err := before.Compare(m.find()); !fault.Is(err, fault.ProgramChanged) {
		t.Errorf("the next launch takes another version for the pinned one: %v", err)
	}
}

func TestACancelledSearchEnds(t *testing.T) {
	m := newMachine(t)
	m.write("home/t/node_modules/a/agent", binary)
	m.want.Name = m.at("home/t/node_modules/a/agent")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.finder.Find(ctx, m.want); err == nil {
		t.Error("it went on")
	}
}

func FuzzFirstLine(f *testing.F) {
	for _, s := range []string{"#!/usr/bin/env node\n", "#!/bin/sh -e", "#!", "#! /usr/bin/env -S A=b node", "\x7fELF", "#!\x00/", "#!/a\x00b\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		name, script := program.Shebang(head)
		if script != bytes.HasPrefix(head, []byte("#!")) {
			t.Errorf("%q: a script: %v", head, script)
		}
		if strings.ContainsAny(name, "\x00\n") || name != "" && !script {
			t.Errorf("%q names %q", head, name)
		}
	})
}
