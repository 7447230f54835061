package sandbox_test

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

func strict() *work.SandboxPolicy {
	return &work.SandboxPolicy{Name: "test", Level: spec.LevelStrict, Declared: "test.hcl:1"}
}

// repository is a tree with a shadow git directory beside it, below the state directory, and a repository
// that it borrows objects from.
type repository struct {
	main, tree, shadow string
	git                *sandbox.Git
}

func (f *fixture) repository() repository {
	f.t.Helper()
	home := filepath.Join(f.state, "trees", "a")
	r := repository{main: filepath.Join(f.state, "main"), tree: filepath.Join(home, "tree"), shadow: filepath.Join(home, "git")}
	write(f.t, filepath.Join(r.main, "file"), "one\n")
	for _, args := range [][]string{
		{"init", "-q", r.main},
		{"-C", r.main, "add", "."},
		{"-C", r.main, "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"},
		{"init", "-q", "--bare", r.shadow},
	} {
		f.git(args...)
	}
	head := strings.TrimSpace(f.git("-C", r.main, "rev-parse", "HEAD"))
	objects := filepath.Join(r.main, ".git", "objects")
	write(f.t, filepath.Join(r.shadow, "objects/info/alternates"), objects+"\n")
	write(f.t, filepath.Join(r.shadow, "HEAD"), head+"\n")
	write(f.t, filepath.Join(r.shadow, "config"), "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\thooksPath = /dev/null\n[user]\n\tname = n\n\temail = e\n")
	write(f.t, filepath.Join(r.tree, "file"), "one\n")
	write(f.t, filepath.Join(r.tree, ".git"), "gitdir: "+r.shadow+"\n")
	f.git("-C", r.tree, "reset", "-q")
	r.git = &sandbox.Git{
		Dir: r.shadow, Objects: []string{objects},
		Protect: []string{filepath.Join(r.shadow, "config"), filepath.Join(r.shadow, "hooks"), filepath.Join(r.shadow, "objects/info")},
	}
	return r
}

func (f *fixture) git(args ...string) string {
	f.t.Helper()
	cmd := exec.CommandContext(deadline(f.t), "git", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.home, "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (r repository) request(mode string) sandbox.Request {
	return sandbox.Request{Policy: strict(), Tree: sandbox.Tree{Path: r.tree, Mode: mode}, Git: r.git}
}

func TestStrictIsReachedWithAShadowGitDirectory(t *testing.T) {
	f := newFixture(t)
	r := f.repository()
	for _, mode := range []string{sandbox.TreeWritable, sandbox.TreeOverlay} {
		req := r.request(mode)
		req.Path = "/bin/true"
		p := f.launch(req)
		e := vector(t, p)
		if e.Enforced != spec.LevelStrict || e.Git.Mode != "shadow" || !e.Verified["git_protected"] || len(e.Shortfall) != 0 {
			t.Errorf("%s: %+v", mode, e)
		}
		p.Exit()
	}
}

func TestStrictWithoutATreeHasNoGitToProtect(t *testing.T) {
	f := newFixture(t)
	p := f.launch(sandbox.Request{Policy: strict(), Path: "/bin/true"})
	if e := vector(t, p); e.Enforced != spec.LevelStrict || e.Git.Mode != "none" {
		t.Errorf("got %+v", e)
	}
}

// What judges equal trees must not tell them apart by their commits. The tree's .git points nowhere then, and
// one that is made there is as gone afterwards as all else.
func TestStrictOverAThrowAwayTreeNeedsNoGitDirectory(t *testing.T) {
	f := newFixture(t)
	r := f.repository()
	req := r.request(sandbox.TreeOverlay)
	req.Git = nil
	pointer := read(t, filepath.Join(r.tree, ".git"))
	text, end := f.script(req, `git log 2>/dev/null || echo none; rm .git && git init -q . && echo made`)
	if end.Code != 0 || text != "none\nmade\n" {
		t.Errorf("exit %+v: %q", end, text)
	}
	if now := read(t, filepath.Join(r.tree, ".git")); now != pointer {
		t.Errorf("the pointer is now %q", now)
	}
	req = r.request(sandbox.TreeOverlay)
	req.Git, req.Path = nil, "/bin/true"
	if e := vector(t, f.launch(req)); e.Enforced != spec.LevelStrict || e.Git.Mode != "none" {
		t.Errorf("got %+v", e)
	}
}

func TestATreeWithoutAGitDirectoryIsNotStrict(t *testing.T) {
	f := newFixture(t)
	_, err := f.box.Launch(deadline(t), sandbox.Request{Policy: strict(), Tree: f.writable(), Path: "/bin/true"})
	if !fault.Is(err, fault.SandboxUnavailable) || !strings.Contains(err.Error(), "protected git directory") {
		t.Errorf("got %v", err)
	}
}

func TestGitWorksInsideAndNothingOfTheRepositoryIsWritable(t *testing.T) {
	f := newFixture(t)
	r := f.repository()
	before := f.git("-C", r.main, "for-each-ref") + read(t, filepath.Join(r.main, ".git/config"))
	text, end := f.script(r.request(sandbox.TreeWritable), `
		set -e
		git status --porcelain
		echo two >file; git add file; git commit -qm second
		git switch -qc topic; echo three >new; git add new; git commit -qm third
		git tag v1; echo four >file; git stash -q; git stash pop -q; git checkout -q file
		git log --format=%s; git fsck --no-dangling 2>&1`)
	if want := "third\nsecond\nfirst\n"; end.Code != 0 || text != want {
		t.Errorf("exit %+v: %q, want %q", end, text, want)
	}
	if after := f.git("-C", r.main, "for-each-ref") + read(t, filepath.Join(r.main, ".git/config")); after != before {
		t.Errorf("the repository changed: %s", after)
	}
}

func TestAnOverlaidTreeHasAThrowAwayGitDirectory(t *testing.T) {
	f := newFixture(t)
	r := f.repository()
	head := read(t, filepath.Join(r.shadow, "HEAD"))
	text, end := f.script(r.request(sandbox.TreeOverlay), "echo two >file && git commit -qam second && git log --format=%s")
	if end.Code != 0 || text != "second\nfirst\n" {
		t.Errorf("exit %+v: %q", end, text)
	}
	if got := read(t, filepath.Join(r.shadow, "HEAD")); got != head {
		t.Errorf("HEAD became %q", got)
	}
}

// Probes 25, 26 and 28 of the catalogue: each line is an attempt that must fail.
func TestTheGitDirectoryCannotBeTurnedAgainstTheHost(t *testing.T) {
	f := newFixture(t)
	r := f.repository()
	attempts := []string{
		"echo '[core] fsmonitor=/tmp/x' >>" + r.shadow + "/config",
		"git config core.fsmonitor /tmp/x",
		"mv " + r.shadow + "/config " + r.shadow + "/other",
		"echo x >" + r.shadow + "/hooks/pre-commit",
		"mv " + r.shadow + "/hooks " + r.shadow + "/other",
		"rm -rf " + r.shadow + "/hooks",
		"echo /etc >" + r.shadow + "/objects/info/alternates",
		"mv " + r.shadow + "/objects/info " + r.shadow + "/objects/other",
		"mv " + r.shadow + " " + r.shadow + "2",
		"echo 'gitdir: /tmp' >.git",
		"rm -f .git",
		"mv .git other",
		"ln -sf /tmp .git",
		"ls " + r.main + "/.git/refs",
		"find " + r.git.Objects[0] + " -type f | head -1 | xargs -r rm -f && [ -z \"$(find " + r.git.Objects[0] + " -type f)\" ]",
		"echo x >" + r.git.Objects[0] + "/new",
	}
	for _, a := range attempts {
		if text, end := f.script(r.request(sandbox.TreeWritable), "set -e; "+a); end.Code == 0 {
			t.Errorf("%s: %q", a, text)
		}
	}
	// These paths lie below a private directory of the view: what is made there is nowhere outside.
	before := read(t, filepath.Join(r.main, ".git/config"))
	f.script(r.request(sandbox.TreeWritable), "echo x >"+r.main+"/.git/config; mkdir "+r.main+"/.git/hooks; echo x >"+r.main+"/.git/hooks/post-checkout")
	if _, err := os.Lstat(filepath.Join(r.main, ".git/hooks/post-checkout")); !errors.Is(err, os.ErrNotExist) || read(t, filepath.Join(r.main, ".git/config")) != before {
		t.Errorf("the repository was changed: %v", err)
	}
	if got := read(t, filepath.Join(r.tree, ".git")); got != "gitdir: "+r.shadow+"\n" {
		t.Errorf("the pointer is %q", got)
	}
}

func TestAGitDirectoryThatIsNotTheHostsIsRefused(t *testing.T) {
	f := newFixture(t)
	r := f.repository()
	refused := func(name string, change func(*sandbox.Request)) {
		req := r.request(sandbox.TreeWritable)
		req.Path = "/bin/true"
		g := *r.git
		req.Git = &g
		change(&req)
		if _, err := f.box.Launch(deadline(t), req); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	refused("a directory outside of the state directory", func(q *sandbox.Request) { q.Git.Dir = f.home })
	refused("a directory in the tree", func(q *sandbox.Request) { q.Git.Dir = filepath.Join(r.tree, "sub") })
	refused("the tree itself", func(q *sandbox.Request) { q.Git.Dir = r.tree })
	refused("a part that lies elsewhere", func(q *sandbox.Request) { q.Git.Protect = []string{"/etc/passwd"} })
	refused("a part that is missing", func(q *sandbox.Request) { q.Git.Protect = []string{r.shadow + "/missing"} })
	refused("no tree", func(q *sandbox.Request) { q.Tree = sandbox.Tree{} })
	link := filepath.Join(f.state, "trees", "a", "link")
	if err := os.Symlink(r.shadow, link); err != nil {
		t.Fatal(err)
	}
	refused("a symbolic link", func(q *sandbox.Request) { q.Git.Dir, q.Git.Protect = link, nil })
}

func TestProtectedPathsStayReadOnly(t *testing.T) {
	f := newFixture(t)
	r := f.repository()
	write(t, filepath.Join(r.tree, ".vscode/tasks.json"), "kept")
	write(t, filepath.Join(r.tree, "Makefile"), "kept")
	if err := os.Symlink("Makefile", filepath.Join(r.tree, "link")); err != nil {
		t.Fatal(err)
	}
	req := r.request(sandbox.TreeWritable)
	req.Policy.Protect = []string{".vscode", "Makefile", "missing/deep", "link"}
	for _, a := range []string{
		"echo x >.vscode/tasks.json", "echo x >.vscode/new", "rm -r .vscode", "mv .vscode v", "echo x >Makefile", "rm -f Makefile", "mv Makefile m",
	} {
		if text, end := f.script(req, a); end.Code == 0 {
			t.Errorf("%s: %q", a, text)
		}
	}
	if got := read(t, filepath.Join(r.tree, ".vscode/tasks.json")) + read(t, filepath.Join(r.tree, "Makefile")); got != "keptkept" {
		t.Errorf("outside it is %q", got)
	}
	if _, err := os.Lstat(filepath.Join(r.tree, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a place was made for what is missing: %v", err)
	}
	req.Path = "/bin/true"
	e := vector(t, f.launch(req))
	if want := []string{"git pointer", "git configuration", "protect 1", "protect 2"}; !slices.Equal(e.Git.Protected, want) {
		t.Errorf("the record says %v", e.Git.Protected)
	}
	if !slices.ContainsFunc(e.Shortfall, func(s string) bool { return strings.HasPrefix(s, "protect 4") }) {
		t.Errorf("the record does not say that the link is not protected: %v", e.Shortfall)
	}
	for _, bad := range []string{"../x", "/etc", "a/../b", ".", ""} {
		req.Policy.Protect = []string{bad}
		if _, err := f.box.Launch(deadline(t), req); !fault.Is(err, fault.ConfigInvalid) {
			t.Errorf("protect %q: %v", bad, err)
		}
	}
}

func TestADeclaredDirectoryIsWritable(t *testing.T) {
	f := newFixture(t)
	dir := realTemp(t)
	req := sandbox.Request{Policy: isolated()}
	req.Policy.Write = []string{dir}
	if text, end := f.script(req, "echo text >"+dir+"/file"); end.Code != 0 {
		t.Errorf("exit %+v: %s", end, text)
	}
	if got := read(t, filepath.Join(dir, "file")); got != "text\n" {
		t.Errorf("outside it is %q", got)
	}
	req.Path = "/bin/true"
	for _, bad := range []string{"/", f.state, f.home, filepath.Dir(f.state), filepath.Join(f.state, "sandbox")} {
		req.Policy.Write = []string{bad}
		if _, err := f.box.Launch(deadline(t), req); !fault.Is(err, fault.ConfigInvalid) {
			t.Errorf("write %q: %v", bad, err)
		}
	}
}

func TestSecretsReachTheLaunchAndNothingElse(t *testing.T) {
	f := newFixture(t)
	const value = "s3cret-value"
	req := sandbox.Request{Policy: strict(), Secrets: []sandbox.Secret{
		{Name: "token", Deliver: "env", Variable: "TOKEN", Value: []byte(value)},
		{Name: "key", Deliver: "file", Variable: "KEY_FILE", Value: []byte(value + "-file")},
	}}
	text, end := f.script(req, `echo "$TOKEN"; cat "$KEY_FILE"; echo; stat -c %a "$KEY_FILE"
		{ chmod 600 "$KEY_FILE" && echo x >"$KEY_FILE"; } 2>/dev/null && echo written
		touch /run/credentials/new 2>/dev/null && echo made; cat /proc/1/environ 2>/dev/null; cat /proc/1/cmdline; true`)
	if want := value + "\n" + value + "-file\n400\n"; end.Code != 0 || !strings.HasPrefix(text, want) || strings.Count(text, value) != 2 ||
		strings.Contains(text, "written") || strings.Contains(text, "made") {
		t.Errorf("exit %+v: %q", end, text)
	}
	req.Path = "/bin/true"
	p := f.launch(req)
	if e := vector(t, p); len(e.Creds) != 2 || e.Creds[0] != (spec.Cred{Name: "token", Deliver: "env"}) {
		t.Errorf("the record names %v", e.Creds)
	}
	if out, err := exec.Command("grep", "-rl", value, f.state, f.home).Output(); len(out) > 0 {
		t.Errorf("the value is on disk: %s %v", out, err)
	}
	for _, bad := range []sandbox.Secret{
		{Name: "../x", Deliver: "file", Variable: "V"}, {Name: "", Deliver: "file"}, {Name: "x", Deliver: "broker"},
		{Name: "x", Deliver: "env", Variable: "V", Value: []byte("a\x00b")}, {Name: "x", Deliver: "file", Value: make([]byte, 65<<10)},
	} {
		req.Secrets = []sandbox.Secret{bad}
		if _, err := f.box.Launch(deadline(t), req); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestTheProxysListenerIsInsideAndAcceptedOutside(t *testing.T) {
	f := newFixture(t)
	req := sandbox.Request{Policy: strict()}
	req.Policy.Network = work.NetworkPolicy{Mode: work.NetworkProxy, Allow: []string{"example.org"}}
	served := make(chan error, 1)
	req.OnListener = func(l net.Listener) {
		go func() {
			c, err := l.Accept()
			if err != nil {
				served <- err
				return
			}
			_, err = io.WriteString(c, "from outside")
			served <- errors.Join(err, c.Close(), l.Close())
		}()
	}
	text, end := f.payload(req, "dial", "127.0.0.1:3128")
	if end.Code != 0 || text != "from outside" {
		t.Errorf("exit %+v: %q", end, text)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	req.Path = "/bin/true"
	req.OnListener = func(l net.Listener) { l.Close() }
	if e := vector(t, f.launch(req)); e.Net.Mode != "proxy" || !e.Net.Netns || e.Enforced != spec.LevelStrict || len(e.Net.Allow) != 1 {
		t.Errorf("the record says %+v", e.Net)
	}
	env, _ := f.script(req, "echo $HTTPS_PROXY $http_proxy")
	if env != "http://127.0.0.1:3128 http://127.0.0.1:3128\n" {
		t.Errorf("the variables are %q", env)
	}
	req.OnListener = nil
	if _, err := f.box.Launch(deadline(t), req); !fault.Is(err, fault.InvalidRequest) {
		t.Errorf("a proxy that nobody serves: %v", err)
	}
}

func TestACallIsAllowedOnlyFromTheClosedList(t *testing.T) {
	f := newFixture(t)
	req := sandbox.Request{Policy: strict()}
	refused, _ := f.payload(req, "trace-child")
	req.Policy.Calls = []string{"ptrace"}
	allowed, _ := f.payload(req, "trace-child")
	if refused != "EPERM\n" || allowed != "traced\n" {
		t.Errorf("without: %q, with: %q", refused, allowed)
	}
	req.Path = "/bin/true"
	if e := vector(t, f.launch(req)); !slices.Equal(e.Syscalls.Allow, []string{"ptrace"}) {
		t.Errorf("the record says %v", e.Syscalls)
	}
	for _, bad := range []string{"mount", "unshare", "bpf", "nonsense", ""} {
		req.Policy.Calls = []string{bad}
		if _, err := f.box.Launch(deadline(t), req); !fault.Is(err, fault.ConfigInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// dial reads what a server says.
func dial(address string) int {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 1
	}
	if _, err := io.Copy(os.Stdout, c); err != nil {
		return 2
	}
	return 0
}

// traceMe asks to be traced by the parent.
func traceMe() int {
	_, _, errno := unix.RawSyscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0)
	answer := "traced\n"
	if errno != 0 {
		answer = unix.ErrnoName(errno) + "\n"
	}
	if _, err := io.WriteString(os.Stdout, answer); err != nil {
		return 1
	}
	return 0
}

func TestGitWorksUnderEachBackEnd(t *testing.T) {
	for backend, level := range map[string]string{"native": spec.LevelStrict, "bwrap": spec.LevelStrict, "landlock": spec.LevelGuarded} {
		t.Run(backend, func(t *testing.T) {
			if backend == "bwrap" && !exists("/usr/bin/bwrap") {
				t.Skip("bubblewrap is not installed")
			}
			f := newFixture(t)
			r := f.repository()
			req := r.request(sandbox.TreeWritable)
			req.Policy.Backend, req.Policy.Level = backend, level
			text, end := f.script(req, "echo two >file && git commit -qam second && git log --format=%s && git status --porcelain")
			if end.Code != 0 || text != "second\nfirst\n" {
				t.Errorf("in a writable tree: exit %+v: %q", end, text)
			}
			head := f.git("--git-dir", r.shadow, "rev-parse", "HEAD")
			req.Tree.Mode = sandbox.TreeOverlay
			text, end = f.script(req, "git diff --exit-code HEAD && git log --format=%s")
			if end.Code != 0 || text != "second\nfirst\n" {
				t.Errorf("in a sealed tree: exit %+v: %q", end, text)
			}
			if after := f.git("--git-dir", r.shadow, "rev-parse", "HEAD"); after != head {
				t.Errorf("a sealed tree's HEAD moved from %s to %s", head, after)
			}
		})
	}
}
