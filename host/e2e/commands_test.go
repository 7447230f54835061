package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands is what scripts can say beyond testscript's own words.
func commands() map[string]command {
	return map[string]command{
		"daemon": cmdDaemon, "background": cmdBackground, "saw": cmdSaw, "ends": cmdEnds,
		"drawspan": cmdDrawspan, "exits": cmdExits, "let": cmdLet, "snippet": cmdSnippet,
		"gitrepo": cmdGitrepo, "jsonq": cmdJSONQ, "jsonlet": cmdJSONLet,
		"onedoc": cmdOneDoc, "http": cmdHTTP, "await": cmdAwait, "awaitlog": cmdAwaitLog, "ledger": cmdLedger, "resume": cmdResume,
		"flip": cmdFlip, "alter": cmdAlter, "noprocess": cmdNoProcess, "process": cmdProcess, "private": cmdPrivate,
		"mode": cmdMode, "fill": cmdFill, "warm": cmdWarm, "locked": cmdLocked,
		"buildhello": cmdBuildHello, "buildleaker": cmdBuildLeaker, "canaries": cmdCanaries, "driver": cmdDriver, "upstream": cmdUpstream,
		"far": cmdFar, "typed": cmdTyped, "fixture": cmdFixture, "fillin": cmdFillIn,
	}
}

// run runs a program to its end, as exec does, and answers with its exit code.
func run(ts *testscript.TestScript, args []string) int {
	return exitCode(ts.Exec(args[0], args[1:]...))
}

// cmdDrawspan runs drawspan, which must exit with 0, or with "!" not with 0.
func cmdDrawspan(ts *testscript.TestScript, neg bool, args []string) {
	if code := run(ts, append([]string{"drawspan"}, args...)); (code != 0) != neg {
		ts.Fatalf("drawspan ended with %d", code)
	}
}

// cmdExits is: exits CODE PROGRAM ARG...
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	if code := run(ts, args[1:]); strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with %d, want %s", args[1], code, args[0])
	}
}

// cmdLet is: let NAME PROGRAM ARG... The variable becomes what the program prints, without space around.
func cmdLet(ts *testscript.TestScript, _ bool, args []string) {
	if code := run(ts, args[1:]); code != 0 {
		ts.Fatalf("%s ended with %d", args[1], code)
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// cmdGitrepo is: gitrepo DIR. The files in it become the first commit of a repository, on main.
func cmdGitrepo(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	for _, line := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "--allow-empty", "-m", "first"}} {
		if code := run(ts, append([]string{"git", "-C", dir}, line...)); code != 0 {
			ts.Fatalf("git %s ended with %d", line[0], code)
		}
	}
}

// document decodes a file, stdout or stderr, that must hold exactly one JSON document.
func document(ts *testscript.TestScript, name string) any {
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile(name)))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		ts.Fatalf("%s is not a JSON document: %v", name, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		ts.Fatalf("%s holds more than one JSON document", name)
	}
	return doc
}

var pathPart = regexp.MustCompile(`^(?:\.([A-Za-z0-9_]+)|\[(-?\d+)\])`)

// pick follows a path such as .items[0].state; .len of a list is its length. What is not there is nil.
func pick(ts *testscript.TestScript, doc any, path string) any {
	for path != "" && path != "." {
		m := pathPart.FindStringSubmatch(path)
		if m == nil {
			ts.Fatalf("%q is not a path", path)
		}
		path = path[len(m[0]):]
		switch v := doc.(type) {
		case map[string]any:
			doc = v[m[1]]
		case []any:
			if m[1] == "len" {
				doc = json.Number(strconv.Itoa(len(v)))
				continue
			}
			i, err := strconv.Atoi(m[2])
			if i < 0 {
				i += len(v)
			}
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			doc = v[i]
		default:
			return nil
		}
	}
	return doc
}

// rendered is a picked value as scripts write it: a text as it is, "null" for what is not there.
func rendered(ts *testscript.TestScript, v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	ts.Check(enc.Encode(v))
	return strings.TrimSpace(b.String())
}

// cmdJSONQ is: jsonq FILE PATH WANT. WANT is the value, or with ~ before it a regular expression.
func cmdJSONQ(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: jsonq FILE PATH WANT")
	}
	got := rendered(ts, pick(ts, document(ts, args[0]), args[1]))
	same := got == args[2]
	if expr, ok := strings.CutPrefix(args[2], "~"); ok {
		re, err := regexp.Compile(expr)
		ts.Check(err)
		same = re.MatchString(got)
	}
	if same == neg {
		ts.Fatalf("%s%s is %s", args[0], args[1], got)
	}
}

// cmdOneDoc is: onedoc CODE ARG... "drawspan ARG... --json" ends with the code and prints one document.
func cmdOneDoc(ts *testscript.TestScript, _ bool, args []string) {
	cmdExits(ts, false, append(append([]string{args[0], "drawspan"}, args[1:]...), "--json"))
	document(ts, "stdout")
}

// cmdJSONLet is: jsonlet NAME FILE PATH
func cmdJSONLet(ts *testscript.TestScript, _ bool, args []string) {
	v := pick(ts, document(ts, args[1]), args[2])
	if v == nil {
		ts.Fatalf("%s has no %s", args[1], args[2])
	}
	ts.Setenv(args[0], rendered(ts, v))
}

// cmdFlip is: flip FILE. One bit of its middle byte changes.
func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	rewrite(ts, ts.MkAbs(args[0]), func(b []byte) []byte {
		b[len(b)/2] ^= 1
		return b
	})
}

// cmdAlter is: alter FILE OLD NEW. Every OLD in the file becomes NEW, of the same length.
func cmdAlter(ts *testscript.TestScript, _ bool, args []string) {
	if len(args[1]) != len(args[2]) {
		ts.Fatalf("old and new are not of one length")
	}
	rewrite(ts, ts.MkAbs(args[0]), func(b []byte) []byte {
		if !bytes.Contains(b, []byte(args[1])) {
			ts.Fatalf("%s does not hold %q", args[0], args[1])
		}
		return bytes.ReplaceAll(b, []byte(args[1]), []byte(args[2]))
	})
}

// rewrite changes a file in place, whatever its mode.
func rewrite(ts *testscript.TestScript, name string, change func([]byte) []byte) {
	info, err := os.Stat(name)
	ts.Check(err)
	ts.Check(os.Chmod(name, 0o600))
	b, err := os.ReadFile(name)
	ts.Check(err)
	ts.Check(os.WriteFile(name, change(b), 0o600))
	ts.Check(os.Chmod(name, info.Mode().Perm()))
}

// cmdLocked is: locked [FILE]. The lock file is what "drawspan plugin lock" wrote once for all scripts: hashing
// and asking every program anew would take most of their time.
func cmdLocked(ts *testscript.TestScript, _ bool, args []string) {
	name := "drawspan.lock.hcl"
	if len(args) == 1 {
		name = args[0]
	}
	text, err := lockFile()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(name), text, 0o644))
}

var lockFile = sync.OnceValues(func() ([]byte, error) {
	prefix, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lock")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "drawspan.hcl"), []byte("version = 1\n"), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(prefix, "bin", "drawspan"), "plugin", "lock")
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=/usr/bin:/bin"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("lock the plugins: %w\n%s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "drawspan.lock.hcl"))
})

// cmdBuildHello is: buildhello FILE. The file becomes the program of examples/executor-hello.
func cmdBuildHello(ts *testscript.TestScript, _ bool, args []string) {
	program, err := hello()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), program, 0o755))
}

// cmdBuildLeaker is: buildleaker FILE... The files become the program of host/e2e/leaker.
func cmdBuildLeaker(ts *testscript.TestScript, _ bool, args []string) {
	program, err := leaker()
	ts.Check(err)
	for _, name := range args {
		ts.Check(os.WriteFile(ts.MkAbs(name), program, 0o755))
	}
}

// cmdDriver is: driver FILE [VERSION]. The file becomes the program of host/e2e/driver, which says that it is
// of that version. What runs under that name goes on with the old one.
func cmdDriver(ts *testscript.TestScript, _ bool, args []string) {
	program, err := driver()
	ts.Check(err)
	if len(args) == 2 {
		program = slices.Concat(program, []byte("\n# version "+args[1]+"\n"))
	}
	name := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(name), 0o755))
	ts.Check(os.WriteFile(name+".new", program, 0o755))
	ts.Check(os.Rename(name+".new", name))
}

// cmdFar is: far NAME. The variable becomes a new directory on another file system than the state's, or
// stays empty where there is none.
func cmdFar(ts *testscript.TestScript, _ bool, args []string) {
	const memory = "/dev/shm"
	var here, there syscall.Stat_t
	if syscall.Stat(ts.MkAbs("."), &here) != nil || syscall.Stat(memory, &there) != nil || here.Dev == there.Dev {
		return
	}
	dir, err := os.MkdirTemp(memory, "far")
	ts.Check(err)
	ts.Defer(func() { removeAll(dir) })
	ts.Setenv(args[0], dir)
}

// cmdFill is: fill FILE SIZE. The file gets so many bytes.
func cmdFill(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Repeat([]byte("x"), n), 0o644))
}

// cmdFillIn is: fillin FILE... ${FOREVER} in a file becomes what it is in the script.
func cmdFillIn(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := strings.ReplaceAll(ts.ReadFile(name), "${FOREVER}", ts.Getenv("FOREVER"))
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

// processes counts the processes of this machine whose command line holds a text.
func processes(ts *testscript.TestScript, text string) int {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	ts.Check(err)
	n := 0
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err == nil && bytes.Contains(line, []byte(text)) { // else it has ended meanwhile
			n++
		}
	}
	return n
}

// cmdNoProcess is: noprocess TEXT [soon]. No process has the text in its command line: now, or within the
// patience of this test.
func cmdNoProcess(ts *testscript.TestScript, _ bool, args []string) {
	over := time.After(patience)
	for processes(ts, args[0]) > 0 {
		if len(args) == 1 {
			ts.Fatalf("%d processes are alive with %q", processes(ts, args[0]), args[0])
		}
		select {
		case <-over:
			ts.Fatalf("%d processes stayed alive with %q", processes(ts, args[0]), args[0])
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// cmdProcess is: process TEXT N. At least N processes have the text in their command line, or soon will.
func cmdProcess(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	over := time.After(patience)
	for processes(ts, args[0]) < want {
		select {
		case <-over:
			ts.Fatalf("%d processes have %q, want %d", processes(ts, args[0]), args[0], want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// cmdPrivate is: private DIR [NAME...]. No directory or file in it, itself included, can be reached by
// another user. What comes and goes meanwhile is passed over, and so is what lies below the named entries.
func cmdPrivate(ts *testscript.TestScript, _ bool, args []string) {
	var public []string
	err := filepath.WalkDir(ts.MkAbs(args[0]), func(name string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains(args[1:], d.Name()) {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err == nil && info.Mode()&os.ModeSymlink == 0 && info.Mode().Perm()&0o077 != 0 {
			public = append(public, fmt.Sprintf("%s %s", info.Mode(), name))
		}
		return nil
	})
	ts.Check(err)
	if len(public) > 0 {
		ts.Fatalf("open to others:\n%s", strings.Join(public, "\n"))
	}
}

// cmdMode is: mode OCTAL FILE...
func cmdMode(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args[1:] {
		info, err := os.Lstat(ts.MkAbs(name))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", name, got, args[0])
		}
	}
}

// cmdWarm is: warm DIR. What go vet and go test need of the standard library is built into the cache, so
// that a sandbox finds it there.
func cmdWarm(ts *testscript.TestScript, _ bool, args []string) {
	for _, line := range [][]string{{"vet", "./..."}, {"test", "-run", "^$", "./..."}} {
		cmd := exec.Command("go", line...)
		cmd.Dir = ts.MkAbs(args[0])
		cmd.Env = append(environ(ts), "GOFLAGS=-buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("go %s: %v\n%s", line[0], err, out)
		}
	}
}
