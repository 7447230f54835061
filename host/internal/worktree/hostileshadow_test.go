package worktree

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// hostileGit is a git directory whose configuration runs a program as soon as git reads it.
func hostileGit(t testing.TB, dir, program string) {
	t.Helper()
	write(t, dir, map[string]string{
		"config": hostileConfig(program), "HEAD": "ref: refs/heads/main\n", "objects/info/alternates": "/etc\n",
		"refs/heads/none": "", "info/attributes": hostileAttributes, "info/grafts": "x\n", "hooks/post-index-change": read(t, program),
		"hooks/reference-transaction": read(t, program), "hooks/post-checkout": read(t, program),
	})
	for _, h := range []string{"post-index-change", "reference-transaction", "post-checkout"} {
		if err := os.Chmod(filepath.Join(dir, "hooks", h), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// lifecycle is everything that the host does with a tree after an executor.
func lifecycle(t testing.TB, b *bench, tree *Tree) Captured {
	t.Helper()
	began := time.Now()
	if _, err := tree.HeadMoved(); err != nil && !fault.Is(err, fault.TreeRefused) && !fault.Is(err, fault.Conflict) {
		t.Errorf("HeadMoved: %v", err)
	}
	c, _ := keep(t, tree, tree.Start())
	if exists(filepath.Join(tree.Path(), ".git")) || exists(filepath.Join(tree.home, shadowName)) {
		t.Error("a git directory is left after Capture")
	}
	if err := tree.Reset(t.Context()); err != nil {
		t.Errorf("Reset: %v", err)
	}
	shadow(t, tree)
	same(t, "status in the fresh shadow", within(t, tree, "status", "--porcelain"), "")
	if _, err := b.trees.List(t.Context()); err != nil {
		t.Errorf("List: %v", err)
	}
	if err := tree.Remove(t.Context()); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if err := b.trees.EmptyTrash(t.Context()); err != nil {
		t.Errorf("EmptyTrash: %v", err)
	}
	same(t, "trash", listed(t, filepath.Join(b.trees.dir, trashDir)), []string(nil))
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("it took %s", d)
	}
	return c
}

// The three ways by which an ordinary git status of a host was seen to run an executor's program. Each is
// tried on plain git first, which shows that the trap would snap.
func TestS84_ThreeWaysToRunOnTheHostAreClosed(t *testing.T) {
	attacks := map[string]func(t *testing.T, tree *Tree, s Shadow, program string){
		"commondir rewritten": func(t *testing.T, tree *Tree, s Shadow, program string) {
			evil := filepath.Join(tree.Path(), "evil")
			hostileGit(t, evil, program)
			write(t, s.Dir, map[string]string{"commondir": evil + "\n"})
		},
		"pointer rewritten": func(t *testing.T, tree *Tree, s Shadow, program string) {
			evil := filepath.Join(tree.Path(), "evil")
			hostileGit(t, evil, program)
			p := filepath.Join(tree.Path(), ".git")
			if err := os.Remove(p); err != nil {
				t.Fatal(err)
			}
			write(t, tree.Path(), map[string]string{".git": "gitdir: " + evil + "\n"})
		},
		"configuration rewritten": func(t *testing.T, tree *Tree, s Shadow, program string) {
			write(t, s.Dir, map[string]string{"config": read(t, s.Dir, "config") + "[core]\n\tfsmonitor = " + program + "\n"})
		},
		"nested gitlink": func(t *testing.T, tree *Tree, s Shadow, program string) {
			nested := filepath.Join(tree.Path(), "sub")
			run(t, tree.Path(), "init", "-q", nested)
			commit(t, nested, "nested")
			write(t, nested, map[string]string{".git/config": "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = " + program + "\n"})
			within(t, tree, "-c", "advice.addEmbeddedRepo=false", "add", "-A")
			within(t, tree, "commit", "-q", "-m", "a gitlink")
		},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			program, marker := trap(t)
			b := newBench(t, map[string]string{"a": "1\n", "dir/x": "1\n"})
			s := shadow(t, b.tree)
			attack(t, b.tree, s, program)
			write(t, b.tree.Path(), map[string]string{"a": "2\n"})
			_, err := tryWithin(t, b.tree, "status")
			if !exists(marker) {
				t.Fatalf("the trap does not snap on plain git status: %v", err)
			}
			if err := os.Remove(marker); err != nil {
				t.Fatal(err)
			}
			c := lifecycle(t, b, b.tree)
			notRun(t, marker)
			same(t, "kept", run(t, b.root, "show", c.Commit+":a"), "2")
		})
	}
}

// On back-ends that cannot protect single paths an executor can put anything in place of the .git file and
// of everything in the shadow. None of it is read, followed or run, and nothing hangs.
func TestS84_WhateverStandsInPlaceOfTheShadowIsNotFollowed(t *testing.T) {
	program, marker := trap(t)
	outside := t.TempDir()
	hostileGit(t, outside, program)
	precious := snapshot(t, outside)
	put := map[string]func(t *testing.T, at string){
		"nothing":  func(*testing.T, string) {},
		"a link":   func(t *testing.T, at string) { symlink(t, outside, at) },
		"a pipe":   func(t *testing.T, at string) { mkfifo(t, at) },
		"a socket": func(t *testing.T, at string) { mksocket(t, at) },
		"a git":    func(t *testing.T, at string) { hostileGit(t, at, program) },
		"a pointer": func(t *testing.T, at string) {
			write(t, filepath.Dir(at), map[string]string{filepath.Base(at): "gitdir: " + outside + "\n"})
		},
		"a shut directory": func(t *testing.T, at string) {
			hostileGit(t, at, program)
			if err := os.Chmod(at, 0); err != nil {
				t.Fatal(err)
			}
		},
		"a shut file": func(t *testing.T, at string) {
			write(t, filepath.Dir(at), map[string]string{filepath.Base(at): "x"})
			if err := os.Chmod(at, 0); err != nil {
				t.Fatal(err)
			}
		},
		"a terabyte": func(t *testing.T, at string) {
			write(t, filepath.Dir(at), map[string]string{filepath.Base(at): ""})
			if err := os.Truncate(at, 1<<40); err != nil {
				t.Skipf("no sparse file here: %v", err)
			}
		},
	}
	b := newBench(t, map[string]string{"a": "1\n"})
	n := 1
	for _, place := range []string{"tree/.git", "git", "git/HEAD", "git/config", "git/index", "git/objects", "git/refs", "git/commondir", "git/packed-refs", "git/shallow"} {
		for what, made := range put {
			t.Run(place+" is "+what, func(t *testing.T) {
				n++
				tree := create(t, b.w, fmt.Sprintf("att_%d", n), b.base)
				shadow(t, tree)
				at := filepath.Join(tree.home, place)
				if err := os.RemoveAll(at); err != nil {
					t.Fatal(err)
				}
				made(t, at)
				m, err := tree.HeadMoved()
				switch {
				case place == "git/HEAD" && (err != nil || !m), place == "git" && err == nil && !m:
					t.Errorf("HEAD counts as untouched: %v, %v", m, err)
				case strings.HasPrefix(place, "tree/") && (err != nil || m):
					t.Errorf("HEAD counts as moved: %v, %v", m, err)
				}
				write(t, tree.Path(), map[string]string{"a": "2\n"})
				c := lifecycle(t, b, tree)
				if replaced := place == "tree/.git" && what != "nothing"; replaced != (len(c.Refused) == 1) {
					t.Errorf("refused: %q", c.reasons())
				}
			})
		}
	}
	notRun(t, marker)
	sameSnapshot(t, precious, snapshot(t, outside))
}

// A second launch over a tree gets a Shadow too, whatever the first left in its place.
func TestS84_AFreshShadowReplacesAHostileOne(t *testing.T) {
	program, marker := trap(t)
	b := newBench(t, map[string]string{"a": "1\n"})
	outside := t.TempDir()
	hostileGit(t, outside, program)
	precious := snapshot(t, outside)
	for i, leave := range []func(s Shadow, pointer string){
		func(s Shadow, pointer string) { hostileGit(t, s.Dir, program) },
		func(s Shadow, pointer string) { remove(t, pointer); symlink(t, outside, pointer) },
		func(s Shadow, pointer string) { remove(t, pointer); hostileGit(t, pointer, program) },
		func(s Shadow, pointer string) { remove(t, s.Dir); symlink(t, outside, s.Dir) },
		func(s Shadow, pointer string) { remove(t, s.Dir); mkfifo(t, s.Dir) },
		func(s Shadow, pointer string) { remove(t, pointer) },
	} {
		s := shadow(t, b.tree)
		leave(s, filepath.Join(b.tree.Path(), ".git"))
		again := shadow(t, b.tree)
		same(t, fmt.Sprint("status ", i), within(t, b.tree, "status", "--porcelain"), "")
		same(t, fmt.Sprint("config ", i), read(t, again.Dir, "config"), fmt.Sprintf(shadowConfig, 0))
		same(t, fmt.Sprint("hooks ", i), listed(t, filepath.Join(again.Dir, "hooks")), []string(nil))
	}
	notRun(t, marker)
	sameSnapshot(t, precious, snapshot(t, outside))
}

func TestAShadowIsRefusedForATreeThatIsNotTheOneThatWasMade(t *testing.T) {
	for what, swap := range map[string]func(path string){
		"a link":            func(path string) { remove(t, path); symlink(t, "/etc", path) },
		"another directory": func(path string) { rename(t, path, path+".old"); write(t, path, map[string]string{"a": "1\n"}) },
		"nothing":           func(path string) { rename(t, path, path+".old") },
		"a link to itself":  func(path string) { rename(t, path, path+".old"); symlink(t, path+".old", path) },
	} {
		b := newBench(t, map[string]string{"a": "1\n"})
		swap(b.tree.Path())
		_, err := b.tree.Shadow(t.Context())
		if !fault.Is(err, fault.TreeRefused) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := b.tree.openRoot(); !fault.Is(err, fault.TreeRefused) {
			t.Errorf("%s, opened: %v", what, err)
		}
		same(t, what+": shadow", exists(filepath.Join(b.tree.home, shadowName)), false)
	}
	same(t, "outside", exists("/etc/.git"), false)
}

func TestS84_SetIDBitsAreTakenAwayAndMentioned(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "old": "#!\n"})
	p := b.tree.Path()
	write(t, p, map[string]string{"su": "#!\n", "dir/sg": "x\n"})
	for name, mode := range map[string]uint32{"su": 0o4755, "dir/sg": 0o2644, "old": 0o6755, "dir": 0o2755} {
		if err := unix.Chmod(filepath.Join(p, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	c, _ := keep(t, b.tree, b.base)
	same(t, "refused", c.reasons(), []string{"set_id dir/sg", "set_id old", "set_id su"})
	same(t, "changes", c.paths(), []string{"add dir/sg", "add su", "mode old"})
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	for _, name := range []string{"su", "dir/sg", "old"} {
		fi, err := os.Lstat(filepath.Join(p, name))
		if err != nil || fi.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
	again, _ := keep(t, b.tree, b.base)
	same(t, "refused, said again", again.reasons(), c.reasons())
}

func TestS84_VeryManyNamesEnd(t *testing.T) {
	b := newBench(t, map[string]string{"a": "1\n", "b": "1\n"})
	names := func(n int, into string) {
		t.Helper()
		dir := filepath.Join(b.tree.Path(), into)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer closeFD(fd)
		for i := range n {
			f, err := unix.Openat(fd, fmt.Sprintf("n%06d", i), unix.O_CREAT|unix.O_WRONLY, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			closeFD(f)
		}
	}
	most := 3000
	if !testing.Short() {
		most = 10_000
	}
	names(most+500, "many")
	write(t, b.tree.Path(), map[string]string{"b": "2\n"})
	began := time.Now()
	c, err := b.tree.Capture(t.Context(), CaptureRequest{Base: b.base, When: fixedTime, MaxNew: most})
	if err != nil {
		t.Fatalf("Capture: %v", err)
	}
	t.Logf("%d names captured in %s", most, time.Since(began))
	added, refused := 0, len(c.Refused)-1
	for _, f := range c.Diff.Files {
		if f.Op == "add" {
			added++
		}
	}
	if more := c.Refused[len(c.Refused)-1]; more.Why == whyMore {
		extra, err := strconv.Atoi(more.Path)
		if err != nil {
			t.Fatal(err)
		}
		refused += extra
	} else {
		refused++
	}
	if added > most || added < most-1 || len(c.Diff.Files) != added+1 || c.Refused[0].Why != whyMany || refused < 500 {
		t.Errorf("%d added of %d changes, %d refused, the first as %+v", added, len(c.Diff.Files), refused, c.Refused[0])
	}
	began = time.Now()
	if err := b.tree.Reset(t.Context()); err != nil {
		t.Errorf("Reset: %v", err)
	}
	shadow(t, b.tree)
	t.Logf("reset in %s", time.Since(began))
}

func symlink(t testing.TB, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, at string) {
	t.Helper()
	if err := os.RemoveAll(at); err != nil {
		t.Fatal(err)
	}
}

func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func mksocket(t testing.TB, at string) {
	t.Helper()
	if err := unix.Mknod(at, unix.S_IFSOCK|0o644, 0); err != nil {
		t.Fatal(err)
	}
}
