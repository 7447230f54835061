package cli

import (
	"context"
	"strings"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
)

// ulidLen is the length of an id after its type prefix.
const ulidLen = 26

// How far back a shortened id is looked for.
const (
	resolvePage  = 200
	resolvePages = 5
)

// idKind is a kind of object that an argument may name.
type idKind struct {
	prefix string // "step_"
	noun   string
	// page lists one page of ids, newest first.
	page func(ctx context.Context, c *client.Client, p api.Page) (ids []string, next string, err error)
}

var (
	runIDs = idKind{"run_", "run", func(ctx context.Context, c *client.Client, p api.Page) ([]string, string, error) {
		l, err := client.Call[api.List[api.Run]](ctx, c, api.OpRunList, api.RunListRequest{Page: p})
		return idsOf(l.Items, func(r api.Run) string { return r.ID }), l.Next, err
	}}
	stepIDs = idKind{"step_", "step", func(ctx context.Context, c *client.Client, p api.Page) ([]string, string, error) {
		l, err := client.Call[api.List[api.Step]](ctx, c, api.OpStepList, api.StepListRequest{Page: p})
		return idsOf(l.Items, func(x api.Step) string { return x.ID }), l.Next, err
	}}
	attemptIDs = idKind{"att_", "attempt", func(ctx context.Context, c *client.Client, p api.Page) ([]string, string, error) {
		l, err := client.Call[api.List[api.Attempt]](ctx, c, api.OpAttemptList, api.AttemptListRequest{Page: p})
		return idsOf(l.Items, func(a api.Attempt) string { return a.ID }), l.Next, err
	}}
	approvalIDs = idKind{"apr_", "approval", func(ctx context.Context, c *client.Client, p api.Page) ([]string, string, error) {
		l, err := client.Call[api.List[api.Approval]](ctx, c, api.OpApprovalList, api.ApprovalListRequest{Page: p, State: "all"})
		return idsOf(l.Items, func(a api.Approval) string { return a.ID }), l.Next, err
	}}
)

func idsOf[T any](items []T, of func(T) string) []string {
	ids := make([]string, len(items))
	for i, x := range items {
		ids[i] = of(x)
	}
	return ids
}

// resolve completes an id that may be shortened to a unique beginning, with or without its type. It
// looks back a bounded number of objects.
func resolve(ctx context.Context, c *client.Client, kind idKind, arg string) (string, error) {
	rest := strings.ToUpper(strings.TrimPrefix(arg, kind.prefix))
	if other, _, ok := strings.Cut(arg, "_"); ok && other+"_" != kind.prefix {
		return "", usage("%q is no %s id: those begin with %s", arg, kind.noun, kind.prefix).
			Fix("run: drawspan why %s", arg)
	}
	if !crockford(rest) {
		return "", usage("%q is no %s id", arg, kind.noun)
	}
	id := kind.prefix + rest
	if len(rest) == ulidLen {
		return id, nil
	}
	found, err := search(ctx, c, kind, id)
	if err != nil {
		return "", err
	}
	switch len(found) {
	case 0:
		return "", fault.New(fault.NotFound, "no %s begins with %s among the newest %d", kind.noun, id, resolvePage*resolvePages).
			Fix("give the whole id, or list them: drawspan %s ls", kind.noun)
	case 1:
		return found[0], nil
	}
	return "", usage("%s is the beginning of more than one %s: %s", id, kind.noun, strings.Join(found, ", ")).
		Fix("give more of the id")
}

// search finds what begins with the id, at most a handful.
func search(ctx context.Context, c *client.Client, kind idKind, id string) ([]string, error) {
	var found []string
	page := api.Page{Limit: resolvePage}
	for range resolvePages {
		ids, next, err := kind.page(ctx, c, page)
		if err != nil {
			return nil, err
		}
		for _, x := range ids {
			if strings.HasPrefix(x, id) {
				found = append(found, x)
			}
		}
		if next == "" || len(found) > 4 {
			break
		}
		page.Cursor = next
	}
	return found[:min(len(found), 5)], nil
}

// crockford reports whether s can be the beginning of a ULID.
func crockford(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", r) {
			return false
		}
	}
	return s != "" && len(s) <= ulidLen
}

// newestAttempt is the attempt that an argument names: itself, or the newest of a step.
func newestAttempt(ctx context.Context, c *client.Client, arg string) (string, error) {
	if !strings.HasPrefix(arg, stepIDs.prefix) {
		return resolve(ctx, c, attemptIDs, arg)
	}
	id, err := resolve(ctx, c, stepIDs, arg)
	if err != nil {
		return "", err
	}
	step, err := client.Call[api.Step](ctx, c, api.OpStepGet, api.StepRef{StepID: id})
	if err != nil {
		return "", err
	}
	if step.AttemptID == "" {
		return "", fault.New(fault.NotFound, "the step has no attempt yet; it is %s", step.State).At(id).
			Fix("run: drawspan step wait %s", id)
	}
	return step.AttemptID, nil
}
