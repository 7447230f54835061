package worktree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

// maxHaves is how many commits the receiving side names as known.
const maxHaves = 32

// bring makes sure that the mirror has the whole tree of a commit of the operator's repository.
func (w *Workspace) bring(ctx context.Context, commit string) error {
	m := w.mirror
	if m.holds(commit) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holds(commit) {
		return nil
	}
	return w.brought(ctx, commit)
}

// brought is bring for who holds the mirror.
func (w *Workspace) brought(ctx context.Context, commit string) error {
	m := w.mirror
	missing, err := w.missing(ctx, commit)
	if err != nil {
		return err
	}
	if missing > 0 {
		if err := m.copyShallow(w.origin); err != nil {
			return err
		}
		if err := w.fetch(ctx, commit); err != nil {
			return err
		}
		if missing, err = w.missing(ctx, commit); err != nil {
			return err
		}
	}
	if missing > 0 {
		return w.incomplete(nil, commit, missing)
	}
	return m.setRef(basePrefix+commit, commit)
}

// incomplete is the refusal of a commit whose files are not all there.
func (w *Workspace) incomplete(err error, commit string, missing int) error {
	f := fault.Wrap(err, fault.WorkspaceUnusable, "commit %.12s lacks objects in the repository", commit).At(w.root)
	if missing > 1 {
		f.Message = fmt.Sprintf("commit %.12s lacks %d objects in the repository", commit, missing)
	}
	if partial(w.origin) {
		f.Message += ", which is a partial clone"
		return f.Fix("git -C %s fetch --refetch --no-filter, or checkout the branch there once", word(w.root))
	}
	return f.Fix("git -C %s fsck", word(w.root))
}

// partial reports whether the repository left objects at a remote.
func partial(r repo) bool {
	promised, err := filepath.Glob(filepath.Join(r.dir, "objects", "pack", "*.promisor"))
	return err == nil && len(promised) > 0
}

// missing counts the objects of the commits' trees that the mirror lacks; at least 1 if a commit is
// unknown to it.
func (w *Workspace) missing(ctx context.Context, commits ...string) (int, error) {
	out, err := w.trees.git.run(ctx, call{repo: w.mirror.repo, args: append([]string{
		"rev-list", "--objects", "--no-walk", "--missing=print", "--no-object-names",
	}, commits...)})
	if code := exitCode(err); code > 0 {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for missing objects: %w", err)
	}
	n := bytes.Count(out, []byte("\n?"))
	if bytes.HasPrefix(out, []byte("?")) {
		n++
	}
	return n, nil
}

// fetch copies a commit and what it reaches from the operator's repository, leaving out what commits
// reach that both have.
func (w *Workspace) fetch(ctx context.Context, commit string) error {
	bases, err := w.mirror.bases()
	if err != nil {
		return err
	}
	into := call{repo: w.mirror.repo, args: []string{"index-pack", "--stdin", "--fix-thin"}}
	err = w.trees.git.transfer(ctx, w.origin, into, commit, bases)
	switch {
	case err == nil:
		return nil
	case exitCode(err) > 0 && !fault.Is(err, fault.NoSpace):
		return w.incomplete(err, commit, 0)
	}
	return fmt.Errorf("bring commit %s: %w", commit, err)
}

// transfer packs what a commit reaches in one repository and has index unpack it in another, by two git
// processes and a pipe: no transport, no shell, no configuration of a remote.
func (p *program) transfer(ctx context.Context, from repo, index call, want string, haves []string) error {
	haves, err := p.known(ctx, from, haves)
	if err != nil {
		return err
	}
	var ask strings.Builder
	ask.WriteString(want + "\n--not\n")
	for _, h := range haves {
		ask.WriteString(h + "\n")
	}
	if err := p.acquire(ctx); err != nil {
		return err
	}
	defer p.release()
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe between git processes: %w", err)
	}
	defer read.Close()
	defer write.Close()
	pack := call{repo: from, stdin: strings.NewReader(ask.String()), args: []string{
		"pack-objects", "--revs", "--thin", "--stdout", "-q", "--delta-base-offset",
	}}
	index.stdin = read
	return p.pipe(ctx, pack, index, write, read)
}

// pipe runs two processes, the first writing into w, the second reading from r.
func (p *program) pipe(ctx context.Context, first, second call, w, r *os.File) error {
	var said1, said2, out limited
	said1.limit, said2.limit, out.limit = maxStderr, maxStderr, maxStderr
	a, b := p.command(ctx, first, &said1), p.command(ctx, second, &said2)
	a.Stdout, b.Stdout = w, &out
	if err := b.Start(); err != nil {
		return fmt.Errorf("start git %s: %w", second.args[0], err)
	}
	errA := a.Start()
	if errA == nil {
		// The ends of the pipe now belong to the processes.
		errA = errors.Join(w.Close(), r.Close(), a.Wait())
	} else {
		errA = errors.Join(errA, w.Close(), r.Close())
	}
	errB := b.Wait()
	if errA != nil {
		return p.explain(ctx, first, errA, &said1)
	}
	if errB != nil {
		return p.explain(ctx, second, errB, &said2)
	}
	return nil
}

// known keeps those commits that a repository has.
func (p *program) known(ctx context.Context, r repo, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := p.run(ctx, call{repo: r, stdin: strings.NewReader(strings.Join(ids, "\n") + "\n"),
		args: []string{"cat-file", "--batch-check=%(objecttype) %(objectname)"}})
	if err != nil {
		return nil, fmt.Errorf("look up commits: %w", err)
	}
	var have []string
	for line := range strings.Lines(string(out)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "commit "); ok {
			have = append(have, id)
		}
	}
	return have, nil
}
