package gaterun

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/report"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Repository is the operator's repository. Nothing of it is obeyed.
type Repository interface {
	// Revision is the commit that a name means.
	Revision(ctx context.Context, name string) (string, error)
	MergeBase(ctx context.Context, a, b string) (string, error)
	// Bring makes sure that the whole trees of commits are at hand.
	Bring(ctx context.Context, commits ...string) error
	Compare(ctx context.Context, base, head string) (work.DiffFacts, error)
	// Files are those regular files of a commit that pick names, by path.
	Files(ctx context.Context, commit string, pick func(path string) bool) (map[string][]byte, error)
}

// Range is what is judged.
type Range struct {
	BaseRef, HeadRef string // as they were named
	Asked            string // the commit that BaseRef names: its rules are used
	Base             string // the merge base, which the change is taken against
	Head             string
	Notes            []report.Note
}

// Resolve takes the first of the names that the repository has, for either end. Without names for the base
// it is the remote's own default branch.
func Resolve(ctx context.Context, repo Repository, base, head []string) (Range, error) {
	if len(head) == 0 {
		head = []string{"HEAD"}
	}
	if len(base) == 0 {
		base = []string{"refs/remotes/origin/HEAD"}
		if _, err := repo.Revision(ctx, base[0]); err != nil {
			return Range{}, fault.New(fault.InvalidRequest, "nothing says what the change is based on").Fix("name it: drawspan gate run --base REF")
		}
	}
	var r Range
	var err, noBase, noHead, headErr error
	var beside sync.WaitGroup
	beside.Go(func() { r.HeadRef, r.Head, noHead, headErr = first(ctx, repo, head) })
	r.BaseRef, r.Asked, noBase, err = first(ctx, repo, base)
	beside.Wait()
	if err != nil {
		return r, fmt.Errorf("find the base: %w", err)
	}
	if headErr != nil {
		return r, fmt.Errorf("find the head: %w", headErr)
	}
	if r.Base, err = repo.MergeBase(ctx, r.Asked, r.Head); err != nil {
		return r, err
	}
	switch missed := cmp.Or(noBase, noHead); {
	case r.Base == r.Head && missed != nil: // the name that was meant would have had a change
		return r, fmt.Errorf("find both ends of the change: %w", missed)
	case r.Base == r.Head:
		r.note("nothing-changed", "note", "the base %s has all of the head %s: there is no change to judge", r.BaseRef, r.HeadRef)
	case r.Base != r.Asked:
		r.note("base-moved-on", "note", "the base %s is not an ancestor of %s: the change is taken against their common ancestor %.12s, the rules are the base's",
			r.BaseRef, r.HeadRef, r.Base)
	}
	return r, repo.Bring(ctx, r.Asked, r.Base, r.Head)
}

func (r *Range) note(code, level, format string, args ...any) {
	r.Notes = append(r.Notes, report.Note{Code: code, Level: level, Text: fmt.Sprintf(format, args...)})
}

// first is the first name that means a commit, and why the first of all does not where that is another; where
// none does, why is the error.
func first(ctx context.Context, repo Repository, names []string) (name, commit string, missed, err error) {
	for _, n := range names {
		id, why := repo.Revision(ctx, n)
		if why == nil {
			return n, id, missed, nil
		}
		missed = cmp.Or(missed, why)
	}
	return "", "", nil, missed
}
