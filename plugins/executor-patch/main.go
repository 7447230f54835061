// Command drawspan-executor-patch performs a step whose text is a unified diff, by applying it. No model is
// asked and nothing is guessed: the diff applies as it is, or the attempt fails and the tree is untouched.
//
//	executor "patch" {
//		plugin  = "patch"
//		sandbox = "box"
//	}
//
// README.md says what a diff may hold.
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

var manifest = sdk.Manifest{
	Name:    "patch",
	Version: "0.1.0",
	Summary: "applies the unified diff that the step's text is, or none of it",
}

func main() { plugin.Serve(manifest, executor{}) }

type executor struct{}

// Run applies the diff. What is wrong with it, or with the tree, is a failure of class policy: the same
// diff fails the same way again.
func (executor) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	files, err := read(a.Instruction)
	if err != nil {
		return sdk.Result{}, classed(err)
	}
	if err := tell(ctx, a, sdk.EventToolStarted, sdk.ToolStarted{Kind: "edit", Title: "apply the diff", Paths: paths(files)}); err != nil {
		return sdk.Result{}, err
	}
	// What is told after a cancellation is told all the same.
	telling := context.WithoutCancel(ctx)
	if err := apply(ctx, a.Tree, files); err != nil {
		return broken(ctx, a, err)
	}
	for _, f := range files {
		if err := tell(telling, a, sdk.EventFileChanged, sdk.FileChanged{Path: f.path, Op: f.op, Basis: "reported"}); err != nil {
			return sdk.Result{}, err
		}
	}
	if err := tell(telling, a, sdk.EventToolEnded, sdk.ToolEnded{Status: "ok"}); err != nil {
		return sdk.Result{}, err
	}
	return sdk.Result{StopReason: "end_turn", Summary: fmt.Sprintf("the diff is applied: %s", counted(len(files), "file"))}, nil
}

// broken ends an attempt whose diff was not applied.
func broken(ctx context.Context, a *sdk.Attempt, why error) (sdk.Result, error) {
	ended := sdk.ToolEnded{Status: "failed", Output: why.Error()}
	if ctx.Err() != nil {
		ended.Status = "cancelled"
	}
	if err := tell(context.WithoutCancel(ctx), a, sdk.EventToolEnded, ended); err != nil {
		return sdk.Result{}, err
	}
	if ctx.Err() != nil {
		return sdk.Result{StopReason: "cancelled"}, nil
	}
	return sdk.Result{}, classed(why)
}

// maxShown bounds the paths of an event: the changes are told one by one as well.
const maxShown = 200

func paths(files []file) []string {
	var all []string
	for _, f := range files[:min(len(files), maxShown)] {
		all = append(all, f.path)
	}
	return all
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func tell(ctx context.Context, a *sdk.Attempt, kind sdk.EventType, data any) error {
	e, err := sdk.NewEvent(kind, data)
	if err != nil {
		return err
	}
	e.ItemID = "diff"
	return a.Host.Emit(ctx, e)
}

// refusal is what the diff or the tree has against being applied; any other error is the machine's.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

func classed(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return &sdk.Failure{Class: "policy", Message: r.text}
	}
	return err
}
