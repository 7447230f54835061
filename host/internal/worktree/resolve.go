package worktree

import (
	"context"
	"fmt"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

// refLine is a line of for-each-ref: name, object, and what a tag peels to.
const refFormat = "--format=%(refname)%00%(objecttype) %(objectname)%00%(*objecttype) %(*objectname)"

// originRefs lists refs of the operator's repository that name commits, tags peeled.
func (w *Workspace) originRefs(ctx context.Context, patterns ...string) ([]Ref, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	out, err := w.trees.git.run(ctx, call{repo: w.origin, args: append([]string{"for-each-ref", refFormat}, patterns...)})
	if err != nil {
		return nil, fmt.Errorf("list refs of %s: %w", w.root, err)
	}
	var refs []Ref
	for line := range strings.Lines(string(out)) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\x00")
		if len(parts) != 3 {
			return nil, fmt.Errorf("list refs of %s: a line has %d fields", w.root, len(parts))
		}
		for _, object := range parts[1:] {
			if id, ok := strings.CutPrefix(object, "commit "); ok && fullHex(id) {
				refs = append(refs, Ref{parts[0], id})
			}
		}
	}
	return refs, nil
}

// Branches are the branches of the operator's repository, by name.
func (w *Workspace) Branches(ctx context.Context) ([]Ref, error) { return w.originRefs(ctx, heads) }

// Resolve turns a branch, a tag or a full commit id that a branch or tag names into a commit, and makes
// sure that the mirror holds it.
func (w *Workspace) Resolve(ctx context.Context, ref string) (string, error) {
	commit, err := w.lookUp(ctx, ref)
	if err != nil {
		return "", err
	}
	return commit, w.bring(ctx, commit)
}

func (w *Workspace) lookUp(ctx context.Context, ref string) (string, error) {
	if fullHex(ref) {
		return w.lookUpID(ctx, ref)
	}
	if err := checkRef(ref); err != nil {
		return "", err
	}
	patterns := []string{heads + ref, tags + ref}
	if strings.HasPrefix(ref, heads) || strings.HasPrefix(ref, tags) {
		patterns = []string{ref}
	}
	refs, err := w.originRefs(ctx, patterns...)
	if err != nil {
		return "", err
	}
	var found []Ref
	for _, r := range refs {
		for _, p := range patterns {
			if r.Name == p {
				found = append(found, r)
			}
		}
	}
	switch len(found) {
	case 0:
		return "", fault.New(fault.NotFound, "no branch or tag %q", ref).At(w.root).
			Fix("git -C %s branch --list", word(w.root))
	case 1:
		return found[0].Commit, nil
	}
	return "", fault.New(fault.InvalidRequest, "%q is both a branch and a tag", ref).At(w.root).
		Fix("say %s or %s", heads+ref, tags+ref)
}

// lookUpID wants a branch or tag that names the commit, so that not every object of the repository can
// be asked for.
func (w *Workspace) lookUpID(ctx context.Context, id string) (string, error) {
	refs, err := w.originRefs(ctx, heads, tags)
	if err != nil {
		return "", err
	}
	for _, r := range refs {
		if r.Commit == id {
			return id, nil
		}
	}
	return "", fault.New(fault.NotFound, "no branch or tag names commit %s", id).At(w.root).
		Fix("git -C %s branch NAME %s", word(w.root), id)
}
