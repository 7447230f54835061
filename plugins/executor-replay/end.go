package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tool"
)

// ending is how the recorded attempt ended.
type ending struct {
	Schema    string `json:"schema"`
	Outcome   string `json:"outcome"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
	Claim     *struct {
		StopReason string `json:"stop_reason"`
		ExitCode   *int   `json:"exit_code"`
		Signal     string `json:"signal"`
		Summary    string `json:"summary"`
		Error      string `json:"error"`
		ErrorClass string `json:"error_class"`
	} `json:"claim"`
	Evidence *struct {
		Diff *numbers `json:"diff"`
	} `json:"evidence"`

	absent bool
}

// numbers are what the host counted of the recorded change.
type numbers struct {
	Files []struct {
		Op string `json:"op"`
	} `json:"files"`
	Insertions int `json:"insertions"`
	Deletions  int `json:"deletions"`
}

// diff is what the recorded change must add up to; nil where that is not known.
func (e ending) diff() *numbers {
	if e.Evidence == nil {
		return nil
	}
	return e.Evidence.Diff
}

// claim reads result.json; without one the recorded attempt ended well.
func (r *recording) claim() (ending, error) {
	f, err := r.file("result.json", maxResult)
	if errors.Is(err, errNoFile) {
		return ending{absent: true}, nil
	}
	if err != nil {
		return ending{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxResult))
	var e ending
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		return ending{}, bad("result.json is no JSON object of a result")
	}
	return e, e.check()
}

// check looks at what would become a claim.
func (e ending) check() error {
	if !strings.HasPrefix(e.Schema, "drawspan/result/") {
		return bad("result.json has the schema %.60q, not drawspan/result", e.Schema)
	}
	if e.Claim == nil {
		return nil
	}
	if class := e.Claim.ErrorClass; class != "" && !slices.Contains(sdk.ErrorClasses(), class) {
		return bad("result.json has the unknown error class %.60q", class)
	}
	if max(len(e.Claim.Summary), len(e.Claim.Error)) > sdk.MaxSummary {
		return bad("a text of result.json is longer than %d bytes", sdk.MaxSummary)
	}
	return nil
}

// result is the recorded claim. What ended without one did not end by itself.
func (e ending) result() (sdk.Result, error) {
	if e.absent {
		return sdk.Result{StopReason: "end_turn", Summary: "the recording was replayed"}, nil
	}
	if e.Claim == nil {
		return sdk.Result{}, &sdk.Failure{Class: "crash", Message: "the recorded attempt ended without a claim, as " + clip(e.Outcome) + ": " + clip(e.Message)}
	}
	return sdk.Result{
		StopReason: e.Claim.StopReason, ExitCode: e.Claim.ExitCode, Signal: e.Claim.Signal, Summary: e.Claim.Summary,
		Failed: e.Claim.Error != "" || e.Claim.ErrorClass != "", Class: e.Claim.ErrorClass, Message: e.Claim.Error,
		Retryable: e.Retryable, Denied: e.Outcome == "denied",
	}, nil
}

// change makes the recorded change of the tree, if there was one. Git is kept from the tree's own git
// directory and so from its configuration and attributes; it refuses paths that lead out of the tree.
func (r *recording) change(ctx context.Context, tree string, want *numbers) error {
	f, err := r.file("diff.patch", maxPatch)
	if errors.Is(err, errNoFile) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	private, err := os.MkdirTemp("", "replay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(private) //nolint:errcheck // it goes with the sandbox
	patch := filepath.Join(private, "patch")
	size, err := copyTo(patch, f)
	if err != nil || size == 0 {
		return err
	}
	return git{tree: tree, home: private}.change(ctx, patch, want)
}

// git applies patches to a tree.
type git struct{ tree, home string }

func (g git) apply(ctx context.Context, output func(string, []byte) error, args ...string) error {
	r, err := tool.Run(ctx, tool.Command{
		Argv: append([]string{"git", "apply", "--whitespace=nowarn", "-p1"}, args...), Dir: g.tree, Output: output,
		Env: tool.Environ(nil, map[string]string{
			"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": g.home, "LC_ALL": "C", "GIT_DIR": os.DevNull,
			"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.DevNull, "GIT_ATTR_NOSYSTEM": "1",
		}),
	})
	switch {
	case errors.Is(err, tool.ErrNoProgram):
		return &sdk.Failure{Class: "policy", Message: "git is not in the sandbox: the recorded change is made with it"}
	case err != nil:
		return err
	case r.Stopped:
		return context.Cause(ctx)
	case r.ExitCode != 0:
		return &sdk.Failure{Class: "policy", Message: "the recorded change does not fit this tree: replay it on the commit that it was recorded on: " + tool.LastLines(r.Tail, 3)}
	}
	return nil
}

// change applies a whole patch, or nothing.
func (g git) change(ctx context.Context, patch string, want *numbers) error {
	if want != nil {
		if err := g.count(ctx, patch, *want); err != nil {
			return err
		}
	}
	if err := g.apply(ctx, nil, "--check", "--", patch); err != nil {
		return err
	}
	return g.apply(ctx, nil, "--", patch)
}

// count holds a patch against what the host counted: one that was cut between two hunks would apply.
func (g git) count(ctx context.Context, patch string, want numbers) error {
	var out bytes.Buffer
	take := func(stream string, p []byte) error {
		if stream == "stdout" {
			out.Write(p)
		}
		return nil
	}
	if err := g.apply(ctx, take, "--numstat", "-z", "--", patch); err != nil {
		return err
	}
	files, insertions, deletions := tally(out.String())
	same := insertions == want.Insertions && deletions == want.Deletions
	for _, f := range want.Files {
		same = same || f.Op == "type" // the host compares the file with the link's target line by line
	}
	if !same || files != len(want.Files) {
		return bad("diff.patch changes %d files by +%d -%d, result.json says %d files by +%d -%d: one of them was cut or changed",
			files, insertions, deletions, len(want.Files), want.Insertions, want.Deletions)
	}
	return nil
}

// tally adds up git's numbers: "added TAB deleted TAB path", with dashes for a binary file. A file that
// becomes a link is there twice.
func tally(numstat string) (files, insertions, deletions int) {
	seen := map[string]bool{}
	for record := range strings.SplitSeq(numstat, "\x00") {
		fields := strings.SplitN(record, "\t", 3)
		if len(fields) != 3 {
			continue
		}
		added, _ := strconv.Atoi(fields[0])   // a dash counts nothing
		removed, _ := strconv.Atoi(fields[1]) // as above
		insertions, deletions = insertions+added, deletions+removed
		seen[fields[2]] = true
	}
	return len(seen), insertions, deletions
}

func copyTo(name string, from io.Reader) (int64, error) {
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	size, err := io.Copy(to, io.LimitReader(from, maxPatch))
	if closed := to.Close(); err == nil {
		err = closed
	}
	return size, err
}
