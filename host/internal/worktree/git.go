package worktree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// Oldest git that knows every variable and option used here.
const (
	minMajor = 2
	minMinor = 34
)

const (
	maxOutput = 64 << 20 // of a git process whose output is kept in memory
	maxStderr = 4 << 10  // of a git process, kept for the error
	reapDelay = 2 * time.Second
)

// program is the git in use. It starts processes with nothing of the daemon's environment and a bound
// on how many run at once.
type program struct {
	path    string
	version string
	minor   int // of version 2; large for later ones
	empty   string
	slots   chan struct{}
	log     hclog.Logger
}

// repo is a git directory that is named explicitly, so that git discovers nothing.
type repo struct {
	dir    string // GIT_DIR and GIT_COMMON_DIR
	sha256 bool
}

// call is one git process.
type call struct {
	repo    repo
	entry   string // GIT_DIR alone, to learn which repository is behind it
	work    string // GIT_WORK_TREE and the working directory
	index   string // GIT_INDEX_FILE
	objects string // GIT_OBJECT_DIRECTORY, where it is not the repository's own
	reflog  bool   // keep the repository's own setting for reflogs
	stdin   io.Reader
	stdout  io.Writer // nil: kept in memory, bounded
	args    []string

	feed     func(io.Writer) error // writes what git reads, instead of stdin; its error comes before git's
	fileSize int64                 // not 0: what git reads is hostile, and this is the largest file it may write
}

var versionLine = regexp.MustCompile(`^git version (\d+)\.(\d+)[0-9A-Za-z.()_ -]*\n?$`)

// findGit looks for the git program and checks its version.
func findGit(ctx context.Context, o Options, empty string) (*program, error) {
	path, err := locateGit(o)
	if err != nil {
		return nil, err
	}
	n := o.Parallel
	if n <= 0 {
		n = max(4, 2*runtime.NumCPU())
	}
	p := &program{path: path, empty: empty, slots: make(chan struct{}, n), log: o.Log}
	out, err := p.run(ctx, call{args: []string{"version"}})
	if err != nil {
		return nil, fault.Wrap(err, fault.WorkspaceUnusable, "the git program does not run").At(path)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return nil, fault.New(fault.WorkspaceUnusable, "the git program does not tell its version").At(path)
	}
	p.version = strings.TrimSpace(strings.TrimPrefix(string(out), "git version "))
	major, errMajor := strconv.Atoi(string(m[1]))
	minor, errMinor := strconv.Atoi(string(m[2]))
	if errMajor != nil || errMinor != nil || major < minMajor || major == minMajor && minor < minMinor {
		return nil, fault.New(fault.WorkspaceUnusable, "git %s is too old", p.version).At(path).
			Fix("install git %d.%d or newer", minMajor, minMinor)
	}
	if p.minor = minor; major > minMajor {
		p.minor = 1 << 20
	}
	return p, nil
}

func locateGit(o Options) (string, error) {
	candidates := []string{o.Git}
	if o.Git == "" {
		candidates = nil
		for _, dir := range filepath.SplitList(o.Path) {
			if filepath.IsAbs(dir) {
				candidates = append(candidates, filepath.Join(dir, "git"))
			}
		}
	}
	for _, c := range candidates {
		if fi, err := os.Stat(c); err == nil && filepath.IsAbs(c) && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return c, nil
		}
	}
	return "", fault.New(fault.WorkspaceUnusable, "git was not found").Fix("install git %d.%d or newer", minMajor, minMinor)
}

// guards come first on every command line. They close the ways in which configuration makes git run or
// read something; configuration given here wins over every file. A large checkout writes with two hands.
var guards = []string{
	"--no-pager", "--no-replace-objects",
	"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.attributesFile=/dev/null",
	"-c", "core.excludesFile=/dev/null", "-c", "core.untrackedCache=false", "-c", "core.splitIndex=false",
	"-c", "core.sparseCheckout=false", "-c", "core.autocrlf=false", "-c", "core.safecrlf=false",
	"-c", "core.symlinks=true", "-c", "core.fileMode=true", "-c", "core.ignoreCase=false",
	"-c", "core.precomposeUnicode=false", "-c", "core.protectHFS=true", "-c", "core.protectNTFS=true",
	"-c", "core.bigFileThreshold=32m", "-c", "index.version=2", "-c", "index.sparse=false",
	"-c", "submodule.recurse=false", "-c", "diff.ignoreSubmodules=none", "-c", "protocol.allow=never",
	"-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "credential.helper=",
	"-c", "safe.bareRepository=explicit", "-c", "commit.gpgSign=false", "-c", "advice.addEmbeddedRepo=false",
	"-c", "advice.graftFileDeprecated=false", "-c", "checkout.workers=2",
}

const (
	emptyTreeSHA1   = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	emptyTreeSHA256 = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
)

func (r repo) emptyTree() string {
	if r.sha256 {
		return emptyTreeSHA256
	}
	return emptyTreeSHA1
}

// quiet is the environment of every git process, with a home where nothing is.
func quiet(home string) []string {
	return []string{
		"LC_ALL=C", "PATH=/usr/bin:/bin", "HOME=" + home, "XDG_CONFIG_HOME=" + home, "TZ=UTC",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1", "GIT_OPTIONAL_LOCKS=0",
		"GIT_TERMINAL_PROMPT=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_LITERAL_PATHSPECS=1", "GIT_NO_LAZY_FETCH=1",
		"GIT_ALLOW_PROTOCOL=", "GIT_PROTOCOL_FROM_USER=0", // no configuration allows a transport
		"GIT_GRAFT_FILE=/dev/null", "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false",
		"GIT_COMMITTER_NAME=" + identityName, "GIT_COMMITTER_EMAIL=" + identityEmail,
	}
}

// environ is the whole environment of a git process.
func (p *program) environ(c call) []string {
	env := quiet(p.empty)
	if c.repo.dir != "" {
		env = append(env, "GIT_DIR="+c.repo.dir, "GIT_COMMON_DIR="+c.repo.dir)
		if p.minor >= 41 {
			env = append(env, "GIT_ATTR_SOURCE="+c.repo.emptyTree())
		}
	}
	if c.entry != "" {
		env = append(env, "GIT_DIR="+c.entry)
	}
	if c.work != "" {
		env = append(env, "GIT_WORK_TREE="+c.work)
	}
	if c.index != "" {
		env = append(env, "GIT_INDEX_FILE="+c.index)
	}
	if c.objects != "" {
		env = append(env, "GIT_OBJECT_DIRECTORY="+c.objects)
	}
	return env
}

// command prepares a process: its own group, so that a cancelled one takes its children along. It is asked
// to end first, since git removes its lock files then.
func (p *program) command(ctx context.Context, c call, stderr io.Writer) *exec.Cmd {
	args := append([]string{}, guards...)
	if !c.reflog {
		args = append(args, "-c", "core.logAllRefUpdates=false")
	}
	cmd := exec.CommandContext(ctx, p.path, append(args, c.args...)...)
	cmd.Env = p.environ(c)
	cmd.Dir = p.empty
	if c.work != "" {
		cmd.Dir = c.work
	}
	cmd.Stdin = c.stdin
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	cmd.WaitDelay = reapDelay
	return cmd
}

// run runs one git process to its end and returns what it wrote, if nobody else took it.
func (p *program) run(ctx context.Context, c call) ([]byte, error) {
	if err := p.acquire(ctx); err != nil {
		return nil, err
	}
	defer p.release()
	var stdout, stderr limited
	stdout.limit, stderr.limit = maxOutput, maxStderr
	stdout.strict = true
	cmd := p.command(ctx, c, &stderr)
	cmd.Stdout = &stdout
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	began := time.Now()
	err := drive(cmd, c)
	p.log.Debug("git", "command", c.args[0], "took", time.Since(began))
	if err != nil {
		return nil, p.explain(ctx, c, err, &stderr)
	}
	return stdout.buf.Bytes(), nil
}

// Bounds of a git process that reads what an executor made.
const (
	hostileMemory = 1 << 30
	hostileCPU    = 240 // seconds
)

// drive runs a prepared process, within bounds where those are asked for, and feeds it.
func drive(cmd *exec.Cmd, c call) error {
	if c.feed == nil && c.fileSize == 0 {
		return cmd.Run()
	}
	var in io.WriteCloser
	var err error
	if c.feed != nil {
		if in, err = cmd.StdinPipe(); err != nil {
			return err
		}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = bound(cmd.Process.Pid, c.fileSize)
	if err == nil && in != nil {
		err = errors.Join(c.feed(in), in.Close())
	}
	ended := errors.Is(err, unix.EPIPE) || errors.Is(err, os.ErrClosed) // git knows why
	if err != nil && !ended {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // it is waited for in any case
	}
	if e := cmd.Wait(); err == nil || ended && e != nil {
		return e
	}
	return err
}

// bound limits a process that was just started. Memory is what it allocates, not what it maps.
func bound(pid int, fileSize int64) error {
	if fileSize == 0 {
		return nil
	}
	for what, n := range map[int]uint64{
		unix.RLIMIT_DATA: hostileMemory, unix.RLIMIT_CPU: hostileCPU, unix.RLIMIT_FSIZE: uint64(fileSize), unix.RLIMIT_CORE: 0,
	} {
		if err := unix.Prlimit(pid, what, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("bound git: %w", err)
		}
	}
	return nil
}

func (p *program) acquire(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *program) release() { <-p.slots }

// explain makes the error of a failed process: what was run, how it ended and what it said.
func (p *program) explain(ctx context.Context, c call, err error, stderr *limited) error {
	if ctx.Err() != nil {
		return fmt.Errorf("run git %s: %w", c.args[0], context.Cause(ctx))
	}
	var f *fault.Fault
	if errors.As(err, &f) {
		return err
	}
	failed := &gitError{command: c.args[0], said: printable(stderr.buf.Bytes()), err: err}
	if dir := c.spaceNeeded(); dir != "" && full(dir) {
		return fault.Wrap(failed, fault.NoSpace, "no space left for git to write").At(dir)
	}
	return failed
}

func (c call) spaceNeeded() string {
	if c.work != "" {
		return c.work
	}
	return c.repo.dir
}

// full reports whether a file system has less than a megabyte or no inode left.
func full(dir string) bool {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return false
	}
	return st.Bavail*uint64(st.Bsize) < 1<<20 || st.Files > 0 && st.Ffree == 0
}

// gitError is a git process that failed.
type gitError struct {
	command string
	said    string
	err     error
}

func (e *gitError) Error() string {
	s := fmt.Sprintf("run git %s: %v", e.command, e.err)
	if e.said != "" {
		s += ": " + e.said
	}
	return s
}

func (e *gitError) Unwrap() error { return e.err }

// exitCode is the exit code of a git process that ran and failed; -1 for any other error.
func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// printable is git's message on one line, with everything escaped that could disturb a terminal or log.
func printable(b []byte) string {
	var out strings.Builder
	for _, r := range strings.TrimSpace(string(b)) {
		switch {
		case r == '\n':
			out.WriteString("; ")
		case strconv.IsPrint(r):
			out.WriteRune(r)
		default:
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return out.String()
}

var errOutput = errors.New("git wrote more than is taken")

// limited keeps the first bytes that are written to it. A strict one refuses more.
type limited struct {
	buf    bytes.Buffer
	limit  int
	strict bool
}

// Write keeps what fits.
func (l *limited) Write(p []byte) (int, error) {
	room := l.limit - l.buf.Len()
	if len(p) > room {
		if l.strict {
			return 0, errOutput
		}
		l.buf.Write(p[:room])
		return len(p), nil
	}
	return l.buf.Write(p)
}
