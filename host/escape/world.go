package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/escape/catalogue"
	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// Descriptors that are open, and inherited, whenever a sandbox is started.
const (
	leakedDir  = 90
	leakedFile = 91
)

// world is everything outside that a probe goes for, with a secret in it, and what it was like before.
type world struct {
	target  catalogue.Target
	secret  string
	outer   string
	git     *sandbox.Git
	before  picture
	servers []*server
	sites   *sites
	kernel  []object
	victim  *exec.Cmd
	tmp     []string // files that are not below outer
}

// newWorld makes one. leak says whether its descriptors are the leaked ones: there is one such pair for the
// process, so only one world at a time has them.
func newWorld(probe string) (*world, error) {
	id := make([]byte, 6)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	mark := "esc" + hex.EncodeToString(id)
	outer, err := os.MkdirTemp("", "escape-")
	if err != nil {
		return nil, err
	}
	if outer, err = filepath.EvalSymlinks(outer); err != nil {
		return nil, err
	}
	w := &world{outer: outer, secret: "secret-of-" + mark}
	base := filepath.Join(outer, "w")
	w.target = catalogue.Target{
		Mark: mark, Home: base + "/home", State: base + "/state", Repo: base + "/repo",
		Tree: base + "/state/trees/a/tree", Shadow: base + "/state/trees/a/git", Sibling: base + "/state/trees/b/tree",
		Abstract: mark + ".abstract", Agent: base + "/home/agent.sock", API: base + "/state/api.sock",
		Ran: base + "/home/ran", Queue: mark, Key: 0x45534300 ^ int(id[0])<<16 ^ int(id[1])<<8 ^ int(id[2]), Leaked: []int{leakedDir, leakedFile},
		Forks: forks, TmpBytes: 4 * tmpSize, LAN: ownAddress(),
	}
	for _, step := range []func() error{w.makeFiles, w.makeRepository, w.makeShadow, w.makeShared, w.makeServers, w.makeSites, w.makeObjects,
		func() error { return w.startVictim(probe) }, w.leak, w.addKey} {
		if err := step(); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	if w.before, err = w.look(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) makeFiles() error {
	t := w.target
	for name, text := range map[string]string{
		t.Home + "/.ssh/id_ed25519":   w.secret,
		t.Home + "/.aws/credentials":  w.secret,
		t.Home + "/.config/gh/hosts":  w.secret,
		t.State + "/drawspan.db":      w.secret,
		t.State + "/drawspan.hcl":     w.secret,
		t.Sibling + "/secret":         w.secret,
		t.Sibling + "/file":           "another attempt's",
		t.Repo + "/file":              "one\n",
		t.Tree + "/file":              "one\n",
		w.outer + "/w/run/dockerlike": w.secret,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// gitEnv is git without anybody's settings.
func (w *world) gitEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.outer, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
}

func (w *world) runGit(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Env = w.gitEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func (w *world) makeRepository() error {
	repo := w.target.Repo
	for _, args := range [][]string{
		{"init", "-q", "--template=", "-b", "main", repo},
		{"-C", repo, "add", "."},
		{"-C", repo, "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"},
	} {
		if _, err := w.runGit(args...); err != nil {
			return err
		}
	}
	for _, d := range []string{"hooks", "info"} {
		if err := os.MkdirAll(repo+"/.git/"+d, 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(repo+"/.git/info/attributes", nil, 0o644)
}

// makeShadow makes the tree's git directory as the worktree room does: beside the tree, borrowing objects.
func (w *world) makeShadow() error {
	t := w.target
	head, err := w.runGit("-C", t.Repo, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if _, err := w.runGit("init", "-q", "--template=", "--bare", t.Shadow); err != nil {
		return err
	}
	objects := t.Repo + "/.git/objects"
	for name, text := range map[string]string{
		t.Shadow + "/objects/info/alternates": objects + "\n",
		t.Shadow + "/HEAD":                    head + "\n",
		t.Shadow + "/config":                  "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\thooksPath = /dev/null\n[repack]\n\tupdateServerInfo = false\n[gc]\n\twriteCommitGraph = false\n[user]\n\tname = n\n\temail = e\n",
		t.Shadow + "/hooks/.keep":             "",
		t.Tree + "/.git":                      "gitdir: " + t.Shadow + "\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	w.git = &sandbox.Git{Dir: t.Shadow, Objects: []string{objects},
		Protect: []string{t.Shadow + "/config", t.Shadow + "/hooks", t.Shadow + "/objects/info"}}
	_, err = w.runGit("-C", t.Tree, "reset", "-q")
	return err
}

func (w *world) makeSites() (err error) {
	w.sites, err = newSites(w.secret)
	return err
}

// makeShared puts canaries where everybody may write.
func (w *world) makeShared() error {
	for _, c := range []struct {
		dir string
		to  *string
	}{{"/tmp", &w.target.Tmp}, {"/var/tmp", &w.target.VarTmp}, {"/dev/shm", &w.target.Shm}} {
		*c.to = filepath.Join(c.dir, w.target.Mark)
		w.tmp = append(w.tmp, *c.to)
		if err := os.WriteFile(*c.to, []byte(w.secret), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startVictim starts a process of the host with the secret in its environment. It has no handlers: what a
// signal does to it is visible at once.
func (w *world) startVictim(string) error {
	w.victim = &exec.Cmd{Path: "/bin/sleep", Args: []string{w.target.Mark + "-victim", "3600"}, Env: []string{"CANARY=" + w.secret},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}}
	if err := w.victim.Start(); err != nil {
		return err
	}
	w.target.Victim = w.victim.Process.Pid
	return nil
}

// leak opens what a careless daemon would: a directory and a file, without close-on-exec.
func (w *world) leak() error {
	dir, err := unix.Open(w.outer+"/w", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	file, err := unix.Open(w.target.State+"/drawspan.db", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	return errors.Join(unix.Dup3(dir, leakedDir, 0), unix.Dup3(file, leakedFile, 0))
}

// addKey puts the secret into the session keyring, which children inherit. A machine that refuses keyrings
// has none to find.
func (w *world) addKey() error {
	_, err := unix.AddKey("user", w.target.Mark, []byte(w.secret), unix.KEY_SPEC_SESSION_KEYRING)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EDQUOT) {
		return nil
	}
	return err
}

// careless is the daemon's environment: what must not be passed on.
func (w *world) careless() []string {
	return []string{
		"CANARY=" + w.secret, "AWS_SECRET_ACCESS_KEY=" + w.secret, "GITHUB_TOKEN=" + w.secret,
		"SSH_AUTH_SOCK=" + w.target.Agent, "DBUS_SESSION_BUS_ADDRESS=unix:path=" + w.target.Agent,
		"LD_LIBRARY_PATH=/nonexistent", "PYTHONSTARTUP=/nonexistent",
	}
}

func ownAddress() string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	return ""
}

func (w *world) close() error {
	var all []error
	if w.victim != nil && w.victim.Process != nil {
		_ = w.victim.Process.Kill() // a probe may have ended it
		_ = w.victim.Wait()         // by that signal
	}
	if w.sites != nil {
		all = append(all, w.sites.close())
	}
	for _, s := range w.servers {
		all = append(all, unix.Close(s.fd))
	}
	for _, o := range w.kernel {
		all = append(all, o.remove())
	}
	for _, fd := range []int{leakedDir, leakedFile} {
		_ = unix.Close(fd) // it may never have been opened
	}
	for _, f := range w.tmp {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			all = append(all, err)
		}
	}
	return errors.Join(append(all, removeAll(w.outer))...)
}

// removeAll removes what a probe may have made unreadable, too.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(dir))
}
