package worktree

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"

	"github.com/drawspan/drawspan/host/fault"
)

// SampleBranch is the branch of a repository that CloneTo or Init made.
const SampleBranch = "main"

// CloneTo clones the repository at from into the new directory to, with its HEAD as branch main. It is
// for demonstrations: the operator's own repository is never cloned into a work tree otherwise.
func CloneTo(ctx context.Context, path, from, to string) error {
	return sample(ctx, path,
		[]string{"clone", "--quiet", "--no-local", "--no-tags", "--", from, to},
		[]string{"-C", to, "checkout", "--quiet", "-B", SampleBranch},
	)
}

// Init makes a repository of the files in dir, with one commit on branch main.
func Init(ctx context.Context, path, dir string) error {
	return sample(ctx, path,
		[]string{"init", "--quiet", "--initial-branch=" + SampleBranch, dir},
		[]string{"-C", dir, "add", "--all"},
		[]string{"-C", dir, "commit", "--quiet", "--message=Begin"},
	)
}

// sample runs git on a repository of the caller's own, guarded like every other; only that one may be
// copied by git itself.
func sample(ctx context.Context, path string, calls ...[]string) error {
	git, err := locateGit(Options{Path: path})
	if err != nil {
		return err
	}
	own := []string{"-c", "safe.directory=*", "-c", "protocol.file.allow=always", "-c", "advice.detachedHead=false"}
	for _, args := range calls {
		cmd := exec.CommandContext(ctx, git, slices.Concat(guards, own, args)...)
		cmd.Env = append(quiet(os.DevNull), "GIT_ALLOW_PROTOCOL=file", "GIT_AUTHOR_NAME="+identityName, "GIT_AUTHOR_EMAIL="+identityEmail)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fault.Wrap(err, fault.WorkspaceUnusable, "git %s failed: %s", args[0], printable(bytes.TrimSpace(out)))
		}
	}
	return nil
}
