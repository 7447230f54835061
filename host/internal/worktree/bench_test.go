package worktree

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkAttempt measures create, capture and publication of an attempt that changes three files,
// beside the same by the barest git: worktree add, add -A, write-tree, commit-tree, diff-tree. The two
// take turns in one run, so that their ratio holds on a busy machine.
func BenchmarkAttempt(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("files=%d", n), func(b *testing.B) { benchAttempt(b, n) })
	}
}

func benchAttempt(b *testing.B, n int) {
	files := make(map[string]string, n)
	for i := range n {
		files[fmt.Sprintf("dir%03d/file%05d.go", i/32, i)] = strings.Repeat(fmt.Sprintf("line %d of some source text\n", i), 20+i%230)
	}
	root := operator(b, files)
	run(b, root, "gc", "-q") // as a clone is; git would do it in the background, for one side only
	trees := openTrees(b)
	w := openWorkspace(b, trees, root)
	base := resolve(b, w, "main")
	edit := func(dir string, i int) {
		for _, f := range []string{"dir000/file00001.go", "dir001/file00040.go", "new.go"} {
			if err := os.WriteFile(filepath.Join(dir, f), []byte(fmt.Sprint("changed ", i, "\n")), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	floors := filepath.Join(b.TempDir(), "floors")
	var ours, made, floor, added []time.Duration
	i := 0
	for b.Loop() {
		i++
		began := time.Now()
		tree := create(b, w, fmt.Sprintf("att_%d", i), base)
		made = append(made, time.Since(began))
		edit(tree.Path(), i)
		keep(b, tree, base)
		ours = append(ours, time.Since(began))
		if err := tree.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
		dir := filepath.Join(floors, fmt.Sprint(i))
		began = time.Now()
		bare(b, root, "worktree", "add", "-q", "--detach", dir, base)
		added = append(added, time.Since(began))
		edit(dir, -i)
		bare(b, dir, "add", "-A")
		id := bare(b, dir, "commit-tree", "-p", base, "-m", "attempt", bare(b, dir, "write-tree"))
		bare(b, dir, "diff-tree", "-r", "-p", "--binary", "--full-index", base, id)
		floor = append(floor, time.Since(began))
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		if err := trees.EmptyTrash(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	o, f := median(ours), median(floor)
	b.ReportMetric(float64(o.Microseconds())/1000, "ours-ms")
	b.ReportMetric(float64(f.Microseconds())/1000, "floor-ms")
	b.ReportMetric(float64(o)/float64(f), "ratio")
	b.ReportMetric(float64(median(made))/float64(median(added)), "create-ratio")
	b.ReportMetric(float64(o-median(made))/float64(f-median(added)), "capture-ratio")
	b.ReportMetric(0, "ns/op")
}

// bare runs git with as little around it as possible.
func bare(b *testing.B, dir string, args ...string) string {
	cmd := exec.CommandContext(b.Context(), "/usr/bin/git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x"}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		b.Fatalf("git %s: %v", args[0], err)
	}
	return strings.TrimSpace(out.String())
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
