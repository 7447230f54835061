package main

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

const hello = "diff --git a/hello.txt b/hello.txt\nnew file mode 100644\n--- /dev/null\n+++ b/hello.txt\n@@ -0,0 +1 @@\n+hello\n"

func TestContract(t *testing.T) {
	sdktest.RunExecutor(t, sdktest.ExecutorSuite{
		Manifest: manifest, New: func() any { return executor{} }, Config: json.RawMessage(`{}`), Text: hello,
	})
}

// tree makes a tree of files; a name that ends in * is executable.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name, executable := strings.CutSuffix(name, "*")
		mode := fs.FileMode(0o644)
		if executable {
			mode = 0o755
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents is the tree as tree takes it, links as "-> target" and empty directories as "name/".
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			if entries, err := os.ReadDir(path); err == nil && len(entries) == 0 {
				all[name+"/"] = ""
			}
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			all[name] = "-> " + to
			return err
		default:
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode()&0o100 != 0 {
				name += "*"
			}
			text, err := os.ReadFile(path)
			all[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func perform(t *testing.T, dir, text string) (sdk.Result, *sdktest.Harness) {
	t.Helper()
	h := sdktest.Serve(t, manifest, executor{})
	h.Configure(t, json.RawMessage(`{}`))
	r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Instruction: text, Tree: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r, h
}

const numbers = "1\n2\n3\n4\n5\n6\n7\n8\n9\n"

func TestADiffIsAppliedAsItIs(t *testing.T) {
	cases := map[string]struct {
		text string
		want map[string]string
		ops  []string
	}{
		"a change, as git writes it": {
			"diff --git a/dir/n.txt b/dir/n.txt\nindex 0719398..b1b7161 100644\n--- a/dir/n.txt\n+++ b/dir/n.txt\n@@ -1,4 +1,4 @@ func\n 1\n-2\n+zwei\n 3\n 4\n",
			map[string]string{"dir/n.txt": strings.Replace(numbers, "2\n", "zwei\n", 1)}, []string{"modify dir/n.txt"},
		},
		"a change of an executable file, which it stays": {
			"--- a/run.sh\n+++ b/run.sh\n@@ -1 +1 @@\n-echo\n+echo hello\n",
			map[string]string{"run.sh*": "echo hello\n"}, []string{"modify run.sh"},
		},
		"files that are added, one of them executable": {
			hello + "diff --git a/new/deep/x b/new/deep/x\nnew file mode 100755\nindex 0000000..1\n--- /dev/null\n+++ b/new/deep/x\n@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file\n",
			map[string]string{"hello.txt": "hello\n", "new/deep/x*": "a\nb"}, []string{"add hello.txt", "add new/deep/x"},
		},
		"an empty file that is added, and one that is deleted": {
			"diff --git a/void b/void\nnew file mode 100644\nindex 0000000..e69de29\ndiff --git a/empty b/empty\ndeleted file mode 100644\nindex e69de29..0000000\n",
			map[string]string{"void": "", "empty": "gone"}, []string{"add void", "delete empty"},
		},
		"a deletion, with the directory that it leaves empty": {
			"diff --git a/only/one b/only/one\ndeleted file mode 100644\n--- a/only/one\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n",
			map[string]string{"only/one": "gone"}, []string{"delete only/one"},
		},
		"two hunks at other lines than they say": {
			"--- a/dir/n.txt\n+++ b/dir/n.txt\n@@ -2,3 +2,3 @@\n 1\n-2\n+zwei\n 3\n@@ -7,3 +7,2 @@\n 7\n-8\n 9\n",
			map[string]string{"dir/n.txt": "1\nzwei\n3\n4\n5\n6\n7\n9\n"}, []string{"modify dir/n.txt"},
		},
		"names with spaces and in quotes, a time behind": {
			"--- a/a b.txt\t2026-01-01 00:00:00\n+++ b/a b.txt\t2026-01-01 00:00:01\n@@ -1 +1 @@\n-x\n+y\n" +
				"--- /dev/null\n+++ \"b/gr\\303\\266\\303\\237e\\\".txt\"\n@@ -0,0 +1 @@\n+x\n",
			map[string]string{"a b.txt": "y\n", "größe\".txt": "x\n"}, []string{"modify a b.txt", "add größe\".txt"},
		},
		"lines of context that lost their space": {
			"--- a/gap\n+++ b/gap\n@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n", map[string]string{"gap": "a\n\nc\n"}, []string{"modify gap"},
		},
		"a mail": {
			"From 1 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] x\n\n---\n hello.txt | 1 +\n 1 file changed\n\n" + hello + "-- \n2.39.5\n\n",
			map[string]string{"hello.txt": "hello\n"}, []string{"add hello.txt"},
		},
		"a fence in prose": {
			"Please apply this, and nothing else:\n\n```diff\n" + hello + "```\n\nIt adds a greeting.\n\n```go\nfunc x() {}\n```\n",
			map[string]string{"hello.txt": "hello\n"}, []string{"add hello.txt"},
		},
		"a fence without a name": {
			"~~~~\n" + hello + "~~~~\n", map[string]string{"hello.txt": "hello\n"}, []string{"add hello.txt"},
		},
		"lines of the diff that look like fences and headers": {
			"--- /dev/null\n+++ b/README.md\n@@ -0,0 +1,4 @@\n+```diff\n+--- a/x\n+++ b/x\n+```\n",
			map[string]string{"README.md": "```diff\n--- a/x\n++ b/x\n```\n"}, []string{"add README.md"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := map[string]string{"dir/n.txt": numbers, "run.sh*": "echo\n", "empty": "", "only/one": "one\n", "a b.txt": "x\n", "gap": "a\n\nb\n"}
			dir := tree(t, before)
			r, h := perform(t, dir, c.text)
			maps.Copy(before, c.want)
			maps.DeleteFunc(before, func(_, text string) bool { return text == "gone" })
			if got := contents(t, dir); r.Failed || r.StopReason != "end_turn" || !maps.Equal(got, before) {
				t.Errorf("result = %+v\ntree = %q\nwant %q", r, got, before)
			}
			var ops []string
			for _, e := range h.Events.Of(sdk.EventFileChanged) {
				var f sdk.FileChanged
				if err := json.Unmarshal(e.Data, &f); err != nil || f.Basis != "reported" {
					t.Errorf("event %s: %v", e.Data, err)
				}
				ops = append(ops, f.Op+" "+f.Path)
			}
			if strings.Join(ops, ",") != strings.Join(c.ops, ",") {
				t.Errorf("events tell %q, want %q", ops, c.ops)
			}
		})
	}
}

func TestWhatIsNotADiffOfTextFilesIsRefusedWithTheReason(t *testing.T) {
	add := func(name string) string { return "--- /dev/null\n+++ " + name + "\n@@ -0,0 +1 @@\n+x\n" }
	for text, want := range map[string]string{
		"":                             "the text holds no diff",
		"Make it faster.":              "the text holds no diff",
		"```go\nx\n```\n":              "the text holds no diff",
		"see --- a/x\n+++ b/x\n":       "the text holds no diff",
		"```diff\n" + hello:            "has no end",
		"```diff\nnothing\n```\n":      "is not part of a diff",
		"```diff\n\n```\n":             "the diff changes nothing",
		hello + "\x00":                 "zero bytes",
		strings.Repeat("x", maxDiff+1): "a diff has at most",
		"```diff\n" + hello + "```\n```diff\n" + hello + "```\n": "2 fenced diffs; exactly one",
		hello + hello:                          `changes "hello.txt" twice`,
		hello + "And now to something else.\n": "line 7 of the diff: \"And now to something else.\" is not part of a diff",

		"diff --git a/x b/x\nold mode 100644\nnew mode 100755\n":                                   "a change of mode",
		"diff --git a/x b/y\nsimilarity index 90%\nrename from x\nrename to y\n":                   "a rename or a copy",
		"diff --git a/x b/y\ncopy from x\ncopy to y\n":                                             "a rename or a copy",
		"--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n":                                                  "are not one path",
		"diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc\n": `mode "120000"`,
		"diff --git a/x b/x\nnew file mode 160000\n":                                               `mode "160000"`,
		"diff --git a/x b/x\ndeleted file mode 120000\n":                                           `deleted file of mode "120000"`,
		"diff --git a/x b/x\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZ\n":               "a binary file",
		"diff --git a/x b/x\nBinary files a/x and b/x differ\n":                                    "a binary file",
		"diff --git a/x b/x\n":                                                                    "of which nothing is changed",
		"diff --git a/x b/x\n@@ -1 +1 @@\n-a\n+b\n":                                               "without the lines --- and +++",
		"diff --git a/x b/y z\nnew file mode 100644\n":                                            "cannot be told apart",
		"diff --git a/x b/y\nnew file mode 100644\n":                                              "does not name one path",
		"--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n":                                     "does not begin with b/",
		"diff --git a/x b/x\nnew file mode 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n":       "contradict each other",
		"diff --git a/x b/x\nnew file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n": "added and deleted at once",

		add("b/../x"):                   "not a path inside of the tree",
		add("b//etc/passwd"):            "not a path inside of the tree",
		add("/etc/passwd"):              "does not begin with b/",
		add("x"):                        "does not begin with b/",
		add("b/a/../../x"):              "not a path inside of the tree",
		add("b/./x"):                    "not a path inside of the tree",
		add("b/"):                       "not a path inside of the tree",
		add("b/.git/hooks/post-commit"): "git's own",
		add("b/sub/.GIT/config"):        "git's own",
		add(`"b/a\nb"`):                 "control characters",
		add(`"b/\377"`):                 "not UTF-8",
		add(`"b/x`):                     "cannot be read",
		add("b/" + strings.Repeat("x", maxPath+1)): "too long",

		"--- a/x\n":                                      "the text holds no diff",
		"diff --git a/x b/x\n--- a/x\n":                  "not followed by one with +++",
		"--- a/x\n+++ b/x\n":                             "no hunk follows",
		"--- a/x\n+++ b/x\n@@ nonsense @@\n":             "not the head of a hunk",
		"--- a/x\n+++ b/x\n@@ -0,0 +0,0 @@\n":            "not the head of a hunk",
		"--- a/x\n+++ b/x\n@@ -1,99999999999 +1 @@\n":    "not the head of a hunk",
		"--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n":    "ends in the middle",
		"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\nx\n": "its head promises 2 old and 2 new lines",
		"--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n a\n b\n":      "other numbers of lines",
		"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n+c\n":    "more lines than its head says",
		"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n c\n":    "more lines than its head says",
	} {
		before := map[string]string{"x": "a\nb\n"}
		dir := tree(t, before)
		r, h := perform(t, dir, text)
		if !r.Failed || r.Class != "policy" || r.Retryable || !strings.Contains(r.Message, want) {
			t.Errorf("%.200q: result = %+v, want %q", text, r, want)
		}
		if got := contents(t, dir); !maps.Equal(got, before) || len(h.Events.Of(sdk.EventFileChanged)) > 0 {
			t.Errorf("%.200q: tree = %q", text, got)
		}
	}
}

func TestADiffThatDoesNotFitChangesNothing(t *testing.T) {
	for text, want := range map[string]string{
		hello + "--- a/n.txt\n+++ b/n.txt\n@@ -1,3 +1,3 @@\n 1\n-2\n+b\n 3\n@@ -7,3 +7,3 @@\n 7\n-acht\n+h\n 9\n": `hunk 2 of 2 of "n.txt", @@ -7,3 +7,3 @@, does not fit`,
		hello + "--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n":                                                   `"none" is not in the tree`,
		"--- a/x/n.txt\n+++ b/x/n.txt\n@@ -1 +1 @@\n-1\n+b\n":                                                     `"x/n.txt" is not in the tree`,
		hello + "--- /dev/null\n+++ b/n.txt\n@@ -0,0 +1 @@\n+a\n":                                                 `"n.txt" is there already`,
		hello + "--- /dev/null\n+++ b/n.txt/x\n@@ -0,0 +1 @@\n+a\n":                                               `"n.txt" is a file`,
		hello + "--- /dev/null\n+++ b/out/x\n@@ -0,0 +1 @@\n+a\n":                                                 `"out" is a symbolic link`,
		hello + "--- /dev/null\n+++ b/in/x\n@@ -0,0 +1 @@\n+a\n":                                                  `"in" is a symbolic link`,
		hello + "--- a/link\n+++ b/link\n@@ -1 +1 @@\n-1\n+b\n":                                                   `"link" is no file but a symbolic link`,
		hello + "--- a/dir\n+++ b/dir\n@@ -1 +1 @@\n-1\n+b\n":                                                     `"dir" is no file but a directory`,
		hello + "--- /dev/null\n+++ b/dir\n@@ -0,0 +1 @@\n+b\n":                                                   `"dir" is there already`,
		hello + "--- a/n.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n":                                                 `hunk 1 of 1 of "n.txt"`,
		hello + "diff --git a/n.txt b/n.txt\ndeleted file mode 100644\n":                                          "git does not apply",
	} {
		dir := tree(t, map[string]string{"n.txt": numbers, "dir/y": "y\n"})
		for link, to := range map[string]string{"out": "/tmp", "in": "dir", "link": "n.txt"} {
			if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		before := contents(t, dir)
		r, h := perform(t, dir, text)
		if !r.Failed || r.Class != "policy" || !strings.Contains(r.Message, want) {
			t.Errorf("%q: result = %+v, want %q", text, r, want)
		}
		if got := contents(t, dir); !maps.Equal(got, before) || len(h.Events.Of(sdk.EventFileChanged)) > 0 {
			t.Errorf("%q: tree = %q, want %q", text, got, before)
		}
	}
}

func TestWhatCannotBeFinishedIsTakenBack(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root writes into read-only directories too")
	}
	dir := tree(t, map[string]string{"a.txt": "a\n", "gone": "g\n", "locked/b.txt": "b\n"})
	before := contents(t, dir)
	if err := os.Chmod(filepath.Join(dir, "locked"), 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(dir, "locked"), 0o755)
	r, _ := perform(t, dir, "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-a\n+A\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-g\n"+
		"--- /dev/null\n+++ b/fresh/deep/f\n@@ -0,0 +1 @@\n+f\n--- a/locked/b.txt\n+++ b/locked/b.txt\n@@ -1 +1 @@\n-b\n+B\n")
	if !r.Failed || r.Class != "policy" || r.Message != `"locked/b.txt" cannot be changed: permission denied` {
		t.Errorf("result = %+v", r)
	}
	if got := contents(t, dir); !maps.Equal(got, before) {
		t.Errorf("tree = %q, want %q", got, before)
	}
}

func TestNothingOfTheRepositoryReachesGit(t *testing.T) {
	dir := tree(t, map[string]string{
		"a.txt": "a\n", ".gitattributes": "* text eol=crlf\n*.txt filter=x\n",
		".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", ".git/refs/x": "",
		".git/config": "[core]\n\tfsmonitor = touch fsmonitor\n[filter \"x\"]\n\tclean = touch clean\n\tsmudge = touch smudge\n[apply]\n\twhitespace = error\n",
	})
	r, _ := perform(t, dir, "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1,2 @@\n a\n+trailing \n")
	got := contents(t, dir)
	if r.Failed || got["a.txt"] != "a\ntrailing \n" {
		t.Errorf("result = %+v, a.txt = %q", r, got["a.txt"])
	}
	for _, name := range []string{"fsmonitor", "clean", "smudge"} {
		if _, there := got[name]; there {
			t.Errorf("%s ran", name)
		}
	}
}

func TestACancelledAttemptLeavesTheTree(t *testing.T) {
	dir := tree(t, map[string]string{"a.txt": "a\n"})
	h := sdktest.Serve(t, manifest, executor{})
	h.Configure(t, json.RawMessage(`{}`))
	h.Events.On = func(e sdk.Event) {
		if e.Type == sdk.EventToolStarted {
			if err := h.Client.Cancel(t.Context(), "att_1", "test"); err != nil {
				t.Error(err)
			}
		}
	}
	r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Instruction: hello, Tree: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, there := contents(t, dir)["hello.txt"]
	if there != (r.StopReason == "end_turn") || !there && r.StopReason != "cancelled" {
		t.Errorf("result = %+v, hello.txt there: %t", r, there)
	}
}

// What was understood of a diff is what git is told: written anew, it is understood the same way.
func FuzzADiffIsUnderstoodOrRefused(f *testing.F) {
	for _, seed := range []string{
		hello, "```diff\n" + hello + "```\n", "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline at end of file\n",
		"diff --git a/x b/x\ndeleted file mode 100644\n", "--- a/x\n+++ \"b/\\303\"\n@@ -1 +1 @@\n-a\n+b\n", "~~~\n---\n~~~~", "@@ -1 +1 @@\n-- \n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		files, err := read(text)
		if err != nil {
			return
		}
		for _, one := range files {
			if !filepath.IsLocal(one.path) || strings.EqualFold(one.path, ".git") {
				t.Fatalf("path %q", one.path)
			}
		}
		again, err := read(render(files))
		if err != nil {
			t.Fatalf("%q, written anew as %q: %v", text, render(files), err)
		}
		if got, want := render(again), render(files); got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}
