package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
)

// generated are the pages that other tests make and hold.
var generated = []string{"api.md", "cli.md", "config.md", "errors.md"}

// TestDocs types what the README and the guides tell people to type, in order, and compares what they
// say that is printed with what is.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root(), "host", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, page := range append(pages, filepath.Join(root(), "README.md")) {
		if slices.Contains(generated, filepath.Base(page)) {
			continue
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		script, err := scriptOf(string(text))
		if err != nil {
			t.Fatalf("%s: %v", filepath.Base(page), err)
		}
		if script == nil {
			continue // nothing to type
		}
		name := strings.TrimSuffix(filepath.Base(page), ".md") + ".txtar"
		if err := os.WriteFile(filepath.Join(dir, name), txtar.Format(script), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, params(t, dir, nil))
}

// reader turns a page into a script. A fenced block "hcl drawspan.hcl" is a file; a fenced block
// "console" is commands behind "$ " with what they print; a comment "<!-- e2e" holds lines of a script
// that a reader does not need.
type reader struct {
	script bytes.Buffer
	files  []txtar.File
	typed  int
}

var fence = regexp.MustCompile("^```([a-z]+)(?: (\\S+))?$")

func scriptOf(text string) (*txtar.Archive, error) {
	r := &reader{}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		m := fence.FindStringSubmatch(lines[i])
		end := "```"
		switch {
		case lines[i] == "<!-- e2e":
			end = "-->"
		case m == nil:
			continue
		}
		length := slices.Index(lines[i+1:], end)
		if length < 0 {
			return nil, fmt.Errorf("line %d: the block has no end", i+1)
		}
		block := lines[i+1 : i+1+length]
		fmt.Fprintf(&r.script, "# line %d\n", i+1)
		switch {
		case m == nil:
			r.script.WriteString(strings.Join(block, "\n") + "\n")
		case m[1] == "console":
			r.console(block)
		case m[2] != "":
			r.file(m[2], block)
		}
		i += 1 + length
	}
	if r.typed == 0 {
		return nil, nil
	}
	return &txtar.Archive{Comment: r.script.Bytes(), Files: r.files}, nil
}

func (r *reader) put(text string) string {
	name := ".doc/" + strconv.Itoa(len(r.files))
	r.files = append(r.files, txtar.File{Name: name, Data: []byte(text)})
	return name
}

func (r *reader) file(name string, block []string) {
	stored := r.put(strings.Join(block, "\n") + "\n")
	fmt.Fprintf(&r.script, "exec mkdir -p %s\ncp %s %s\n", filepath.Dir(name), stored, name)
}

// console splits a block into commands with what they print. "$ echo $?" behind a command is its exit
// code; without it the code is 0.
func (r *reader) console(block []string) {
	var commands [][]string
	for _, line := range block {
		if strings.HasPrefix(line, "$ ") {
			commands = append(commands, nil)
		}
		if len(commands) > 0 {
			commands[len(commands)-1] = append(commands[len(commands)-1], line)
		}
	}
	for i := 0; i < len(commands); i++ {
		code := "0"
		stored := r.put(strings.Join(commands[i], "\n") + "\n")
		if i+1 < len(commands) && commands[i+1][0] == "$ echo $?" {
			code = commands[i+1][1]
			i++
		}
		fmt.Fprintf(&r.script, "typed %s %s\n", code, stored)
		r.typed++
	}
}

// cmdTyped is: typed CODE FILE. The file holds a command as a person types it and what it prints.
func cmdTyped(ts *testscript.TestScript, _ bool, args []string) {
	line, want, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	line = strings.TrimPrefix(line, "$ ")
	ts.Logf("$ %s", line)
	name, value, assigns := strings.Cut(line, "=$(")
	switch {
	case line == "drawspan serve":
		stageOf(ts).start(ts, nil)
		return
	case strings.HasPrefix(line, "cd "):
		ts.Check(ts.Chdir(strings.Replace(strings.TrimPrefix(line, "cd "), "~", ts.Getenv("HOME"), 1)))
		return
	case assigns && regexp.MustCompile(`^[a-z]+$`).MatchString(name):
		cmdLet(ts, false, []string{name, "sh", "-c", strings.TrimSuffix(value, ")")})
		return
	case line == "scripts/install":
		install(ts)
	default:
		cmdExits(ts, false, []string{args[0], "sh", "-c", strings.ReplaceAll(line, " scripts/", " "+ts.Getenv("SOURCE")+"/scripts/")})
	}
	if err := printed(plain(ts, ts.ReadFile("stdout")), plain(ts, want)); err != nil {
		ts.Fatalf("%s: %v", line, err)
	}
}

// install runs the real thing. In the unprivileged half of a run that root began there are no modules to
// build from, and the programs that are built already are put in the same places.
func install(ts *testscript.TestScript) {
	if os.Getenv(builtHere) == "" {
		cmdExits(ts, false, []string{"0", filepath.Join(root(), "scripts", "install")})
		return
	}
	to := filepath.Join(ts.Getenv("HOME"), ".local")
	ts.Check(os.MkdirAll(to, 0o755))
	ts.Check(os.CopyFS(to, os.DirFS(ts.Getenv("PREFIX"))))
	cmdExits(ts, false, []string{"0", "echo", filepath.Join(to, "bin", "drawspan")})
}

// varying is what is different on every machine and in every run, and what stands for it.
var varying = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\b(run|step|att|apr|val|gate|inst)_[0-9A-HJKMNP-TV-Z]{10,26}`), "${1}_ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`sha256:[0-9a-f]{8,64}`), "DIGEST"},
	{regexp.MustCompile(`\b[0-9a-f]{10}\b|\b[0-9a-f]{40}\b`), "COMMIT"},
	{regexp.MustCompile(`(pid namespace), after \d+(\.\d+)?m?s`), "$1"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|m\d\ds|s)\b`), "SPAN"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (B|KiB|MiB)\b`), "SIZE"},
	{regexp.MustCompile(`\b\d+ events\b`), "N events"},
	{regexp.MustCompile(`[A-Za-z0-9+/]{43}=`), "ROOT"},
	{regexp.MustCompile(`\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}`), "+KEY"},
	{regexp.MustCompile(` +`), " "},
}

// plain is a text without what varies.
func plain(ts *testscript.TestScript, text string) []string {
	// Where the programs are for this test is where scripts/install puts them for a reader.
	text = strings.NewReplacer(ts.Getenv("HOME"), "~", ts.Getenv("PREFIX"), "~/.local").Replace(text)
	for _, v := range varying {
		text = v.what.ReplaceAllString(text, v.as)
	}
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" })
}

// printed compares line by line. A line "..." stands for any number of lines; no line at all for
// anything.
func printed(got, want []string) error {
	if len(want) == 0 {
		return nil
	}
	for len(want) > 0 {
		at := 0
		if want[0] == "..." {
			if want = want[1:]; len(want) == 0 {
				return nil
			}
			at = max(0, slices.Index(got, want[0]))
		}
		if at >= len(got) || got[at] != want[0] {
			return fmt.Errorf("want the line\n  %s\nfirst or after any, where ... stands, of\n  %s", want[0], strings.Join(got, "\n  "))
		}
		got, want = got[at+1:], want[1:]
	}
	if len(got) > 0 {
		return fmt.Errorf("more is printed:\n  %s", strings.Join(got, "\n  "))
	}
	return nil
}

// cmdFixture is: fixture NAME. It makes the files of testdata/fixture/NAME.txtar, and a repository of every
// directory in src.
func cmdFixture(ts *testscript.TestScript, _ bool, args []string) {
	a, err := txtar.ParseFile(filepath.Join(root(), "host", "e2e", "testdata", "fixture", args[0]+".txtar"))
	ts.Check(err)
	for _, f := range a.Files {
		name := ts.MkAbs(f.Name)
		ts.Check(os.MkdirAll(filepath.Dir(name), 0o755))
		ts.Check(os.WriteFile(name, f.Data, 0o644))
	}
	entries, err := os.ReadDir(ts.MkAbs("src"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	ts.Check(err)
	for _, e := range entries {
		cmdGitrepo(ts, false, []string{filepath.Join("src", e.Name())})
	}
}
