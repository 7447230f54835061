package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	files       = 1000 // of the repository that steps work on
	filesPerDir = 32
)

// repository is a git repository and the environment in which git is called on it.
type repository struct {
	root   string
	commit string
	env    []string
}

// newRepository makes a repository of 1,000 text files of 0.6 to 7 KB in one commit. It is the same
// commit every time.
func (s *site) newRepository(name string) (*repository, error) { return s.newRepositoryOf(name, files) }

// newRepositoryOf is newRepository with another number of files.
func (s *site) newRepositoryOf(name string, count int) (*repository, error) {
	root, err := s.dir(name)
	if err != nil {
		return nil, err
	}
	r := &repository{root: root, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + root, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=bench", "GIT_AUTHOR_EMAIL=bench@example.org", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=bench", "GIT_COMMITTER_EMAIL=bench@example.org", "GIT_COMMITTER_DATE=1700000000 +0000",
	}}
	if err := fill(root, count); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "files"}} {
		if _, err := r.git("", args...); err != nil {
			return nil, err
		}
	}
	r.commit, err = r.git("", "rev-parse", "HEAD")
	return r, err
}

// fill writes the files.
func fill(root string, count int) error {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range count {
		dir := filepath.Join(root, fmt.Sprintf("d%02d", n/filesPerDir))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("fill the repository: %w", err)
		}
		var text bytes.Buffer
		for size := 600 + random.IntN(6400); text.Len() < size; {
			fmt.Fprintf(&text, "line %d of file %d: %016x\n", text.Len(), n, random.Uint64())
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%04d.txt", n)), text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("fill the repository: %w", err)
		}
	}
	return nil
}

// git runs git in a directory, the repository's root where it is "", and returns what it printed.
func (r *repository) git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = r.root
	if dir != "" {
		cmd.Dir = dir
	}
	cmd.Env = r.env
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}

// addWorktree makes a worktree of the commit, as git does it.
func (r *repository) addWorktree(dir string) error {
	_, err := r.git("", "worktree", "add", "-q", "--detach", dir, r.commit)
	return err
}

// capture is what git has to do to keep a worktree's state and to say what changed in it.
func (r *repository) capture(dir string) error {
	if _, err := r.git(dir, "add", "-A"); err != nil {
		return err
	}
	tree, err := r.git(dir, "write-tree")
	if err != nil {
		return err
	}
	commit, err := r.git(dir, "commit-tree", "-p", r.commit, "-m", "kept", tree)
	if err != nil {
		return err
	}
	changed, err := r.git(dir, "diff-tree", "-r", "-p", r.commit, commit)
	if err == nil && changed == "" {
		err = fmt.Errorf("git sees no change in %s", dir)
	}
	return err
}

// keepApart asks an ext4 file system to put what is made in a directory far from everything else. Where
// many files were deleted a moment ago, ext4 makes new ones slowly; the trees that the daemon removes
// would else be paid for by the floor. Other file systems know no such wish, and need none.
func keepApart(dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return // whoever uses the directory will tell
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|topDir) // a wish, see above
	}
}

// topDir is FS_TOPDIR_FL: directories below are spread over the disk.
const topDir = 0x20000
