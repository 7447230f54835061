package worktree

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// diffFlags keep a diff from what a repository could ask for.
var diffFlags = []string{
	"--full-index", "--abbrev=64", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none", "--submodule=short",
	"--no-color", "--no-relative", "--src-prefix=a/", "--dst-prefix=b/", "--diff-algorithm=myers",
}

// maxPathspecs bounds the names of paths on one command line.
const maxPathspecs = 1 << 20

// Compare are the facts of what changed from one commit to another, as Capture gives those of a tree.
func (w *Workspace) Compare(ctx context.Context, base, head string) (work.DiffFacts, error) {
	if !fullHex(base) || !fullHex(head) {
		return work.DiffFacts{}, fault.New(fault.InvalidRequest, "%q and %q are not two full commit ids", base, head)
	}
	facts := &diffReader{size: func(string) int64 { return 0 }}
	facts.facts.Files = []work.Change{}
	args := append([]string{"diff-tree", "-r", "-t", "-z", "--raw", "--numstat"}, diffFlags...)
	_, err := w.trees.git.run(ctx, call{repo: w.mirror.repo, args: append(args, base, head), stdout: facts})
	if err = errors.Join(facts.err, err); err == nil {
		err = facts.finish()
	}
	if err == nil {
		err = facts.wellFormed(ctx, w.trees.git, call{repo: w.mirror.repo}, base, head)
	}
	if err == nil {
		err = writable(facts.facts.Files)
	}
	if err == nil {
		err = facts.lookUp(ctx, w.trees.git, call{repo: w.mirror.repo}, true)
	}
	if err != nil {
		return work.DiffFacts{}, fmt.Errorf("compare %s with %s: %w", head, base, err)
	}
	return facts.facts, nil
}

// Patch is the unified diff from one commit to another, of some paths alone where any are named. No bytes
// of binary files are in it. At most limit bytes are returned; cut says that there were more.
func (w *Workspace) Patch(ctx context.Context, base, head string, paths []string, limit int64) (patch []byte, cut bool, err error) {
	if !fullHex(base) || !fullHex(head) {
		return nil, false, fault.New(fault.InvalidRequest, "%q and %q are not two full commit ids", base, head)
	}
	args := append([]string{"diff-tree", "-r", "-p", "--unified=3"}, diffFlags...)
	args = append(args, base, head)
	if len(paths) > 0 {
		args = append(args, "--")
	}
	room := maxPathspecs
	for _, p := range paths {
		if room -= len(p) + 1; room < 0 { // each is in the patch several times: that is longer than anybody asks for
			cut = true
			break
		}
		args = append(args, p)
	}
	out := &firstBytes{limit: limit}
	_, err = w.trees.git.run(ctx, call{repo: w.mirror.repo, args: args, stdout: out})
	if err != nil && !out.cut {
		return nil, false, fmt.Errorf("make patch of %s: %w", head, err)
	}
	return out.buf.Bytes(), cut || out.cut, nil
}

// firstBytes keeps the first bytes, and ends who writes more.
type firstBytes struct {
	buf   bytes.Buffer
	limit int64
	cut   bool
}

// Write keeps what fits.
func (f *firstBytes) Write(p []byte) (int, error) {
	if room := f.limit - int64(f.buf.Len()); int64(len(p)) > room {
		f.buf.Write(p[:max(room, 0)])
		f.cut = true
		return 0, errPatchFull
	}
	return f.buf.Write(p)
}

// Base writes the files of a commit to a directory of its own, for a validator to compare with. The
// callee of drop must not use it any more.
func (w *Workspace) Base(ctx context.Context, commit string) (dir string, drop func(), err error) {
	name := "base-" + rand.Text()
	dir = filepath.Join(w.trees.dir, scratchDir, name)
	drop = func() {
		if err := w.trees.drop(unix.AT_FDCWD, dir, name); err != nil {
			w.trees.log.Warn("tree of a base was not removed", "dir", dir, "error", err)
		}
	}
	if _, err := w.Restore(ctx, commit, dir); err != nil {
		drop()
		return "", nil, err
	}
	return dir, drop, nil
}

// Base is Workspace.Base of the tree's repository.
func (t *Tree) Base(ctx context.Context, commit string) (dir string, drop func(), err error) {
	return t.w.Base(ctx, commit)
}

// Patch is Workspace.Patch from a commit to the one that the tree is kept as.
func (t *Tree) Patch(ctx context.Context, base string, paths []string, limit int64) (patch []byte, cut bool, err error) {
	t.mu.Lock()
	head := t.head()
	t.mu.Unlock()
	return t.w.Patch(ctx, base, head, paths, limit)
}

// maxLines bounds how much of a file is read to count its lines.
const maxLines = 16 << 20

// Lines counts the lines of a file of the tree, following no link. Found is false where there is no plain
// file; a link has one line. Of a file that is too large to be counted, n is the largest number.
func (t *Tree) Lines(ctx context.Context, path string) (n int, found bool, err error) {
	if !inside(path) || ctx.Err() != nil {
		return 0, false, context.Cause(ctx)
	}
	root, err := t.openRoot()
	if err != nil {
		return 0, false, err
	}
	defer closeFD(root)
	var st unix.Stat_t
	fd, err := openBeneath(root, path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ELOOP):
		return 1, true, nil
	case err != nil:
		return 0, false, nil // not there, or nothing that has lines
	}
	defer closeFD(fd)
	if err := unix.Fstat(fd, &st); err != nil || kind(&st) != unix.S_IFREG {
		return 0, false, err
	}
	if st.Size > maxLines {
		return int(^uint(0) >> 1), true, nil
	}
	return countLines(fd)
}

func countLines(fd int) (n int, found bool, err error) {
	buf, last := make([]byte, 64<<10), byte('\n')
	for {
		got, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, false, err
		}
		if got <= 0 {
			break
		}
		n += bytes.Count(buf[:got], []byte{'\n'})
		last = buf[got-1]
	}
	if last != '\n' {
		n++
	}
	return n, true, nil
}

const linkMode = "120000" // as a record of a diff has it

// maxLink bounds the target of a symbolic link that is kept: no kernel follows a longer one.
const maxLink = 4096

// lookUp adds to the facts what only the objects say: where links point and, where asked, the sizes.
func (d *diffReader) lookUp(ctx context.Context, git *program, where call, sizes bool) error {
	var ids bytes.Buffer
	var links, all []int
	for i, c := range d.facts.Files {
		if c.NewMode == linkMode {
			links = append(links, i)
		}
		if sizes && (c.NewMode[0] == '1' && c.NewMode != "160000") {
			all = append(all, i)
			ids.WriteString(d.ids[i] + "\n")
		}
	}
	if len(all) > 0 {
		check := where
		check.args, check.stdin = []string{"cat-file", "--batch-check=%(objectsize)", "--buffer"}, &ids
		sizesOf := &lineReader{take: func(k int, line string) error {
			n, err := strconv.ParseInt(line, 10, 64)
			if err != nil || k >= len(all) {
				return fmt.Errorf("read sizes: %.40q is none", line)
			}
			d.facts.Files[all[k]].Size = n
			return nil
		}}
		check.stdout = sizesOf
		if _, err := git.run(ctx, check); err != nil {
			return errors.Join(sizesOf.err, err)
		}
	}
	return d.targets(ctx, git, where, links)
}

// targets reads where the links point.
func (d *diffReader) targets(ctx context.Context, git *program, where call, links []int) error {
	if len(links) == 0 {
		return nil
	}
	ids := make([]string, 0, len(links))
	for _, i := range links {
		ids = append(ids, d.ids[i])
	}
	n := 0
	return git.objects(ctx, where, ids, func(in *bufio.Reader) error {
		target, err := readObject(in, "blob", maxLink)
		d.facts.Files[links[n]].Link = string(target)
		n++
		return err
	})
}

// lineReader hands on line after line of what is written to it.
type lineReader struct {
	take func(n int, line string) error
	n    int
	rest []byte
	err  error
}

// Write takes the next part of the output.
func (l *lineReader) Write(p []byte) (int, error) {
	whole := len(p)
	for len(p) > 0 && l.err == nil {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			if l.rest = append(l.rest, p...); len(l.rest) > maxPath {
				l.err = fmt.Errorf("read git's answer: a line that is too long")
			}
			break
		}
		l.err = l.take(l.n, string(append(l.rest, p[:end]...)))
		l.n, l.rest, p = l.n+1, l.rest[:0], p[end+1:]
	}
	if l.err != nil {
		return 0, l.err
	}
	return whole, nil
}
