package worktree

import (
	"bytes"
	"context"
	"os"
	"os/exec"

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

// sample runs git on a repository of the caller's own, with nothing of the environment.
func sample(ctx context.Context, path string, calls ...[]string) error {
	git, err := locateGit(Options{Path: path})
	if err != nil {
		return err
	}
	for _, args := range calls {
		cmd := exec.CommandContext(ctx, git, append([]string{"-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false"}, args...)...)
		cmd.Env = []string{
			"PATH=" + path, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
			"GIT_AUTHOR_NAME=drawspan", "GIT_AUTHOR_EMAIL=drawspan@localhost", "GIT_COMMITTER_NAME=drawspan", "GIT_COMMITTER_EMAIL=drawspan@localhost",
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fault.Wrap(err, fault.WorkspaceUnusable, "git %s failed: %s", args[0], printable(bytes.TrimSpace(out)))
		}
	}
	return nil
}
