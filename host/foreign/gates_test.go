package foreign

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// modules are what is judged: small, middle and large, all under permissive licences.
func modules() []string {
	return []string{"github.com/google/uuid@v1.6.0", "github.com/spf13/cobra@v1.8.1", "golang.org/x/tools@v0.30.0"}
}

// gates are the workspace's. None of them has a look at the language.
const gates = `version = 1

sandbox "judge" {}

executor "none" {
  plugin  = "manual"
  sandbox = "judge"
}

workspace "foreign" {
  root      = %q
  base      = "main"
  executors = ["none"]

  gate "paths" {
    validator = "paths"
    sandbox   = "judge"
    config {
      forbid = [".github/**"]
    }
  }
  gate "diff" {
    validator = "diff"
    sandbox   = "judge"
  }
  gate "secrets" {
    validator = "secrets"
    sandbox   = "judge"
  }
  gate "deps" {
    validator = "deps"
    sandbox   = "judge"
    config {
      allow = ["go:golang.org/x/**"]
    }
  }
  gate "license" {
    validator = "license"
    sandbox   = "judge"
  }
}
`

// mit is the MIT licence.
const mit = `

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`

// change is one change to a repository. Seed makes it and answers with the file that is at fault.
type change struct {
	name string
	gate string // that must fail; "" for none
	rule string // of a finding that must be among them
	seed func(t *testing.T, r *repository) string
}

func changes(key string) []change {
	return []change{
		{"a clean change", "", "", func(t *testing.T, r *repository) string {
			r.write(t, "NOTES.md", "# Notes\n\nWhat one should know.\n")
			r.write(t, "notes_test.go", "package "+r.pkg+"_test\n\nimport \"testing\"\n\nfunc TestNotes(t *testing.T) { t.Log(\"noted\") }\n")
			return ""
		}},
		{"a leaked key", "secrets", "github-pat", func(t *testing.T, r *repository) string {
			r.write(t, "client.go", "package "+r.pkg+"\n\nconst token = \""+key+"\"\n")
			return "client.go"
		}},
		{"a deleted test", "diff", "deleted-test", func(t *testing.T, r *repository) string {
			name := r.find(t, func(name, text string) bool {
				return strings.HasSuffix(name, "_test.go") && strings.Contains(text, "\nfunc Test")
			})
			if err := os.Remove(filepath.Join(r.root, name)); err != nil {
				t.Fatal(err)
			}
			return name
		}},
		{"a hidden character", "diff", "hidden-character", func(t *testing.T, r *repository) string {
			name := r.find(t, func(name, text string) bool {
				return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
			})
			r.write(t, name, r.read(t, name)+"\n// this is a comment\u202e tnemmoc a ton si siht\n")
			return name
		}},
		{"a widened licence", "license", "license/widened", func(t *testing.T, r *repository) string {
			name := r.find(t, func(name, _ string) bool { return strings.HasPrefix(name, "LICENSE") })
			r.write(t, name, r.read(t, name)+mit)
			return name
		}},
		{"a fork of a dependency", "deps", "deps/fork", func(t *testing.T, r *repository) string {
			r.write(t, "go.mod", r.read(t, "go.mod")+"\nreplace golang.org/x/sys => example.org/fork/sys v0.1.0\n")
			return "go.mod"
		}},
	}
}

func TestForeignRepositoriesAreJudgedByTheGateMeantForIt(t *testing.T) {
	prefix := os.Getenv("DRAWSPAN_PREFIX")
	if os.Getenv("DRAWSPAN_FOREIGN") == "" || prefix == "" {
		t.Skip("scripts/foreign runs this: it needs built programs and the Go module proxy")
	}
	key := leaked()
	for _, module := range modules() {
		t.Run(module, func(t *testing.T) {
			r := fetch(t, prefix, module)
			for _, c := range changes(key) {
				t.Run(c.name, func(t *testing.T) { r.judge(t, c, key) })
			}
		})
	}
}

// leaked is a key of the form of a GitHub token, and one that nobody was ever given.
func leaked() string { return "ghp_" + (rand.Text() + rand.Text())[:36] }

// repository is a foreign module, committed.
type repository struct {
	root, pkg, home, prefix string
	files                   []string
}

// fetch takes a module from the proxy and commits it.
func fetch(t *testing.T, prefix, module string) *repository {
	t.Helper()
	r := &repository{root: filepath.Join(t.TempDir(), "repository"), home: t.TempDir(), prefix: prefix}
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir() // in no module
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &got); jsonErr != nil || err != nil || got.Dir == "" {
		t.Fatalf("go mod download %s: %v %s", module, err, got.Error)
	}
	if err := os.CopyFS(r.root, os.DirFS(got.Dir)); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(r.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(r.root, path)
		r.files = append(r.files, name)
		return errors.Join(err, os.Chmod(path, 0o644)) // the module cache is read-only
	})
	if err != nil {
		t.Fatal(err)
	}
	r.pkg = "main"
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "as it is"}} {
		r.git(t, args...)
	}
	if err := os.WriteFile(filepath.Join(r.home, "drawspan.hcl"), fmt.Appendf(nil, gates, r.root), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := r.drawspan("plugin", "lock").CombinedOutput(); err != nil {
		t.Fatalf("plugin lock: %v\n%s", err, out)
	}
	t.Logf("%s %s: %d files", module, got.Sum, len(r.files))
	return r
}

func (r *repository) git(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.root
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.home, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", args, err, out)
	}
}

func (r *repository) drawspan(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(r.prefix, "bin", "drawspan"), append([]string{"--config", filepath.Join(r.home, "drawspan.hcl")}, args...)...)
	cmd.Dir = r.root
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.home, "TMPDIR=" + os.TempDir()}
	return cmd
}

func (r *repository) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (r *repository) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.root, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// find is the first file that will do.
func (r *repository) find(t *testing.T, will func(name, text string) bool) string {
	t.Helper()
	for _, name := range r.files {
		if !strings.Contains(name, "testdata") && will(name, r.read(t, name)) {
			return name
		}
	}
	t.Fatal("no such file is in the module")
	return ""
}

// verdict is what a run of the gates says.
type verdict struct {
	Verdict string
	Gates   []struct {
		Name, Verdict, Result, Reason string
		Findings                      []struct{ Rule, Path, Message string }
	}
}

// exitFailed is the exit code of a gate that failed.
const exitFailed = 10

// judge commits a change onto a branch of its own and has the gates judge it.
func (r *repository) judge(t *testing.T, c change, key string) {
	r.git(t, "checkout", "-q", "-B", "change", "main")
	at := c.seed(t, r)
	r.git(t, "add", "-A")
	r.git(t, "commit", "-q", "-m", c.name)
	cmd := r.drawspan("gate", "run", "--base", "main", "--head", "change", "--workspace", "foreign", "--json")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	code, want, wanted := cmd.ProcessState.ExitCode(), 0, "pass"
	if c.gate != "" {
		want, wanted = exitFailed, "fail"
	}
	var v verdict
	if err := json.Unmarshal(out, &v); err != nil || code != want || v.Verdict != wanted {
		t.Fatalf("exit code %d, verdict %q, want %d and %q: %v\n%s\n%s", code, v.Verdict, want, wanted, err, out, stderr.String())
	}
	if strings.Contains(string(out)+stderr.String(), key) {
		t.Error("the leaked key is told")
	}
	for _, g := range v.Gates {
		if failed := g.Verdict == "fail"; failed != (g.Name == c.gate) {
			t.Errorf("gate %s: %s %s: %s %+v", g.Name, g.Verdict, g.Result, g.Reason, g.Findings)
		}
		if g.Name != c.gate {
			continue
		}
		told := slices.ContainsFunc(g.Findings, func(f struct{ Rule, Path, Message string }) bool {
			return f.Path == at && strings.HasSuffix(f.Rule, c.rule)
		})
		if !told || g.Result != "fail" {
			t.Errorf("gate %s says %s: %+v, want %s at %s", g.Name, g.Result, g.Findings, c.rule, at)
		}
	}
}
