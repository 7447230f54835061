package worktree

import (
	"bytes"
	"os/exec"
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
