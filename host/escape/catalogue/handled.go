package catalogue

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// handled are ways to make the host do something when it takes a tree and its git directory over.
func handled() []Probe {
	list := []Probe{
		{ID: "29g", Title: "host git: the shadow's commondir leads to hostile configuration", try: needShadow(commonDir)},
		{ID: "29h", Under: Spoilt, Title: "host git: hostile configuration in the shadow, as if nothing protected it", try: needShadow(touchFile)},
		{ID: "31", Title: "host git: nested and bare repositories, attributes with filters", try: nestedRepositories},
		{ID: "31b", Title: "host git: a submodule whose address is a command", try: needShadow(submodule)},
		{ID: "33", Title: "host git: a pack of too many objects", try: needShadow(manyObjects)},
		{ID: "33b", Title: "host git: a pack of too many bytes", try: needShadow(manyBytes)},
		{ID: "33c", Title: "host git: move a branch to where it does not come from", try: needShadow(unrelated)},
		{ID: "33d", Title: "host git: a million refs, and one named ../../hooks/x", try: needShadow(manyRefs)},
		{ID: "35", Title: "settings that tools execute, not named by the gate", try: settings},
	}
	for i := range list {
		p := &list[i]
		p.Layer, p.Level, p.Where, p.Walls = Host, guarded, OursOnly, []string{Host}
		if p.Under == "" {
			p.Under = Handled
		}
	}
	return list
}

// SettingsFiles are what tools of the host execute on opening; each probe's file runs the trap.
func SettingsFiles() []string {
	return []string{".claude/settings.json", ".vscode/tasks.json", ".envrc", "pyvenv.cfg", ".mcp.json", ".idea/workspace.xml",
		".devcontainer/devcontainer.json", ".gitattributes", ".gitmodules", ".husky/pre-commit", ".npmrc", "sitecustomize.py", "sub/.envrc",
		"evil.pth", ".github/workflows/x.yml", ".gdbinit", ".cargo/config.toml", ".pre-commit-config.yaml", ".Vscode/settings.json"}
}

// Bounds that the driver imports with.
const (
	ImportObjects = 20000
	ImportBytes   = 8 << 20
)

// HostileConfig makes git run a program whenever it can be made to.
func HostileConfig(program string) string {
	return strings.ReplaceAll(`[core]
	repositoryformatversion = 0
	fsmonitor = %s
	hooksPath = %s.hooks
	editor = %s
	pager = %s
	sshCommand = %s
[filter "evil"]
	clean = %s
	smudge = %s
[diff]
	external = %s
[diff "evil"]
	textconv = %s
[credential]
	helper = %s
[alias]
	status = !%s
`, "%s", program)
}

// trap makes a program in the tree that leaves something outside when the host runs it.
func trap(t *Target) (string, error) {
	p := t.Tree + "/trap.sh"
	return p, os.WriteFile(p, []byte("#!/bin/sh\necho ran >>"+t.Ran+"\ncat\n"), 0o755)
}

func put(text string, elem ...string) error {
	p := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	return os.WriteFile(p, []byte(text), 0o644)
}

// done is for what only the host can turn into an escape.
func done(err error, format string, args ...any) Outcome {
	if err != nil {
		return broken("%v", err)
	}
	return attempted(format, args...)
}

func touchFile(t *Target) Outcome {
	_, err := trap(t)
	if err == nil {
		err = put("two\n", t.Tree, "file")
	}
	return done(err, "changed a file")
}

func commonDir(t *Target) Outcome {
	program, err := trap(t)
	if err != nil {
		return broken("%v", err)
	}
	evil := t.Tree + "/evil"
	if err := hostileGit(evil, program); err != nil {
		return broken("%v", err)
	}
	if err := put(evil+"\n", t.Shadow, "commondir"); err != nil {
		return refused(err)
	}
	return attempted("wrote")
}

func hostileGit(dir, program string) error {
	for name, text := range map[string]string{"HEAD": "ref: refs/heads/main\n", "config": HostileConfig(program), "refs/heads/.keep": "", "objects/.keep": "",
		"info/attributes": "* filter=evil diff=evil\n"} {
		if err := put(text, dir, name); err != nil {
			return err
		}
	}
	return nil
}

func nestedRepositories(t *Target) Outcome {
	program, err := trap(t)
	if err != nil {
		return broken("%v", err)
	}
	for _, dir := range []string{"sub/.git", "bare"} {
		if err := hostileGit(t.Tree+"/"+dir, program); err != nil {
			return broken("%v", err)
		}
	}
	if err := put("x\n", t.Tree, "sub/x"); err != nil {
		return broken("%v", err)
	}
	return done(put("* filter=evil diff=evil merge=evil text eol=crlf\n", t.Tree, ".gitattributes"), "made them")
}

func git(t *Target, args ...string) (string, error) {
	out, err := command(append([]string{"git", "-C", t.Tree, "-c", "user.name=n", "-c", "user.email=e", "-c", "gc.auto=0"}, args...)...)
	return strings.TrimSpace(out), err
}

func submodule(t *Target) Outcome {
	program, err := trap(t)
	if err != nil {
		return broken("%v", err)
	}
	if err := put("[submodule \"s\"]\n\tpath = s\n\turl = ext::"+program+"\n", t.Tree, ".gitmodules"); err != nil {
		return broken("%v", err)
	}
	for _, args := range [][]string{{"add", ".gitmodules"}, {"update-index", "--add", "--cacheinfo", "160000," + strings.Repeat("1", 40) + ",s"},
		{"commit", "-qm", "submodule"}} {
		if out, err := git(t, args...); err != nil {
			return broken("git %s: %v %s", args[0], err, out)
		}
	}
	return attempted("committed it")
}

// commitAll commits what is in the tree.
func commitAll(t *Target) Outcome {
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-qm", "many"}} {
		if out, err := git(t, args...); err != nil {
			return broken("git %s: %v %.200s", args[0], err, out)
		}
	}
	return attempted("committed it")
}

// manyObjects writes them by fast-import, which needs no files.
func manyObjects(t *Target) Outcome {
	start, err := git(t, "rev-parse", "HEAD")
	if err != nil {
		return broken("%v", err)
	}
	var b strings.Builder
	b.WriteString("commit refs/heads/many\ncommitter n <e> 0 +0000\ndata 1\nx\nfrom " + start + "\n")
	for i := range ImportObjects + 1000 {
		text := strconv.Itoa(i)
		b.WriteString("M 100644 inline many/" + text + "\ndata " + strconv.Itoa(len(text)) + "\n" + text + "\n")
	}
	stream := t.Tree + "/stream"
	if err := put(b.String(), stream); err != nil {
		return broken("%v", err)
	}
	defer os.Remove(stream)
	out, err := command("sh", "-c", `git -C "$1" fast-import --quiet <"$2" && git -C "$1" symbolic-ref HEAD refs/heads/many`, "sh", t.Tree, stream)
	if err != nil {
		return broken("%v %.200s", err, out)
	}
	return attempted("made %d", ImportObjects+1000)
}

// manyBytes commits what cannot be compressed.
func manyBytes(t *Target) Outcome {
	block, state := make([]byte, 2*ImportBytes), uint64(88172645463325252)
	for i := range block {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		block[i] = byte(state)
	}
	if err := put(string(block), t.Tree, "bytes"); err != nil {
		return broken("%v", err)
	}
	o := commitAll(t)
	if err := os.Remove(t.Tree + "/bytes"); err != nil { // what is captured is not what is tried
		return broken("%v", err)
	}
	return o
}

func unrelated(t *Target) Outcome {
	for _, args := range [][]string{{"checkout", "-q", "--orphan", "main"}, {"commit", "-qm", "not from there"}} {
		if out, err := git(t, args...); err != nil {
			return broken("git %s: %v %.200s", args[0], err, out)
		}
	}
	return attempted("committed it")
}

func manyRefs(t *Target) Outcome {
	if o := unrelatedChild(t); o.Claim == Broken {
		return o
	}
	head, err := git(t, "rev-parse", "HEAD")
	if err != nil {
		return broken("%v", err)
	}
	const million = 1_000_000
	var b strings.Builder
	b.Grow(million * 64)
	b.WriteString("# pack-refs with: peeled fully-peeled sorted \n" + head + " ../../hooks/x\n")
	for i := range million {
		b.WriteString(head + " refs/heads/r" + strconv.Itoa(million+i) + "\n")
	}
	return done(put(b.String(), t.Shadow, "packed-refs"), "wrote them")
}

// unrelatedChild commits something ordinary.
func unrelatedChild(t *Target) Outcome {
	if err := put("two\n", t.Tree, "file"); err != nil {
		return broken("%v", err)
	}
	return commitAll(t)
}

func settings(t *Target) Outcome {
	program, err := trap(t)
	for _, name := range SettingsFiles() {
		if err == nil {
			err = put("exec "+program+" </dev/null\n", t.Tree, name)
		}
	}
	return done(err, "made %d", len(SettingsFiles()))
}
