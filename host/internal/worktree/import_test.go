package worktree

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
)

// exported is what the sandboxed side says: here without a sandbox, with the executor's environment.
func exported(t testing.TB, tree *Tree) ([]byte, error) {
	t.Helper()
	argv := tree.Export()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = tree.Path()
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/nonexistent"}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, said.String())
	}
	return out, err
}

// take exports and imports.
func take(t testing.TB, tree *Tree, r ImportRequest) (Imported, error) {
	t.Helper()
	out, err := exported(t, tree)
	if err != nil {
		t.Fatalf("export: %v", err)
	}
	return takeFrom(t, tree, out, r)
}

func takeFrom(t testing.TB, tree *Tree, stream []byte, r ImportRequest) (Imported, error) {
	t.Helper()
	head, pack, err := ReadExport(bytes.NewReader(stream))
	if err != nil {
		t.Fatalf("ReadExport: %v", err)
	}
	r.Head, r.Pack = head, pack
	return tree.Import(t.Context(), r)
}

// objectFiles are the files below a repository's objects directory.
func objectFiles(t testing.TB, gitDir string) []string {
	t.Helper()
	return listed(t, filepath.Join(gitDir, "objects"))
}

func TestS82_CommitsOfAnExecutorAreTakenOver(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "dir/b": "2\n", "dir/c": "3\n"})
	shadow(t, b.tree)
	p := b.tree.Path()
	write(t, p, map[string]string{"a": "2\n"})
	within(t, b.tree, "commit", "-q", "-a", "-m", "one")
	within(t, b.tree, "switch", "-q", "-c", "topic")
	write(t, p, map[string]string{"dir/new": "n\n"})
	within(t, b.tree, "add", "-A")
	within(t, b.tree, "commit", "-q", "-m", "two")
	within(t, b.tree, "switch", "-q", "--detach", "HEAD~1")
	write(t, p, map[string]string{"a": "1\n"}) // as it was before: an object that the base has
	within(t, b.tree, "commit", "-q", "-a", "-m", "back")
	within(t, b.tree, "merge", "-q", "--no-ff", "-m", "merge", "topic")
	within(t, b.tree, "mv", "dir/b", "moved")
	within(t, b.tree, "commit", "-q", "-m", "moved")
	head := within(t, b.tree, "rev-parse", "HEAD")
	if !moved(t, b.tree) {
		t.Fatal("HEAD did not move")
	}
	got, err := take(t, b.tree, ImportRequest{})
	if err != nil {
		t.Fatalf("Import: %v", err)
	}
	same(t, "imported", got, Imported{Head: head, Ref: CommitsPrefix + "att_1", Count: 5, Published: true})
	c, _ := keep(t, b.tree, b.base)
	for _, dir := range []string{b.root, b.w.mirror.dir} {
		same(t, "ref", run(t, dir, "rev-parse", got.Ref), head)
		same(t, "log", run(t, dir, "log", "--format=%s %an", "--topo-order", "--first-parent", got.Ref), "moved executor\nmerge executor\nback executor\none executor\nstart Op")
		same(t, "tree", run(t, dir, "rev-parse", got.Ref+"^{tree}"), c.TreeAfter)
		run(t, dir, "fsck", "--strict")
	}
	same(t, "quarantine", exists(filepath.Join(b.tree.home, importName)), false)
	same(t, "kept commit's parent", run(t, b.root, "rev-parse", c.Commit+"^"), b.base)
}

func TestAnImportCanBeRepeatedButItsRefNeverMoves(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	shadow(t, b.tree)
	within(t, b.tree, "commit", "-q", "--allow-empty", "-m", "one")
	first, err := exported(t, b.tree)
	if err != nil {
		t.Fatal(err)
	}
	got, err := takeFrom(t, b.tree, first, ImportRequest{})
	if err != nil {
		t.Fatalf("Import: %v", err)
	}
	again, err := b.w.Reopen(t.Context(), "att_1")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := takeFrom(t, again, first, ImportRequest{}); err != nil || r != got {
		t.Errorf("a second time: %+v, %v", r, err)
	}
	within(t, b.tree, "commit", "-q", "--allow-empty", "-m", "two")
	before := objectFiles(t, b.w.mirror.dir)
	_, err = take(t, b.tree, ImportRequest{})
	wantCode(t, err, fault.Conflict)
	same(t, "ref", run(t, b.root, "rev-parse", got.Ref), got.Head)
	same(t, "objects", objectFiles(t, b.w.mirror.dir), before)
	run(t, b.root, "update-ref", "-d", got.Ref)
	if _, err := b.tree.Capture(t.Context(), CaptureRequest{Base: b.base, When: fixedTime}); err != nil {
		t.Fatal(err)
	}
	if err := b.w.Publish(t.Context(), "att_1"); err != nil {
		t.Fatalf("Publish: %v", err)
	}
	same(t, "published again", run(t, b.root, "rev-parse", got.Ref), got.Head)
}

func TestImportsOfSHA256AndShallowRepositoriesWork(t *testing.T) {
	wide := filepath.Join(t.TempDir(), "wide")
	if out, err := tryRun(t, filepath.Dir(wide), "init", "-q", "-b", "main", "--object-format=sha256", wide); err != nil {
		t.Skipf("this git has no sha256: %s", out)
	}
	write(t, wide, map[string]string{"a": "1\n"})
	commit(t, wide, "start")
	deep := operator(t, map[string]string{"a": "1\n"})
	commit(t, deep, "two")
	shallow := filepath.Join(t.TempDir(), "shallow")
	run(t, deep, "clone", "-q", "--depth=1", "file://"+deep, shallow)
	for _, root := range []string{wide, shallow} {
		w := openWorkspace(t, openTrees(t), root)
		tree := create(t, w, "att_1", resolve(t, w, "main"))
		shadow(t, tree)
		write(t, tree.Path(), map[string]string{"a": "2\n"})
		within(t, tree, "commit", "-q", "-a", "-m", "inside")
		got, err := take(t, tree, ImportRequest{})
		if err != nil {
			t.Fatalf("Import: %v", err)
		}
		same(t, "content", run(t, root, "show", got.Ref+":a"), "2")
	}
}

func TestS32_ParallelImportsDoNotCollide(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	var wg sync.WaitGroup
	const n = 12
	got := make([]Imported, n)
	for i := range n {
		tree := create(t, b.w, fmt.Sprintf("att_p%d", i), b.base)
		shadow(t, tree)
		write(t, tree.Path(), map[string]string{"new": fmt.Sprint(i), "same": "alike\n"})
		within(t, tree, "add", "-A")
		within(t, tree, "commit", "-q", "-m", "inside")
		stream, err := exported(t, tree)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			head, pack, err := ReadExport(bytes.NewReader(stream))
			if err == nil {
				got[i], err = tree.Import(t.Context(), ImportRequest{Head: head, Pack: pack})
			}
			if err != nil {
				t.Errorf("attempt %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i, c := range got {
		same(t, "content", run(t, b.root, "show", c.Ref+":new"), fmt.Sprint(i))
	}
	run(t, b.root, "fsck", "--strict", "--no-dangling")
	run(t, b.w.mirror.dir, "fsck", "--strict", "--no-dangling")
}

func TestAHeadThatDidNotMoveHasNoPack(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	shadow(t, b.tree)
	out, err := exported(t, b.tree)
	if err != nil || string(out) != b.base+"\n" {
		t.Errorf("got %q, %v", out, err)
	}
	_, err = takeFrom(t, b.tree, out, ImportRequest{})
	wantCode(t, err, fault.TreeRefused)
}

func TestCommitsThatCarryWhatIsProvisionedAreRefused(t *testing.T) {
	root := operator(t, map[string]string{"a": "1\n"})
	write(t, root, map[string]string{".env": "API_KEY=0123456789abcdef\n"})
	w := openWorkspace(t, openTrees(t), root)
	base := resolve(t, w, "main")
	for id, do := range map[string]func(tree *Tree){
		"att_path": func(tree *Tree) { within(t, tree, "add", "-f", ".env") },
		"att_other": func(tree *Tree) {
			write(t, tree.Path(), map[string]string{".env": "x"})
			within(t, tree, "add", "-f", ".env")
		},
		"att_copy": func(tree *Tree) {
			write(t, tree.Path(), map[string]string{"copy": "API_KEY=0123456789abcdef\n"})
			within(t, tree, "add", "copy")
		},
		"att_held": func(tree *Tree) {
			write(t, tree.Path(), map[string]string{"held/key": "k\n"})
			within(t, tree, "add", "-A")
			within(t, tree, "commit", "-q", "-m", "held")
			within(t, tree, "rm", "-q", "-r", "held")
		},
	} {
		tree := create(t, w, id, base, ".env")
		shadow(t, tree)
		do(tree)
		within(t, tree, "commit", "-q", "-m", "secret")
		_, err := take(t, tree, ImportRequest{Withhold: []string{"held"}})
		if !fault.Is(err, fault.TreeRefused) || !strings.Contains(err.Error(), "provisioned") {
			t.Errorf("%s: %v", id, err)
		}
	}
	if out := run(t, w.mirror.dir, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)"); strings.Contains(out, object{"blob", "API_KEY=0123456789abcdef\n"}.id()) {
		t.Error("the mirror holds the provisioned file")
	}
	tree := create(t, w, "att_good", base, ".env")
	shadow(t, tree)
	write(t, tree.Path(), map[string]string{"b": "fine\n"})
	within(t, tree, "add", "-A")
	within(t, tree, "commit", "-q", "-m", "fine")
	if got, err := take(t, tree, ImportRequest{Withhold: []string{"held"}}); err != nil || !got.Published {
		t.Errorf("a commit without it: %+v, %v", got, err)
	}
}

// stuck is a pack that never comes.
type stuck struct{ closed chan struct{} }

func (s stuck) Read([]byte) (int, error) { <-s.closed; return 0, os.ErrClosed }
func (s stuck) Close() error             { close(s.closed); return nil }

func TestAnImportThatIsCancelledLeavesNothing(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n"})
	_, err := b.tree.Import(cancelled(t), ImportRequest{Head: strings.Repeat("1", 40), Pack: stuck{make(chan struct{})}})
	if err == nil {
		t.Error("it succeeds")
	}
	same(t, "quarantine", exists(filepath.Join(b.tree.home, importName)), false)
	b.tree.rec.Sealed = true
	_, err = b.tree.Import(t.Context(), ImportRequest{})
	wantCode(t, err, fault.Conflict)
}

func FuzzReadExport(f *testing.F) {
	id := strings.Repeat("0123456789", 4)
	for _, s := range []string{id + "\nPACK", id + id[:24] + "\n", id, "", "\n", id + " \n", strings.ToUpper(id[:39]) + "A\n", id + "\r\n", "refs/heads/x\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		head, pack, err := ReadExport(bytes.NewReader(data))
		if err != nil {
			if head != "" || pack != nil {
				t.Errorf("an error beside %q", head)
			}
			return
		}
		rest, err := io.ReadAll(pack)
		if err != nil || !fullHex(head) || head+"\n"+string(rest) != string(data) {
			t.Errorf("%q is read as %q and %d bytes, %v", data, head, len(rest), err)
		}
	})
}

// BenchmarkImport measures the import of three commits, publication included, beside index-pack
// alone.
func BenchmarkImport(b *testing.B) {
	files := make(map[string]string)
	for i := range 1000 {
		files[fmt.Sprintf("dir%03d/file%05d.go", i/32, i)] = strings.Repeat(fmt.Sprintf("line %d\n", i), 20+i%230)
	}
	root := operator(b, files)
	w := openWorkspace(b, openTrees(b), root)
	base := resolve(b, w, "main")
	var ours, floor []time.Duration
	for n := 0; b.Loop(); n++ {
		tree := create(b, w, fmt.Sprintf("att_%d", n), base)
		shadow(b, tree)
		for k := range 3 {
			write(b, tree.Path(), map[string]string{"dir000/file00001.go": fmt.Sprint(n, k), fmt.Sprintf("new%d", k): "n\n"})
			within(b, tree, "add", "-A")
			within(b, tree, "commit", "-q", "-m", "inside")
		}
		stream, err := exported(b, tree)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if _, err := takeFrom(b, tree, stream, ImportRequest{}); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))
		into := filepath.Join(b.TempDir(), "into.git")
		run(b, root, "clone", "-q", "--bare", "--shared", root, into)
		began = time.Now()
		cmd := exec.CommandContext(b.Context(), "/usr/bin/git", "--git-dir", into, "index-pack", "--stdin", "--strict")
		cmd.Stdin = bytes.NewReader(stream[len(base)+1:])
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		floor = append(floor, time.Since(began))
	}
	b.ReportMetric(float64(median(ours).Microseconds())/1000, "import-ms")
	b.ReportMetric(float64(median(floor).Microseconds())/1000, "index-pack-ms")
	b.ReportMetric(0, "ns/op")
}
