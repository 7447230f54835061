package worktree

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

// steps are the ways from a commit to an earlier one that a revision may end in.
var steps = regexp.MustCompile(`^(.*?)((?:[~^][0-9]{0,6})*)$`)

var abbreviated = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// Revision is the commit that a name of the operator's repository means: HEAD, a branch, a tag, a remote
// branch, a full ref or a commit id, and what ~ and ^ lead to from there. A name that several refs answer to
// with different commits is refused, never guessed.
func (w *Workspace) Revision(ctx context.Context, name string) (string, error) {
	parts := steps.FindStringSubmatch(name)
	if parts == nil || len(name) > maxRef {
		return "", fault.New(fault.InvalidRequest, "%q names no revision", name)
	}
	id, err := w.named(ctx, parts[1])
	if err != nil {
		return "", err
	}
	if err := w.check(); err != nil {
		return "", err
	}
	out, err := w.trees.git.run(ctx, call{entry: filepath.Join(w.root, ".git"), work: w.root,
		args: []string{"rev-parse", "--verify", "--quiet", "--end-of-options", id + parts[2] + "^{commit}"}})
	commit := strings.TrimSpace(string(out))
	if exitCode(err) > 0 || err == nil && !fullHex(commit) {
		return "", w.unfetched(fault.New(fault.NotFound, "the repository has no commit %q", name).At(w.root))
	}
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", name, err)
	}
	return commit, nil
}

// named is the commit of the one ref that a short or full name means, or HEAD or an id as it stands.
func (w *Workspace) named(ctx context.Context, name string) (string, error) {
	if name == "HEAD" || name == "@" {
		return "HEAD", nil
	}
	if fullHex(name) {
		return name, nil
	}
	if err := checkRef(name); err != nil {
		return "", err
	}
	found, err := w.candidates(ctx, name)
	switch {
	case err != nil:
		return "", err
	case len(found) == 1:
		return found[0].Commit, nil
	case len(found) > 1:
		return "", fault.New(fault.InvalidRequest, "%q is ambiguous: %s and %s are different commits", name, found[0].Name, found[1].Name).At(w.root).
			Fix("name it in full: %s", found[0].Name)
	case abbreviated.MatchString(name):
		return name, nil
	}
	return "", w.unfetched(fault.New(fault.NotFound, "no branch, tag or remote branch %q", name).At(w.root))
}

// candidates are the refs that a name may mean, one for each commit.
func (w *Workspace) candidates(ctx context.Context, name string) ([]Ref, error) {
	full := []string{heads + name, tags + name, "refs/remotes/" + name}
	if strings.HasPrefix(name, "refs/") {
		full = []string{name}
	}
	refs, err := w.originRefs(ctx, full...)
	var found []Ref
	for _, r := range refs {
		known := slices.ContainsFunc(found, func(f Ref) bool { return f.Commit == r.Commit })
		if slices.Contains(full, r.Name) && !known {
			found = append(found, r)
		}
	}
	return found, err
}

// Shallow reports whether the operator's repository has only a part of its history.
func (w *Workspace) Shallow() bool {
	return exists(filepath.Join(w.origin.dir, "shallow"))
}

// unfetched says how to get what a repository lacks.
func (w *Workspace) unfetched(f *fault.Fault) *fault.Fault {
	if w.Shallow() {
		f.Message += "; it is a shallow clone"
		return f.Fix("git fetch --unshallow origin, or have the checkout fetch all history (actions/checkout: fetch-depth: 0; GitLab: GIT_DEPTH: 0)")
	}
	return f.Fix("git fetch origin")
}

// MergeBase is the best common ancestor of two commits.
func (w *Workspace) MergeBase(ctx context.Context, a, b string) (string, error) {
	if !fullHex(a) || !fullHex(b) {
		return "", fault.New(fault.InvalidRequest, "%q or %q is no commit id", a, b)
	}
	out, err := w.trees.git.run(ctx, call{repo: w.origin, args: []string{"merge-base", a, b}})
	if exitCode(err) == 1 {
		return "", w.unfetched(fault.New(fault.NotFound, "commits %.12s and %.12s have no common ancestor here", a, b).At(w.root))
	}
	if err != nil {
		return "", fmt.Errorf("look for a common ancestor: %w", err)
	}
	commit := strings.TrimSpace(string(out))
	if !fullHex(commit) {
		return "", fmt.Errorf("look for a common ancestor: git answered with no commit id")
	}
	return commit, nil
}

// Blob is a regular file of a commit.
type Blob struct {
	Path string
	Data []byte
}

// Bounds of Files.
const (
	maxPicks  = 2000
	maxPick   = 1 << 20
	maxPicked = 32 << 20
)

// Files reads those files of a commit that pick names. What is no regular file is not among them; links
// are refused, as what they mean is not in the commit.
func (w *Workspace) Files(ctx context.Context, commit string, pick func(path string) bool) ([]Blob, error) {
	if err := w.bring(ctx, commit); err != nil {
		return nil, err
	}
	listed, err := w.listed(ctx, commit, pick)
	if err != nil || len(listed) == 0 {
		return nil, err
	}
	if len(listed) > maxPicks {
		return nil, fault.New(fault.TooLarge, "commit %.12s has more than %d such files", commit, maxPicks)
	}
	total := int64(0)
	for _, e := range listed {
		if e.mode == "120000" {
			return nil, fault.New(fault.InvalidRequest, "%q is a symbolic link in commit %.12s", e.path, commit).Fix("commit the file itself")
		}
		if total += e.size; e.size > maxPick || total > maxPicked {
			return nil, fault.New(fault.TooLarge, "%q is too large to be read from commit %.12s", e.path, commit)
		}
	}
	blobs, err := w.contents(ctx, listed)
	if err != nil {
		return nil, fmt.Errorf("read files of %s: %w", commit, err)
	}
	return blobs, nil
}

// contents reads listed files with one process.
func (w *Workspace) contents(ctx context.Context, listed []entryOf) ([]Blob, error) {
	var ask strings.Builder
	for _, e := range listed {
		ask.WriteString(e.id + "\n")
	}
	out, err := w.trees.git.run(ctx, call{repo: w.mirror.repo, args: []string{"cat-file", "--batch"}, stdin: strings.NewReader(ask.String())})
	if err != nil {
		return nil, err
	}
	blobs := make([]Blob, 0, len(listed))
	for _, e := range listed {
		head := fmt.Appendf(nil, "%s blob %d\n", e.id, e.size)
		if int64(len(out)) <= int64(len(head))+e.size || !bytes.HasPrefix(out, head) {
			return nil, fmt.Errorf("%q: git did not answer with its %d bytes", e.path, e.size)
		}
		out = out[len(head):]
		blobs = append(blobs, Blob{e.path, out[:e.size:e.size]})
		out = out[e.size+1:] // a line's end follows
	}
	return blobs, nil
}

// entryOf is a line of ls-tree: mode, id, size and path.
type entryOf struct {
	mode, id, path string
	size           int64
}

func (w *Workspace) listed(ctx context.Context, commit string, pick func(path string) bool) ([]entryOf, error) {
	out, err := w.trees.git.run(ctx, call{repo: w.mirror.repo, args: []string{"ls-tree", "-r", "-l", "-z", "--full-tree", commit}})
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", commit, err)
	}
	var list []entryOf
	for line := range bytes.SplitSeq(out, []byte{0}) {
		about, path, ok := strings.Cut(string(line), "\t")
		parts := strings.Fields(about)
		if !ok || len(parts) != 4 || parts[1] != "blob" || !pick(path) {
			continue
		}
		size, err := strconv.ParseInt(parts[3], 10, 64)
		if err != nil || !fullHex(parts[2]) {
			return nil, fmt.Errorf("list the files of %s: a line is not understood", commit)
		}
		list = append(list, entryOf{parts[0], parts[2], path, size})
	}
	return list, nil
}

// Bring makes sure that the mirror has the whole trees of commits. What the trees share is looked at once.
func (w *Workspace) Bring(ctx context.Context, commits ...string) error {
	m := w.mirror
	m.mu.Lock()
	defer m.mu.Unlock()
	var wanted []string
	for _, c := range commits {
		if !fullHex(c) {
			return fault.New(fault.InvalidRequest, "%q is no commit id", c)
		}
		if !m.holds(c) && !slices.Contains(wanted, c) {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	missing, err := w.missing(ctx, wanted...)
	if err != nil {
		return err
	}
	for _, c := range wanted {
		if missing == 0 {
			err = m.setRef(basePrefix+c, c)
		} else {
			err = w.brought(ctx, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TreeOf is the id of a commit's tree.
func (w *Workspace) TreeOf(ctx context.Context, commit string) (string, error) {
	return w.mirror.tree(ctx, w.trees.git, commit)
}

// TopOf is the top of the repository that a path of this machine lies in, "" for none.
func TopOf(path string) string {
	for dir := path; ; dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, ".git")) {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}
