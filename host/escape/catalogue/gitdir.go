package catalogue

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// gitdir are ways to the repository's own git directory, and to what in the tree's would be believed.
func gitdir() []Probe {
	repo := func(name string) path { return func(t *Target) string { return t.Repo + "/.git/" + name } }
	shadow := func(name string) path { return func(t *Target) string { return t.Shadow + "/" + name } }
	pointer := func(t *Target) string { return t.Tree + "/.git" }
	beyond := []string{View, Landlock}
	list := []Probe{
		{ID: "25", Title: "write the repository's config", Layer: View, try: write(repo("config"))},
		{ID: "25b", Title: "plant a hook in the repository", Layer: View, try: write(repo("hooks/pre-commit"))},
		{ID: "25c", Title: "move a ref of the repository", Layer: View, try: write(repo("refs/heads/planted"))},
		{ID: "25d", Title: "write the repository's attributes", Layer: View, try: write(repo("info/attributes"))},
		{ID: "25e", Title: "write the repository's index", Layer: View, try: write(repo("index"))},
		{ID: "26", Title: "rewrite the .git pointer", try: needShadow(write(pointer))},
		{ID: "26b", Title: "rename the .git pointer", try: needShadow(rename(pointer))},
		{ID: "26c", Title: "unlink the .git pointer", try: needShadow(remove(pointer))},
		{ID: "26d", Title: "exchange the .git pointer for a directory", try: needShadow(exchange(pointer))},
		{ID: "28", Title: "truncate an object of the repository", try: needShadow(truncateObject)},
		{ID: "28b", Title: "delete an object of the repository", try: needShadow(deleteObject)},
		{ID: "28c", Title: "plant an object in the repository", try: needShadow(write(repo("objects/planted")))},
		{ID: "28d", Title: "plant a pack in the repository", try: needShadow(write(repo("objects/pack/planted.pack")))},
		{ID: "29", Title: "set core.fsmonitor in the shadow's config", try: needShadow(appendTo(shadow("config"), "[core]\n\tfsmonitor = touch planted\n"))},
		{ID: "29b", Title: "set it with git config", try: needShadow(gitConfig)},
		{ID: "29c", Title: "plant a hook in the shadow", try: needShadow(write(shadow("hooks/post-index-change")))},
		{ID: "29d", Title: "point the shadow's alternates elsewhere", try: needShadow(write(shadow("objects/info/alternates")))},
		{ID: "29e", Title: "replace the shadow's config by a rename", try: needShadow(renameOver(shadow("config")))},
		{ID: "29f", Title: "replace the shadow's hooks by a link", try: needShadow(rename(shadow("hooks")))},
	}
	for i := range list {
		p := &list[i]
		p.Walls, p.Level = beyond, strict
		if p.Layer == "" {
			p.Layer = Git
		} else {
			p.Level = isolated
		}
	}
	return list
}

func needShadow(do func(*Target) Outcome) func(*Target) Outcome {
	return func(t *Target) Outcome {
		if t.Shadow == "" {
			return broken("the tree has no git directory here")
		}
		return do(t)
	}
}

func rename(p path) func(*Target) Outcome {
	return func(t *Target) Outcome { return unless(unix.Rename(p(t), p(t)+".away"), "renamed") }
}

func remove(p path) func(*Target) Outcome {
	return func(t *Target) Outcome { return unless(unix.Unlink(p(t)), "removed") }
}

func exchange(p path) func(*Target) Outcome {
	return func(t *Target) Outcome {
		dir := t.Tree + "/other"
		if err := os.MkdirAll(dir+"/objects", 0o755); err != nil {
			return broken("%v", err)
		}
		return unless(unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, p(t), unix.RENAME_EXCHANGE), "exchanged")
	}
}

func renameOver(p path) func(*Target) Outcome {
	return func(t *Target) Outcome {
		other := filepath.Dir(p(t)) + "/other"
		if err := os.WriteFile(other, []byte(t.Mark), 0o644); err != nil {
			return broken("%v", err)
		}
		return unless(unix.Rename(other, p(t)), "replaced")
	}
}

func appendTo(p path, text string) func(*Target) Outcome {
	return func(t *Target) Outcome {
		fd, err := unix.Open(p(t), unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
		if err != nil {
			return refused(err)
		}
		defer unix.Close(fd)
		if _, err := unix.Write(fd, []byte(text)); err != nil {
			return refused(err)
		}
		return through("written")
	}
}

func gitConfig(t *Target) Outcome {
	out, err := command("git", "-C", t.Tree, "config", "core.fsmonitor", "touch "+t.Tree+"/planted")
	if err != nil {
		return no("%s", lastLine(out, err))
	}
	return through("git config succeeded")
}

// anObject finds one of the repository's objects.
func anObject(t *Target) (string, error) {
	found, err := filepath.Glob(t.Repo + "/.git/objects/[0-9a-f][0-9a-f]/*")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no object is visible: %w", unix.ENOENT)
	}
	return found[0], nil
}

func truncateObject(t *Target) Outcome {
	p, err := anObject(t)
	if err != nil {
		return refused(err)
	}
	if err := unix.Chmod(p, 0o644); err != nil {
		return refused(err)
	}
	return unless(unix.Truncate(p, 0), "truncated")
}

func deleteObject(t *Target) Outcome {
	p, err := anObject(t)
	if err != nil {
		return refused(err)
	}
	return unless(unix.Unlink(p), "deleted")
}

func lastLine(out string, err error) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return err.Error()
}
