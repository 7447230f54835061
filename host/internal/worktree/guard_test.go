package worktree

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

// recorder is a git that notes each call, its environment and its arguments, and then is the real one.
func recorder(t *testing.T) (program string, calls func() [][]string) {
	t.Helper()
	dir := t.TempDir()
	program, log := filepath.Join(dir, "git"), filepath.Join(dir, "log")
	real, err := locateGit(Options{Path: searchPath})
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n{ /usr/bin/env -0; printf 'argv\\0'; printf '%s\\0' \"$@\"; printf '\\0\\0'; } > " + dir + "/log.$$\n" +
		"exec " + real + " \"$@\"\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return program, func() [][]string {
		names, err := filepath.Glob(log + ".*")
		if err != nil {
			t.Fatal(err)
		}
		var all [][]string
		for _, n := range names {
			all = append(all, strings.Split(strings.TrimRight(read(t, n), "\x00"), "\x00"))
		}
		return all
	}
}

// What sandbox.md asks of every git of the host, seen from git's side over the whole life of an attempt. It
// has diff.ignoreSubmodules=all where this room has none: what it compares is the index, never a submodule's
// files, and a submodule that an executor moved must be seen.
func TestS84_EveryGitOfTheHostIsGuarded(t *testing.T) {
	t.Setenv("GIT_SSH_COMMAND", "/bin/false")
	t.Setenv("GIT_EXTERNAL_DIFF", "/bin/false")
	program, calls := recorder(t)
	root := operator(t, map[string]string{"a": "1\n", ".env": "x"})
	trees, err := Open(t.Context(), Options{Dir: t.TempDir(), Git: program})
	if err != nil {
		t.Fatal(err)
	}
	w := openWorkspace(t, trees, root)
	write(t, root, map[string]string{"a": "2\n"})
	commit(t, root, "two")
	tree := create(t, w, "att_1", resolve(t, w, "main"))
	shadow(t, tree)
	write(t, tree.Path(), map[string]string{"a": "3\n"})
	within(t, tree, "commit", "-q", "-a", "-m", "inside")
	if _, err := take(t, tree, ImportRequest{Withhold: []string{"held"}}); err != nil {
		t.Fatalf("Import: %v", err)
	}
	c, _ := keep(t, tree, tree.Start())
	if err := tree.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Apply(t.Context(), ApplyRequest{Commit: c.Commit, Branch: "result"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Restore(t.Context(), c.Commit, filepath.Join(t.TempDir(), "out")); err != nil {
		t.Fatal(err)
	}
	seen := calls()
	if len(seen) < 15 {
		t.Errorf("only %d calls were seen", len(seen))
	}
	for _, call := range seen {
		at := slices.Index(call, "argv")
		guarded(t, call[:at], call[at+1:])
	}
}

// guarded checks one call. Only git version has no repository.
func guarded(t *testing.T, env, argv []string) {
	t.Helper()
	what := strings.Join(argv[len(guards):], " ")
	for _, want := range []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_LITERAL_PATHSPECS=1", "GIT_ALLOW_PROTOCOL=", "GIT_NO_LAZY_FETCH=1", "GIT_GRAFT_FILE=/dev/null",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("git %s: no %s in the environment", what, want)
		}
	}
	known := []string{"LC_ALL", "PATH", "HOME", "XDG_CONFIG_HOME", "TZ", "PWD", "OLDPWD", "SHLVL", "_", "GIT_ASKPASS", "SSH_ASKPASS",
		"GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_PROTOCOL_FROM_USER", "GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE",
		"GIT_OBJECT_DIRECTORY", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL", "GIT_ATTR_NOSYSTEM", "GIT_OPTIONAL_LOCKS", "GIT_TERMINAL_PROMPT",
		"GIT_NO_REPLACE_OBJECTS", "GIT_LITERAL_PATHSPECS", "GIT_ALLOW_PROTOCOL", "GIT_NO_LAZY_FETCH", "GIT_GRAFT_FILE", "GIT_ATTR_SOURCE"}
	names := make(map[string]bool)
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if names[name] = true; !slices.Contains(known, name) {
			t.Errorf("git %s: the environment has %s", what, e)
		}
	}
	for _, want := range []string{
		"core.fsmonitor=false", "core.hooksPath=/dev/null", "core.attributesFile=/dev/null", "submodule.recurse=false", "protocol.allow=never",
		"gc.auto=0", "maintenance.auto=false", "credential.helper=", "safe.bareRepository=explicit", "core.protectHFS=true", "core.protectNTFS=true",
	} {
		if at := slices.Index(argv, want); at < 1 || argv[at-1] != "-c" {
			t.Errorf("git %s: no -c %s", what, want)
		}
	}
	verb := slices.IndexFunc(argv, func(a string) bool {
		return slices.Contains([]string{"version", "add", "diff-index", "rev-parse"}, a)
	})
	switch {
	case verb < 0:
	case argv[verb] == "version":
		return
	case argv[verb] == "add" && !names["GIT_INDEX_FILE"]:
		t.Errorf("git %s: without an index of its own", what)
	case argv[verb] == "diff-index":
		for _, want := range []string{"--no-ext-diff", "--no-textconv", "-z", "--cached"} {
			if !slices.Contains(argv, want) {
				t.Errorf("git %s: no %s", what, want)
			}
		}
	}
	entry := verb >= 0 && argv[verb] == "rev-parse" && slices.Contains(argv, "--git-common-dir") // asks where the repository is
	if !names["GIT_DIR"] || !names["GIT_COMMON_DIR"] && !entry {
		t.Errorf("git %s: it may discover a repository", what)
	}
}

func TestNewerGitsTakeAttributesFromNowhere(t *testing.T) {
	p := &program{minor: 41, empty: "/x"}
	for _, c := range []struct {
		sha256 bool
		want   string
	}{{false, emptyTreeSHA1}, {true, emptyTreeSHA256}} {
		env := p.environ(call{repo: repo{dir: "/r", sha256: c.sha256}})
		if !slices.Contains(env, "GIT_ATTR_SOURCE="+c.want) {
			t.Errorf("sha256 %v: %q", c.sha256, env)
		}
	}
	root := operator(t, map[string]string{"a": "1\n"})
	same(t, "empty tree", run(t, root, "hash-object", "-t", "tree", "/dev/null"), emptyTreeSHA1)
}

func TestSamplesRunNothingOfTheirSource(t *testing.T) {
	program, marker := trap(t)
	root := operator(t, map[string]string{"a": "1\n", ".gitattributes": "* filter=evil diff=evil\n"})
	write(t, root, map[string]string{".git/config": read(t, root, ".git/config") + hostileConfig(program)})
	write(t, root, map[string]string{".git/hooks/post-checkout": read(t, program), ".git/hooks/post-upload-pack": read(t, program)})
	bare := filepath.Join(t.TempDir(), "bare.git")
	run(t, filepath.Dir(bare), "clone", "-q", "--bare", "-c", "core.fsmonitor=false", root, bare)
	if err := os.Remove(marker); err != nil && !os.IsNotExist(err) {
		t.Fatal(err) // making the bare clone was the operator's own git
	}
	for _, from := range []string{root, bare} {
		to := filepath.Join(t.TempDir(), "to")
		if err := CloneTo(t.Context(), searchPath, from, to); err != nil {
			t.Fatalf("CloneTo: %v", err)
		}
		same(t, "branch", run(t, to, "symbolic-ref", "HEAD"), heads+SampleBranch)
		same(t, "content", read(t, to, "a"), "1\n")
	}
	made := t.TempDir()
	write(t, made, map[string]string{"b": "2\n", ".gitattributes": "* filter=evil\n"})
	if err := Init(t.Context(), searchPath, made); err != nil {
		t.Fatalf("Init: %v", err)
	}
	same(t, "log", run(t, made, "log", "--format=%an %s"), "drawspan Begin")
	notRun(t, marker)
	wantCode(t, CloneTo(t.Context(), searchPath, "ext::"+program, filepath.Join(made, "x")), fault.WorkspaceUnusable)
	wantCode(t, CloneTo(t.Context(), "/nonexistent", root, filepath.Join(made, "y")), fault.WorkspaceUnusable)
	notRun(t, marker)
}
