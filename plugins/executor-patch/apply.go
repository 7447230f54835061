package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/sdk/tool"
)

// The bounds of what a diff is applied to.
const (
	maxFile  = 32 << 20  // bytes of one file
	maxTotal = 128 << 20 // of all
)

// apply changes the tree, or leaves it as it is. Git works on copies in a private directory, under names
// that are numbers: no path, attribute, hook or configuration of the repository ever reaches it. What it
// made is then moved into the tree, and moved back where that cannot be finished.
func apply(ctx context.Context, tree string, files []file) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return fmt.Errorf("open the tree: %w", err)
	}
	defer root.Close() //nolint:errcheck // it was only looked at through it
	private, err := os.MkdirTemp("", "patch-")
	if err != nil {
		return fmt.Errorf("make a private directory: %w", err)
	}
	defer os.RemoveAll(private) //nolint:errcheck // it goes with the sandbox
	copies := filepath.Join(private, "copies")
	if err := os.Mkdir(copies, 0o700); err != nil {
		return fmt.Errorf("make a private directory: %w", err)
	}
	perms, err := stage(root, copies, files)
	if err != nil {
		return err
	}
	if err := runGit(ctx, private, files); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return install(root, copies, files, perms)
}

// stage copies what the diff changes, and answers with the permissions. The copy of file N is called N.
func stage(root *os.Root, copies string, files []file) ([]fs.FileMode, error) {
	perms := make([]fs.FileMode, len(files))
	total := int64(0)
	for n, f := range files {
		if err := reachable(root, f.path); err != nil {
			return nil, err
		}
		if f.op == "add" {
			perm, err := absent(root, f)
			if err != nil {
				return nil, err
			}
			perms[n] = perm
			continue
		}
		info, err := present(root, f)
		if err != nil {
			return nil, err
		}
		if total += info.Size(); info.Size() > maxFile || total > maxTotal {
			return nil, refuse("%q is too large: files of %d bytes are patched, %d together", f.path, maxFile, maxTotal)
		}
		perms[n] = info.Mode().Perm()
		if err := fetch(root, f.path, filepath.Join(copies, strconv.Itoa(n))); err != nil {
			return nil, err
		}
	}
	return perms, nil
}

// absent is the permissions of a file that is to be added.
func absent(root *os.Root, f file) (fs.FileMode, error) {
	if _, err := root.Lstat(f.path); !errors.Is(err, fs.ErrNotExist) {
		return 0, refuse("%q is there already; the diff adds it", f.path)
	}
	if f.mode == "100755" {
		return 0o755, nil
	}
	return 0o644, nil
}

// present looks at a file that is to be changed.
func present(root *os.Root, f file) (fs.FileInfo, error) {
	info, err := root.Lstat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, refuse("%q is not in the tree", f.path)
	case err != nil:
		return nil, fmt.Errorf("look at %s: %w", f.path, err)
	case !info.Mode().IsRegular():
		return nil, refuse("%q is no file but a %s", f.path, kindOf(info.Mode()))
	}
	return info, nil
}

// reachable refuses a path that leads through anything but directories: a link would lead elsewhere.
func reachable(root *os.Root, name string) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		info, err := root.Lstat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return refuse("%q cannot be reached: %v", name, errors.Unwrap(err))
		case !info.IsDir():
			return refuse("%q cannot be reached: %q is a %s", name, dir, kindOf(info.Mode()))
		}
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "file"
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	default:
		return "special file"
	}
}

func fetch(root *os.Root, from, to string) error {
	in, err := root.Open(from)
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	defer in.Close() //nolint:errcheck // it was only read
	return write(to, io.LimitReader(in, maxFile+1))
}

func write(to string, from io.Reader) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make a copy: %w", err)
	}
	_, err = io.Copy(out, from)
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("make a copy: %w", err)
	}
	return nil
}

// render writes the diff anew, of what was understood of it, over the copies.
func render(files []file) string {
	var b strings.Builder
	for n, f := range files {
		fmt.Fprintf(&b, "diff --git a/%d b/%d\n", n, n)
		old, added := fmt.Sprintf("a/%d", n), fmt.Sprintf("b/%d", n)
		switch f.op {
		case "add":
			old = nowhere
			fmt.Fprintln(&b, "new file mode 100644")
		case "delete":
			added = nowhere
			fmt.Fprintln(&b, "deleted file mode 100644")
		}
		if len(f.hunks) > 0 {
			fmt.Fprintf(&b, "--- %s\n+++ %s\n", old, added)
		}
		for _, h := range f.hunks {
			b.WriteString(h.head + "\n" + h.body)
		}
	}
	return b.String()
}

// gitPath is where git is looked for.
const gitPath = "/usr/local/bin:/usr/bin:/bin"

// runGit applies the diff to the copies: all of it or nothing.
func runGit(ctx context.Context, private string, files []file) error {
	patch := filepath.Join(private, "patch")
	if err := write(patch, strings.NewReader(render(files))); err != nil {
		return err
	}
	r, err := tool.Run(ctx, tool.Command{
		Argv: []string{"git", "apply", "--whitespace=nowarn", "-p1", "--", patch},
		Dir:  filepath.Join(private, "copies"),
		// A git directory that is none keeps git from looking for one.
		Env: tool.Environ(nil, map[string]string{
			"PATH": gitPath, "HOME": private, "LC_ALL": "C", "GIT_DIR": os.DevNull,
			"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.DevNull, "GIT_ATTR_NOSYSTEM": "1",
		}),
	})
	return judge(ctx, files, r, err)
}

// judge is what became of git.
func judge(ctx context.Context, files []file, r tool.Result, err error) error {
	switch {
	case errors.Is(err, tool.ErrNoProgram):
		return refuse("git is not in the sandbox: the executor applies diffs with it")
	case err != nil:
		return err
	case r.Stopped:
		return context.Cause(ctx)
	case r.ExitCode != 0:
		return explain(files, r.Tail)
	}
	return nil
}

// failed is how git names the place that does not fit: "error: patch failed: 0:12".
var failed = regexp.MustCompile(`(?m)^error: patch failed: (\d+):(\d+)$`)

// explain finds the file and the hunk in what git said.
func explain(files []file, said string) error {
	m := failed.FindStringSubmatch(said)
	if m == nil {
		return refuse("git does not apply the diff: %s", tool.LastLines(said, 3))
	}
	n, _ := strconv.Atoi(m[1])  // it is digits
	at, _ := strconv.Atoi(m[2]) // as above
	if n >= len(files) {
		return refuse("git does not apply the diff: %s", tool.LastLines(said, 3))
	}
	f := files[n]
	for i, h := range f.hunks {
		if h.at == at {
			return refuse("the diff does not apply: hunk %d of %d of %q, %s, does not fit the tree", i+1, len(f.hunks), f.path, h.head)
		}
	}
	return refuse("the diff does not apply: %q does not fit the tree at line %d", f.path, at)
}
