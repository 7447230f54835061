package worktree

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// CommitsPrefix is where the commits that an executor made itself are found, in the mirror and in the
// operator's repository.
const CommitsPrefix = "refs/drawspan/commits/"

// Bounds of an import where the caller names none.
const (
	importBytes    = 256 << 20
	importObjects  = 200_000
	importCommits  = 10_000
	importInflated = 4 << 30
	importWall     = 5 * time.Minute
	importName     = "import" // the quarantine, in the directory of an attempt
)

// ImportRequest asks for the commits that an executor made to be taken over.
type ImportRequest struct {
	Head        string    // full id, as ReadExport gave it
	Pack        io.Reader // as ReadExport gave it; whoever feeds it ends when ctx does
	Withhold    []string  // paths that the commits may not touch, besides the provisioned ones
	MaxBytes    int64     // of the pack; 0: 256 MiB
	MaxInflated int64     // bytes that the pack unfolds to; 0: 4 GiB
	MaxObjects  int       // 0: 200,000
	MaxCommits  int       // 0: 10,000
}

// Imported is what was taken over. It is meaningful as soon as Ref is not empty, even beside an error: then
// the commits are in the mirror and only their publication failed.
type Imported struct {
	Head      string
	Ref       string
	Count     int  // commits
	Published bool // the ref is in the operator's repository too
}

// importing is one Import on its way.
type importing struct {
	t       *Tree
	r       ImportRequest
	git     *program
	repo    repo
	objects string // the quarantine
	seen    reach
}

// Import takes over the commits that an executor made: from a pack, checked in a quarantine, into the
// mirror under a ref that is made once, and from there into the operator's repository. The pack holds what
// Head reaches beyond Start and nothing else; Start is an ancestor of Head. Of what is refused nothing stays.
func (t *Tree) Import(ctx context.Context, r ImportRequest) (Imported, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rec.Sealed {
		return Imported{}, fault.New(fault.Conflict, "the tree of %s was made of a kept commit and has no commits of its own", t.rec.Attempt)
	}
	if !fullHex(r.Head) || len(r.Head) != len(t.rec.Start) {
		return Imported{}, t.refused(nil, "%q is not a full commit id", r.Head)
	}
	if r.Head == t.rec.Start {
		return Imported{}, t.refused(nil, "HEAD is where the attempt began")
	}
	for _, p := range r.Withhold {
		if err := checkPath(p); err != nil {
			return Imported{}, err
		}
	}
	if r.MaxBytes <= 0 {
		r.MaxBytes = importBytes
	}
	if r.MaxInflated <= 0 {
		r.MaxInflated = importInflated
	}
	if r.MaxObjects <= 0 {
		r.MaxObjects = importObjects
	}
	if r.MaxCommits <= 0 {
		r.MaxCommits = importCommits
	}
	m := t.w.mirror
	switch old, err := m.ref(CommitsPrefix + t.rec.Attempt); {
	case err != nil:
		return Imported{}, err
	case old != "" && old != r.Head:
		return Imported{}, otherCommits(CommitsPrefix + t.rec.Attempt)
	}
	i := &importing{t: t, r: r, git: t.w.trees.git, repo: m.repo, objects: filepath.Join(t.home, importName)}
	out, err := i.run(ctx)
	return out, errors.Join(err, os.RemoveAll(i.objects))
}

// refused is the fault of commits that are not taken over.
func (t *Tree) refused(err error, format string, args ...any) error {
	f := fault.Wrap(err, fault.TreeRefused, format, args...)
	f.Message = "the commits of attempt " + t.rec.Attempt + " are refused: " + f.Message
	return f
}

var errWall = errors.New("the import takes too long")

func (i *importing) run(ctx context.Context) (Imported, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, importWall, errWall)
	defer cancel()
	err := os.RemoveAll(i.objects)
	if err == nil {
		err = makeObjects(i.objects, i.t.w.mirror.objects())
	}
	if err != nil {
		return Imported{}, fmt.Errorf("make quarantine of %s: %w", i.t.rec.Attempt, err)
	}
	for _, step := range []func(context.Context) error{i.unpack, i.descends, i.connected, i.untouched, i.onlyReached} {
		if err := step(bounded); err != nil {
			return Imported{}, i.judge(err)
		}
	}
	return i.migrate(ctx)
}

// judge tells what the commits are at fault for from what the host failed at.
func (i *importing) judge(err error) error {
	var f *fault.Fault
	if errors.As(err, &f) {
		if f.Where == "" {
			f.Where = CommitsPrefix + i.t.rec.Attempt
		}
		return err
	}
	if errors.Is(err, errWall) {
		return fault.Wrap(err, fault.TooLarge, "the commits of attempt %s take longer than %s to check", i.t.rec.Attempt, importWall)
	}
	var exit *exec.ExitError
	var g *gitError
	if errors.As(err, &exit) && errors.As(err, &g) {
		return i.t.refused(exit, "git %s: %s", g.command, g.said)
	}
	return fmt.Errorf("import commits of %s: %w", i.t.rec.Attempt, err)
}

func (i *importing) call(args ...string) call {
	return call{repo: i.repo, objects: i.objects, fileSize: i.r.MaxBytes + 64<<20, args: args}
}

// unpack has git index the pack and check every object in it as strictly as it can. The pack has to be
// complete: were it filled up with objects of the mirror, a few bytes could ask for all of them.
func (i *importing) unpack(ctx context.Context) error {
	if c, ok := i.r.Pack.(io.Closer); ok {
		stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // the reader then fails, which is reported
		defer stop()
	}
	bounds := packBounds{bytes: i.r.MaxBytes, objects: i.r.MaxObjects, inflated: i.r.MaxInflated, wide: i.repo.sha256}
	run := i.call("index-pack", "--stdin", "--strict=badFilemode=error,gitmodulesParse=error", "--threads=1",
		"--max-input-size="+strconv.FormatInt(i.r.MaxBytes, 10))
	run.feed = func(w io.Writer) error { return scanPack(w, i.r.Pack, bounds) }
	_, err := i.git.run(ctx, run)
	return err
}

// descends wants Head to be a commit after Start.
func (i *importing) descends(ctx context.Context) error {
	run := i.call("cat-file", "--batch-check=%(objecttype)")
	run.stdin = strings.NewReader(i.r.Head + "\n")
	out, err := i.git.run(ctx, run)
	if err != nil {
		return err
	}
	if string(out) != "commit\n" {
		return i.t.refused(nil, "HEAD %.12s is not a commit that the pack holds", i.r.Head)
	}
	_, err = i.git.run(ctx, i.call("merge-base", "--is-ancestor", i.t.rec.Start, i.r.Head))
	if exitCode(err) == 1 {
		return i.t.refused(err, "HEAD %.12s does not come after %.12s, where the attempt began", i.r.Head, i.t.rec.Start)
	}
	return err
}

// connected walks everything that Head adds, which fails where something is missing.
func (i *importing) connected(ctx context.Context) error {
	i.seen = reach{max: i.r.MaxObjects, maxCommits: i.r.MaxCommits, ids: make(map[string]bool), line: make([]byte, 0, 128)}
	run := i.call("rev-list", "--objects", i.r.Head, "^"+i.t.rec.Start)
	run.stdout = &i.seen
	_, err := i.git.run(ctx, run)
	if i.seen.err != nil {
		return i.seen.err
	}
	return err
}

// untouched refuses commits that carry what was provisioned or is withheld, under its path or another.
func (i *importing) untouched(ctx context.Context) error {
	paths := slices.Concat(i.t.rec.apart(), i.r.Withhold)
	if len(paths) == 0 {
		return nil
	}
	out, err := i.git.run(ctx, i.call(slices.Concat([]string{"rev-list", "--full-history", "--max-count=1", i.r.Head, "^" + i.t.rec.Start, "--"}, paths)...))
	if err != nil {
		return err
	}
	if len(out) > 0 {
		return i.t.refused(nil, "commit %.12s touches a path that is provisioned or withheld", out)
	}
	blobs, err := i.t.provisionedBlobs()
	if err != nil {
		return err
	}
	for id, path := range blobs {
		if i.seen.ids[id] {
			return i.t.refused(nil, "they hold the bytes of provisioned file %s", path)
		}
	}
	return nil
}

// provisionedBlobs are the object ids that the provisioned files would have.
func (t *Tree) provisionedBlobs() (map[string]string, error) {
	if len(t.rec.Provision) == 0 {
		return nil, nil
	}
	tree, err := t.openRoot()
	if err != nil {
		return nil, err
	}
	defer closeFD(tree)
	dirs := []int{tree}
	if root, err := t.w.openRoot(); err == nil {
		defer root.Close()
		dirs = append(dirs, int(root.Fd()))
	}
	ids := make(map[string]string)
	for _, rel := range t.rec.Provision {
		for _, dir := range dirs {
			data, err := readBeneath(dir, rel, maxProvisionBytes)
			if err != nil || len(data) < minFingerprint {
				continue // what cannot be read has no bytes to compare
			}
			var sum hash.Hash = sha1.New()
			if t.w.mirror.sha256 {
				sum = sha256.New()
			}
			fmt.Fprintf(sum, "blob %d\x00", len(data))
			sum.Write(data)
			ids[hex.EncodeToString(sum.Sum(nil))] = rel
		}
	}
	return ids, nil
}

// onlyReached refuses a pack with objects that Head does not reach: nobody would ever look at them.
func (i *importing) onlyReached(context.Context) error {
	names, err := filepath.Glob(filepath.Join(i.objects, "pack", "pack-*.idx"))
	if err != nil || len(names) != 1 {
		return fmt.Errorf("find the pack in quarantine: %d found: %w", len(names), err)
	}
	ids, err := readPackIndex(names[0], i.repo.sha256)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !i.seen.ids[id] {
			return i.t.refused(nil, "the pack holds object %.12s, which HEAD does not need", id)
		}
	}
	return nil
}

// migrate hands the pack to the mirror and makes the refs.
func (i *importing) migrate(ctx context.Context) (Imported, error) {
	m, ref := i.t.w.mirror, CommitsPrefix+i.t.rec.Attempt
	put, err := linkObjects(ctx, i.objects, m.objects())
	if err == nil {
		err = put.writeOut(m.objects())
	}
	if err == nil {
		err = m.makeRef(ref, i.r.Head)
	}
	if err != nil {
		return Imported{}, fmt.Errorf("keep the commits of %s: %w", i.t.rec.Attempt, err)
	}
	out := Imported{Head: i.r.Head, Ref: ref, Count: i.seen.commits}
	if err := i.t.w.publish(ctx, ref, i.r.Head, i.objects); err != nil {
		return out, err
	}
	out.Published = true
	return out, nil
}

// makeRef makes a ref of the mirror that must not exist, or must be the same.
func (m *mirror) makeRef(ref, commit string) error {
	name := m.refPath(ref)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	tmp := name + ".lock" // no name of a ref
	if err := replaceFile(tmp, []byte(commit+"\n"), true); err != nil {
		return fmt.Errorf("write %s: %w", ref, err)
	}
	err := os.Link(tmp, name)
	err = errors.Join(err, os.Remove(tmp))
	if err == nil {
		return syncDir(filepath.Dir(name))
	}
	if !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("write %s: %w", ref, err)
	}
	old, errOld := m.ref(ref)
	if errOld != nil {
		return errOld
	}
	if old != commit {
		return otherCommits(ref)
	}
	return nil
}

func otherCommits(ref string) error {
	return fault.New(fault.Conflict, "other commits of the attempt are kept already").At(ref)
}
