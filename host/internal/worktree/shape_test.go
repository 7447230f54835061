package worktree

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

// plant puts objects into a repository without a look at them, as a server that checks nothing takes a push.
func plant(t testing.TB, dir string, objects ...object) {
	t.Helper()
	cmd := exec.Command("git", "-C", dir, "index-pack", "--stdin")
	cmd.Stdin = bytes.NewReader(packOf(objects...))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestF10_ADirectoryThatGitWouldNotWriteHidesNoChange(t *testing.T) {
	good, evil := object{"blob", "good\n"}, object{"blob", "evil\n"}
	sub := object{"tree", entry("100644", "x", good)}
	odd := object{"tree", entry("100644", "y", good) + entry("100644", "x", evil)}
	whole := func(list ...string) object { return object{"tree", strings.Join(list, "")} }
	entries := []string{entry("100644", "a", good), entry("100644", "d.t", good), entry("40000", "d", sub), entry("100644", "e", good)}
	base := whole(entries...)
	for name, head := range map[string]object{
		"a file beside a directory of its name, which goes at checkout": whole(slices.Insert(slices.Clone(entries), 1, entry("100644", "d", evil))...),
		"a directory beside a file of its name":                         whole(append(slices.Clone(entries), entry("40000", "e", sub))...),
		"the same name twice":                                           whole(slices.Insert(slices.Clone(entries), 1, entry("100644", "a", evil))...),
		"names out of order":                                            whole(entries[3], entries[0], entries[1], entries[2]),
		"a path for a name":                                             whole(append(slices.Clone(entries), entry("100644", "f/x", evil))...),
		"a directory further down":                                      whole(entries[0], entries[1], entry("40000", "d", odd), entries[3]),
		"a new directory":                                               whole(append(slices.Clone(entries), entry("40000", "f", odd))...),
		"directories sorted as files":                                   whole(entries[0], entries[2], entries[1], entries[3]),
	} {
		dir := operator(t, map[string]string{"first": "1\n"})
		from, to := commitOf(base.id()), commitOf(head.id(), commitOf(base.id()).id())
		plant(t, dir, good, evil, sub, odd, base, head, from, to)
		w := workspaceOf(t, dir)
		if err := w.Bring(t.Context(), from.id(), to.id()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		facts, err := w.Compare(t.Context(), from.id(), to.id())
		if !fault.Is(err, fault.TreeRefused) || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%s: %v, %v", name, facts.Files, err)
		}
		if _, err := w.Compare(t.Context(), to.id(), from.id()); !fault.Is(err, fault.TreeRefused) {
			t.Errorf("%s, as the base: %v", name, err)
		}
	}
}

func TestF10_AnEntryThatNoCheckoutWritesIsRefusedByItsName(t *testing.T) {
	good := object{"blob", "good\n"}
	base := object{"tree", entry("100644", "a", good)}
	sub := object{"tree", entry("100644", "hooks", good)}
	for _, c := range []struct{ mode, name, path string }{
		{"100644", ".GIT", ".GIT"},
		{"40000", ".GIT", ".GIT/hooks"},
		{"40000", ".Git", ".Git/hooks"},
		{"40000", "git~1", "git~1/hooks"},
		{"40000", ".git ", ".git /hooks"},
		{"40000", ".g\u200cit", `.g\u200cit/hooks`},
		{"40000", "\ufeff.git", `\ufeff.git/hooks`},
		{"40000", ".git::$INDEX_ALLOCATION", ".git::$INDEX_ALLOCATION/hooks"},
		{"100644", `x\.git`, `x\\.git`},
		{"120000", ".GitModules", ".GitModules"},
		{"120000", "GITMOD~1", "GITMOD~1"},
		{"160000", ".GIT", ".GIT"},
		{"100644", "..", ".."},
		{"100644", strings.Repeat("n", 256), strings.Repeat("n", 256)},
	} {
		of := good
		if c.mode == "40000" {
			of = sub
		}
		bad := entry(c.mode, c.name, of)
		head := object{"tree", base.data + bad}
		if c.name < "a" {
			head.data = bad + base.data
		}
		from, to := commitOf(base.id()), commitOf(head.id(), commitOf(base.id()).id())
		dir := operator(t, map[string]string{"first": "1\n"})
		plant(t, dir, good, sub, base, head, from, to)
		w := workspaceOf(t, dir)
		if err := w.Bring(t.Context(), from.id(), to.id()); err != nil {
			t.Errorf("%s %q: %v", c.mode, c.name, err)
			continue
		}
		refused := func(doing string, err error) {
			t.Helper()
			if !fault.Is(err, fault.TreeRefused) || !strings.Contains(err.Error(), `"`+c.path+`"`) || !strings.Contains(err.Error(), "cannot be checked out") {
				t.Errorf("%s %q, %s: %v", c.mode, c.name, doing, err)
			}
		}
		_, err := w.Compare(t.Context(), from.id(), to.id())
		refused("compared", err)
		_, err = w.Restore(t.Context(), to.id(), filepath.Join(t.TempDir(), "tree"))
		refused("restored", err)
		_, err = w.Create(t.Context(), CreateRequest{AttemptID: "att_7", Start: to.id()})
		refused("as a start", err)
		if _, err := w.Compare(t.Context(), to.id(), from.id()); err != nil {
			t.Errorf("%s %q, taken out again: %v", c.mode, c.name, err)
		}
	}
}
