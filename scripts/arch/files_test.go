package arch

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxDirect is how many modules the root module may require directly.
const maxDirect = 15

// maxScript is the length that every script stays below.
const maxScript = 60

// files gives every file of the project that is not git's own, by its slash path, to see.
func files(t *testing.T, see func(name string, text []byte)) {
	t.Helper()
	root := house(t)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() || d.Name() == ".git" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		see(filepath.ToSlash(rel), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(house(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tracked lists the files that git tracks below a root, by their slash paths; none outside of a repository.
func tracked(t *testing.T, root string) []string {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(root, ".git")); err != nil {
		return nil
	}
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z")
	cmd.Dir, cmd.Env = root, []string{"PATH=" + os.Getenv("PATH")} // nothing of a git that runs this as its hook
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.FieldsFunc(string(out), func(c rune) bool { return c == 0 })
}

// TestNothingStrayIsTrackedAtTheTop refuses what a build or somebody's notes leave there, once it is committed
// or about to be.
func TestNothingStrayIsTrackedAtTheTop(t *testing.T) {
	names := tracked(t, house(t))
	if len(names) == 0 {
		t.Skip("this copy of the project is in no git repository, so nothing says what is tracked")
	}
	refuse(t, checkTop(names))
}

func TestGoMod(t *testing.T) {
	text := read(t, "go.mod")
	if !strings.Contains(text, "\ngo 1.26") {
		t.Error("go.mod does not ask for Go 1.26")
	}
	direct := 0
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(l, "\t") && strings.Contains(l, " v") && !strings.HasSuffix(l, "// indirect") {
			direct++
		}
		if from, to, ok := strings.Cut(l, "=>"); ok && strings.HasPrefix(strings.TrimSpace(to), ".") {
			t.Errorf("go.mod replaces %s by a directory: nobody else could build it", from)
		}
	}
	if direct > maxDirect {
		t.Errorf("%d direct dependencies, the bound is %d", direct, maxDirect)
	}
	// What is shipped is built without cgo, so no room may need it.
	tr := parsed(t)
	for _, dir := range tr.dirs() {
		refuse(t, unreachable(tr, dir, "C"))
	}
	if !strings.Contains(read(t, "scripts/build"), "CGO_ENABLED=0") {
		t.Error("scripts/build does not switch cgo off")
	}
}

func TestGeneratedCodeSaysSo(t *testing.T) {
	files(t, func(name string, text []byte) {
		if strings.HasSuffix(name, ".pb.go") && !generatedMark.Match(text) {
			t.Errorf("%s: no line that says it is generated", name)
		}
	})
	if !strings.Contains(read(t, ".gitattributes"), "*.pb.go linguist-generated") {
		t.Error(".gitattributes does not mark *.pb.go as generated")
	}
}

// TestNothingNamesTheMachine refuses the place where somebody works: in a file that others read it is
// at best noise and at worst a path that a test secretly needs.
func TestNothingNamesTheMachine(t *testing.T) {
	places := []string{`(^|[^a-z])/wo` + `rk/`, `/roo` + `t/(go|\.cache)/`, `(^|[^a-z])/Use` + `rs/[a-z]`}
	if root := house(t); strings.Count(root, "/") > 2 {
		places = append(places, regexp.QuoteMeta(root))
	}
	// A host name that could be a word is left alone.
	if host, err := os.Hostname(); err == nil && len(host) > 7 && strings.ContainsAny(host, "-0123456789") {
		places = append(places, `\b`+regexp.QuoteMeta(host)+`\b`)
	}
	place := regexp.MustCompile(`(?m)` + strings.Join(places, "|"))
	files(t, func(name string, text []byte) {
		if at := place.FindIndex(text); at != nil && !strings.Contains(string(text[:min(len(text), 512)]), "\x00") {
			line := 1 + strings.Count(string(text[:at[0]]), "\n")
			t.Errorf("%s:%d: names a place on somebody's machine: %q", name, line, text[at[0]:at[1]])
		}
	})
}

func TestS50_S70_ASecurityContactAndADisclosurePathExist(t *testing.T) {
	text := strings.ToLower(read(t, ".github/SECURITY.md"))
	for what, word := range map[string]string{
		"how to report":                     "## how to report",
		"a private way":                     "/security/advisories/new",
		"when an answer comes":              "within 48 hours",
		"that finders are credited":         "credit",
		"when a finder may publish":         "publish",
		"what is not audited yet":           "## what is not audited yet",
		"where the proofs of promises are":  "scripts/promises",
		"which versions are looked after":   "## which versions",
		"that good faith is not prosecuted": "good faith",
	} {
		if !strings.Contains(text, word) {
			t.Errorf(".github/SECURITY.md does not say %s (%q)", what, word)
		}
	}
	if !strings.Contains(read(t, ".github/CONTRIBUTING.md"), "SECURITY.md") {
		t.Error(".github/CONTRIBUTING.md does not send finders of holes to SECURITY.md")
	}
}

func TestTheLicenceIsWhole(t *testing.T) {
	text := read(t, "LICENSE")
	for _, part := range []string{"Apache License", "Version 2.0, January 2004", "9. Accepting Warranty", "END OF TERMS AND CONDITIONS"} {
		if !strings.Contains(text, part) {
			t.Errorf("LICENSE lacks %q", part)
		}
	}
}

func TestDecisionsAreOnePageWithContextChoiceAndPrice(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(house(t), "host/decisions/[0-9]*.md"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	slices.Sort(names)
	for i, name := range names {
		base := filepath.Base(name)
		if want := fmt.Sprintf("%04d-", i+1); !strings.HasPrefix(base, want) {
			t.Errorf("%s: want the number %s", base, want)
		}
		text := read(t, "host/decisions/"+base)
		for _, part := range []string{"\n## Context\n", "\n## Choice\n", "\n## Price\n"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no part %q", base, strings.TrimSpace(part))
			}
		}
		if n := strings.Count(text, "\n"); n > 70 {
			t.Errorf("%s has %d lines: a decision is one page", base, n)
		}
	}
}

// A plugin tells how its program is installed in the version that it was tried with: a newer one is another program.
func TestAgentsAreToldToBeInstalledAsTheyWereTried(t *testing.T) {
	install := regexp.MustCompile(`"npm install -g ([^" ]+)"`)
	tried := map[string]bool{}
	root := os.DirFS(house(t))
	pinned, err := fs.Glob(root, "scripts/agents.d/*/package.json")
	if err != nil || len(pinned) == 0 {
		t.Fatalf("no versions: %v", err)
	}
	for _, path := range pinned {
		var want struct{ Dependencies map[string]string }
		if err := json.Unmarshal([]byte(read(t, path)), &want); err != nil || len(want.Dependencies) != 1 {
			t.Fatalf("%s: %v, %v", path, want.Dependencies, err)
		}
		for name, version := range want.Dependencies {
			tried[name+"@"+version] = false
		}
	}
	for _, glob := range []string{"plugins/*/main.go", "plugins/*/profiles/*.json"} {
		files, err := fs.Glob(root, glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			for _, told := range install.FindAllStringSubmatch(read(t, path), -1) {
				if _, ok := tried[told[1]]; !ok {
					t.Errorf("%s tells to install %s; scripts/agents.d has another version", path, told[1])
				}
				tried[told[1]] = true
			}
		}
	}
	for program, told := range tried {
		if !told {
			t.Errorf("no plugin tells to install %s", program)
		}
	}
}

func TestScriptsAreShortAndExplainThemselves(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(house(t), "scripts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			text := read(t, "scripts/"+e.Name())
			if n := strings.Count(text, "\n"); n >= maxScript {
				t.Errorf("%d lines, the bound is below %d", n, maxScript)
			}
			if strings.HasSuffix(e.Name(), ".sh") {
				return
			}
			if !strings.HasPrefix(text, "#!/bin/sh\n# scripts/"+e.Name()) || !strings.Contains(text, "\nset -eu\n") {
				t.Error("does not begin as a script: #!/bin/sh, a comment that explains it, set -eu")
			}
			help(t, e.Name())
		})
	}
}

// help asks a script for its help from another directory and without a home.
func help(t *testing.T, name string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(house(t), "scripts", name), "-h")
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "scripts/"+name) {
		t.Errorf("-h: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "set -eu") {
		t.Errorf("-h prints the script instead of its help:\n%s", out)
	}
}
