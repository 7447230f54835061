package worktree

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

func TestS79_ATreeIsRemovedOnlyAfterItsStateIsKept(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	write(t, b.tree.Path(), map[string]string{"a": "work\n", "untracked": "work\n"})
	wantCode(t, b.tree.Remove(t.Context()), fault.Conflict)
	wantCode(t, b.tree.Reset(t.Context()), fault.Conflict)
	same(t, "work", read(t, b.tree.Path(), "untracked"), "work\n")
	c, _ := keep(t, b.tree, b.base)
	ref := b.w.mirror.refPath(c.Ref)
	if err := os.Rename(ref, ref+".gone"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.tree.Remove(t.Context()), fault.Conflict)
	if err := os.Rename(ref+".gone", ref); err != nil {
		t.Fatal(err)
	}
	if err := b.tree.Remove(t.Context()); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	if exists(b.tree.home) {
		t.Error("the tree is still there")
	}
	same(t, "kept", run(t, b.root, "show", c.Ref+":untracked"), "work")
	if err := b.tree.Remove(t.Context()); err != nil {
		t.Errorf("a second Remove: %v", err)
	}
}

func TestS79_AFullDiskKeepsTheTree(t *testing.T) {
	dir := smallDisk(t)
	root := operator(t, map[string]string{"a": "1\n"})
	w := openWorkspace(t, openTreesIn(t, dir), root)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	write(t, tree.Path(), map[string]string{"work": "precious\n"})
	fillUp(t, dir)
	_, err := tree.Capture(t.Context(), CaptureRequest{Base: tree.Start(), When: fixedTime})
	if err == nil {
		t.Fatal("a capture on a full disk succeeds")
	}
	if tree.Remove(t.Context()) == nil {
		t.Error("a tree that could not be kept is removed")
	}
	same(t, "work", read(t, tree.Path(), "work"), "precious\n")
	remove(t, filepath.Join(dir, "fill"))
	c, _ := keep(t, tree, tree.Start())
	same(t, "kept", run(t, root, "show", c.Ref+":work"), "precious")
}

func TestAFullDiskStopsAShadowAndAnImportWithTheReason(t *testing.T) {
	dir := smallDisk(t)
	root := operator(t, map[string]string{"a": "1\n"})
	w := openWorkspace(t, openTreesIn(t, dir), root)
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	shadow(t, tree)
	within(t, tree, "commit", "-q", "--allow-empty", "-m", "inside")
	stream, err := exported(t, tree)
	if err != nil {
		t.Fatal(err)
	}
	fillUp(t, dir)
	_, err = takeFrom(t, tree, stream, ImportRequest{})
	if err == nil || fault.Is(err, fault.TreeRefused) {
		t.Errorf("an import on a full disk: %v", err)
	}
	same(t, "mirror's ref", exists(w.mirror.refPath(CommitsPrefix+"att_1")), false)
	if !moved(t, tree) {
		t.Error("the commits are gone")
	}
	_, err = tree.Shadow(t.Context())
	wantCode(t, err, fault.NoSpace)
	remove(t, filepath.Join(dir, "fill"))
	shadow(t, tree)
	if got, err := takeFrom(t, tree, stream, ImportRequest{}); err != nil || !got.Published {
		t.Errorf("with space again: %+v, %v", got, err)
	}
}

// fillUp writes a file until nothing more fits.
func fillUp(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// smallDisk mounts a file system of 4 MiB, which only root can.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("no small disk here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// Number 39 of the fault catalogue: the operator collects garbage all the time while attempts run.
func TestFault39_CollectingGarbageInTheOperatorsRepositoryHarmsNoAttempt(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "d/b": "1\n"})
	ctx, stop := context.WithCancel(t.Context())
	var gc, attempts sync.WaitGroup
	rounds := 0
	gc.Go(func() {
		for ctx.Err() == nil {
			if out, err := tryRun(t, b.root, "gc", "--quiet", "--prune=now"); err != nil && t.Context().Err() == nil {
				t.Errorf("gc: %v: %s", err, out)
			}
			rounds++
		}
	})
	for i := range 16 {
		attempts.Go(func() {
			for k := range 3 {
				id := fmt.Sprintf("att_%d_%d", i, k)
				tree, err := b.w.Create(ctx, CreateRequest{AttemptID: id, Start: b.base})
				if err != nil {
					t.Errorf("Create: %v", err)
					return
				}
				if err := os.WriteFile(filepath.Join(tree.Path(), "new"), []byte(id), 0o644); err != nil {
					t.Error(err)
				}
				if _, err := tree.Capture(ctx, CaptureRequest{Base: b.base, When: fixedTime}); err != nil {
					t.Errorf("Capture: %v", err)
				}
			}
		})
	}
	attempts.Wait()
	stop()
	gc.Wait()
	run(t, b.root, "fsck", "--strict", "--no-dangling")
	for i := range 16 {
		for k := range 3 {
			id := fmt.Sprintf("att_%d_%d", i, k)
			same(t, "kept", run(t, b.root, "show", RefPrefix+id+":new"), id)
		}
	}
	kept, err := filepath.Glob(filepath.Join(b.root, ".git/objects/pack/*.keep"))
	if err != nil || len(kept) > 0 {
		t.Errorf("keep files are left: %v, %v", kept, err)
	}
	t.Logf("%d collections", rounds)
}

func TestAPublicationSurvivesObjectsThatWereCollected(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	write(t, b.tree.Path(), map[string]string{"shared": "in the mirror already\n"})
	keep(t, b.tree, b.base)
	run(t, b.root, "update-ref", "-d", RefPrefix+"att_1")
	run(t, b.root, "gc", "--quiet", "--prune=now")
	second := create(t, b.w, "att_2", b.base)
	write(t, second.Path(), map[string]string{"shared": "in the mirror already\n", "b": "2\n"})
	c, _ := keep(t, second, b.base)
	run(t, b.root, "fsck", "--strict")
	same(t, "kept", run(t, b.root, "show", c.Ref+":shared"), "in the mirror already")
}

func TestABaseThatTheOperatorRewroteAndCollectedIsHandedBack(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	write(t, b.root, map[string]string{"a": "2\n"})
	commit(t, b.root, "two")
	start := resolve(t, b.w, "main")
	tree := create(t, b.w, "att_2", start)
	run(t, b.root, "reset", "-q", "--hard", b.base)
	run(t, b.root, "reflog", "expire", "--expire=now", "--all")
	run(t, b.root, "gc", "--quiet", "--prune=now")
	if _, err := tryRun(t, b.root, "cat-file", "-e", start); err == nil {
		t.Fatal("the base was not collected")
	}
	write(t, tree.Path(), map[string]string{"b": "3\n"})
	c, _ := keep(t, tree, start)
	run(t, b.root, "fsck", "--strict")
	same(t, "kept", run(t, b.root, "show", c.Ref+":a"), "2")
}

func TestARefOfAnAttemptIsNeverMoved(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	run(t, b.root, "update-ref", RefPrefix+"att_1", b.base)
	write(t, b.tree.Path(), map[string]string{"a": "2\n"})
	c, err := b.tree.Capture(t.Context(), CaptureRequest{Base: b.base, When: fixedTime})
	wantCode(t, err, fault.Conflict)
	if c.Commit == "" || c.Published {
		t.Errorf("got %+v", c)
	}
	same(t, "ref", run(t, b.root, "rev-parse", RefPrefix+"att_1"), b.base)
}

func TestUnknownTreesAreQuarantinedNotDeleted(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	write(t, b.tree.Path(), map[string]string{"work": "w\n"})
	create(t, b.w, "att_2", b.base)
	write(t, b.trees.dir, map[string]string{"trees/odd name/x": "x", "trees/broken/record.json": "{", "quarantine/att_1/x": "earlier"})
	all, err := b.trees.List(t.Context())
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	var got []string
	for _, f := range all {
		got = append(got, fmt.Sprint(f.ID, " ", f.Workspace, " ", f.Start == b.base, " ", f.Broken != ""))
	}
	same(t, "trees", got, []string{"att_1 api true false", "att_2 api true false", "broken  false true", "odd name  false true"})
	swept, err := b.trees.Sweep(t.Context(), func(f Found) string {
		if f.ID == "att_2" {
			return ""
		}
		return "no attempt knows it"
	})
	if err != nil || len(swept) != 3 {
		t.Fatalf("Sweep: %v, %v", swept, err)
	}
	left, err := b.trees.List(t.Context())
	if err != nil || len(left) != 1 || left[0].ID != "att_2" {
		t.Errorf("left: %+v, %v", left, err)
	}
	found, err := filepath.Glob(filepath.Join(b.trees.dir, quarantineDir, "att_1.*/tree/work"))
	if err != nil || len(found) != 1 {
		t.Errorf("the work is not in quarantine: %v, %v", found, err)
	}
}

func TestTheTrashIsEmptiedInTheBackgroundAndNothingIsLeftBehind(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "d/b": "1\n"})
	keep(t, b.tree, b.base)
	before := runtime.NumGoroutine()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.trees.Run(ctx) }()
	if err := b.tree.Remove(t.Context()); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	eventually(t, "the trash is empty", func() bool {
		left, err := os.ReadDir(filepath.Join(b.trees.dir, trashDir))
		return err == nil && len(left) == 0
	})
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

// eventually asks again until it is so, for as long as other processes may take.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-late:
			t.Fatalf("it does not come about that %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestAMirrorThatWasInterruptedIsMadeAgain(t *testing.T) {
	root := operator(t, map[string]string{"a": "1\n"})
	trees := openTrees(t)
	w := openWorkspace(t, trees, root)
	write(t, w.mirror.dir+".new", map[string]string{"objects/half": "x", "config": "[core]\n fsmonitor = /bin/false\n"})
	if err := os.RemoveAll(w.mirror.dir); err != nil {
		t.Fatal(err)
	}
	again := openWorkspace(t, trees, root)
	create(t, again, "att_1", resolve(t, again, "main"))
	write(t, again.mirror.dir, map[string]string{"config": "[core]\n fsmonitor = /bin/false\n", "info/attributes": "* filter=x\n"})
	openWorkspace(t, trees, root)
	same(t, "attributes", read(t, again.mirror.dir, "info/attributes"), mirrorAttributes)
	same(t, "config", strings.Contains(read(t, again.mirror.dir, "config"), "fsmonitor"), false)
}

func TestTheMirrorSharesTheRepositorysObjectsByHardLinks(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	var one, two unix.Stat_t
	name := run(t, b.root, "rev-parse", "HEAD:a")
	name = "objects/" + name[:2] + "/" + name[2:]
	if unix.Stat(filepath.Join(b.root, ".git", name), &one) != nil || unix.Stat(filepath.Join(b.w.mirror.dir, name), &two) != nil {
		t.Fatal("the object is missing")
	}
	if one.Dev == two.Dev && one.Ino != two.Ino {
		t.Error("the object was copied")
	}
}

func TestOpenBeneathRefusesLinksWithAndWithoutOpenat2(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"d/e/f": "x"})
	for name, to := range map[string]string{"link": "d", "d/up": "..", "d/e/self": "f"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFD(root)
	for how, open := range map[string]func(int, string, int, uint32) (int, error){"openat2": openBeneath, "walk": walkBeneath} {
		for _, good := range []string{"d/e/f", "d", "."} {
			fd, err := open(root, good, unix.O_RDONLY, 0)
			if err != nil {
				t.Errorf("%s: %s: %v", how, good, err)
				continue
			}
			closeFD(fd)
		}
		for _, bad := range []string{"link/e/f", "d/up/d/e/f", "d/e/self", "../x", "/etc/passwd", "d/../d", "missing"} {
			for _, flags := range []int{unix.O_RDONLY, unix.O_PATH} {
				if fd, err := open(root, bad, flags, 0); err == nil && bad != "d/../d" {
					closeFD(fd)
					t.Errorf("%s: %s was opened", how, bad)
				}
			}
		}
	}
}

func TestGitsMessagesAreMadeHarmless(t *testing.T) {
	got := printable([]byte("error: \x1b[31mred\x07\nsecond \u202e line \xff\n"))
	same(t, "message", got, `error: \x1b[31mred\a; second \u202e line `+"\ufffd")
}

func FuzzParseIndex(f *testing.F) {
	for _, version := range []string{"2", "3"} {
		root := operator(f, map[string]string{"a": "1\n", "d/b": "2\n", "long/" + strings.Repeat("x", 200): "3\n"})
		run(f, root, "update-index", "--index-version", version)
		f.Add([]byte(read(f, root, ".git/index")), false)
	}
	f.Add([]byte("DIRC"), true)
	f.Fuzz(func(t *testing.T, data []byte, wide bool) {
		entries, err := parseIndex(data, wide)
		if err != nil && entries != nil && len(entries) > len(data) {
			t.Errorf("%d entries of %d bytes", len(entries), len(data))
		}
		for name, e := range entries {
			if name == "" || strings.ContainsRune(name, 0) || len(e.id)%2 != 0 {
				t.Errorf("entry %q: %+v", name, e)
			}
			if _, err := hex.DecodeString(e.id); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzReadDiff(f *testing.F) {
	f.Add([]byte(":000000 100644 00 11 A\x00a\nb\x00:100644 000000 11 00 D\x00z\x001\t2\ta\nb\x00-\t-\tz\x00\x00diff --git\n"), 7)
	f.Add([]byte("\x00"), 1)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		whole := &diffReader{max: 100, patch: &strings.Builder{}, size: func(string) int64 { return 1 }}
		parts := &diffReader{max: 100, patch: &strings.Builder{}, size: func(string) int64 { return 1 }}
		_, errWhole := whole.Write(data)
		var errParts error
		for rest := data; len(rest) > 0 && errParts == nil; {
			n := min(max(cut, 1), len(rest))
			_, errParts = parts.Write(rest[:n])
			rest = rest[n:]
		}
		if (errWhole == nil) != (errParts == nil) || errWhole == nil && fmt.Sprint(whole.facts) != fmt.Sprint(parts.facts) {
			t.Errorf("whole: %v, %v; parts: %v, %v", whole.facts, errWhole, parts.facts, errParts)
		}
	})
}
