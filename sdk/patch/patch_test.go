package patch_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk/patch"
)

const sample = `diff --git a/a.go b/a.go
index 1111111..2222222 100644
--- a/a.go
+++ b/a.go
@@ -1,3 +1,4 @@ func x() {
 one
-two
+2
+--- a/fake
 three
@@ -10 +11,0 @@
-+++ b/fake
diff --git a/new file b/new file
new file mode 100644
index 0000000..3333333
--- /dev/null
+++ b/new file	
@@ -0,0 +1 @@
+x
\ No newline at end of file
diff --git a/gone b/gone
deleted file mode 100644
index 3333333..0000000
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git "a/\303\244\"\t" "b/\303\244\"\t"
old mode 100644
new mode 100755
diff --git a/was b/is
similarity index 90%
rename from was
rename to is
diff --git a/p.png b/p.png
index 1111111..2222222 100644
Binary files a/p.png and b/p.png differ
`

func TestLinesAreToldByFileAndNumber(t *testing.T) {
	files, err := patch.Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := []patch.File{
		{
			Old: "a.go", New: "a.go",
			Added:   []patch.Line{{Number: 2, Text: "2"}, {Number: 3, Text: "--- a/fake"}},
			Deleted: []patch.Line{{Number: 2, Text: "two"}, {Number: 10, Text: "+++ b/fake"}},
		},
		{New: "new file", Added: []patch.Line{{Number: 1, Text: "x"}}},
		{Old: "gone", Deleted: []patch.Line{{Number: 1, Text: "x"}}},
		{Old: "ä\"\t", New: "ä\"\t"},
		{Old: "was", New: "is"},
		{Old: "p.png", New: "p.png", Binary: true},
	}
	if !reflect.DeepEqual(files, want) {
		t.Errorf("files = %+v\nwant %+v", files, want)
	}
}

// F9: a name or a line of the content cannot make the reader see another file, or none.
func TestF9_APatchThatIsNotUnderstoodIsRefused(t *testing.T) {
	const file = "diff --git a/x b/x\n--- a/x\n+++ b/x\n"
	for name, text := range map[string]string{
		"no file":               "hello\n",
		"a hunk first":          "@@ -1 +1 @@\n-a\n+b\n",
		"a cut hunk":            file + "@@ -1,2 +1,2 @@\n-a\n+b\n",
		"too many lines":        file + "@@ -1 +1 @@\n-a\n-b\n+b\n",
		"lines of no hunk":      file + "@@ -1 +1 @@\n-a\n+b\n+c\n",
		"a sign of its own":     file + "@@ -1 +1 @@\n*a\n+b\n",
		"no numbers":            file + "@@ -a +b @@\n",
		"negative numbers":      file + "@@ --1 +1 @@\n",
		"huge numbers":          file + "@@ -1 +99999999999999999999 @@\n",
		"line zero":             file + "@@ -1 +0,1 @@\n",
		"a broken quotation":    "diff --git a/x b/x\n--- \"a/\\z\"\n",
		"no prefix":             "diff --git a/x b/x\n--- x\n",
		"an unknown header":     "diff --git a/x b/x\nhello\n",
		"a hunk of no file":     "diff --git a/x b/yy\n@@ -1 +1 @@\n-a\n+b\n",
		"two names":             "diff --git a/x b/y\n",
		"no plus":               "diff --git a/x b/x\n--- a/x\n@@ -1 +1 @@\n",
		"a quote without end":   "diff --git a/x b/x\n--- a/x\n+++ \"b/x\n@@ -1 +1 @@\n-a\n+b\n",
		"a wrong escape":        "diff --git a/x b/x\n--- a/x\n+++ \"b/\\999\"\n",
		"an escape at the end":  "diff --git a/x b/x\n--- a/x\n+++ \"b/\\",
		"too few lines":         file + "@@ -1,2 +1,2 @@\n-a\n",
		"more old than said":    file + "@@ -1 +1,2 @@\n-a\n-b\n+c\n+d\n",
		"half a head":           file + "@@ -1 @@\n",
		"no name":               "diff --git a/ b/\nnew file mode 100644\n",
		"a tail":                file + "@@ -1 +1 @@\n-a\n+b\n\n",
		"quoted, then nothing":  "diff --git \"a/x\"\n",
		"quoted, then no blank": "diff --git \"a/x\"\"b/x\"\n",
		"words behind a binary": "diff --git a/x b/x\nGIT binary patch\nliteral 1\nabc\n\nhello\n",
		"a hunk of a binary":    "diff --git a/x b/x\nBinary files a/x and b/x differ\n@@ -1 +1 @@\n-a\n+b\n",
		"lines of the gone":     "diff --git a/x b/x\n--- a/x\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n",
	} {
		if files, err := patch.Parse([]byte(text)); !errors.Is(err, patch.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, files, err)
		}
	}
}

func TestWhatGitWritesIsRead(t *testing.T) {
	many := strings.Repeat("line\n", 50)
	out := gitDiff(t,
		map[string]string{"x": many, "gone": "", "binary": "\x00\x01", "mode": "x"},
		map[string]string{
			"x": "first\n" + many + "last", "sub/with space\tand ä": "one\n\ntwo\n", "b b/b b": "", "binary": strings.Repeat("\x00\x02", 500),
			"q\"uo\\te\n": "--- a\n+++ b\n", "\xff\xfe": "diff --git a/x b/x\n", "mode": "exec:x",
		})
	files, err := patch.Parse(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	added := map[string][]patch.Line{}
	for _, f := range files {
		added[f.Path()] = f.Added
		if f.Binary != (f.New == "binary") || (f.New == "") != (f.Old == "gone") {
			t.Errorf("%+v", f)
		}
	}
	want := map[string][]patch.Line{
		"gone": nil, "b b/b b": nil, "binary": nil, "mode": nil,
		"x":                     {{Number: 1, Text: "first"}, {Number: 52, Text: "last"}},
		"sub/with space\tand ä": {{Number: 1, Text: "one"}, {Number: 2}, {Number: 3, Text: "two"}},
		"q\"uo\\te\n":           {{Number: 1, Text: "--- a"}, {Number: 2, Text: "+++ b"}},
		"\xff\xfe":              {{Number: 1, Text: "diff --git a/x b/x"}},
	}
	if !reflect.DeepEqual(added, want) {
		t.Errorf("added = %+v\nwant %+v\nfrom %s", added, want, out)
	}
}

func TestLinesAreShownWithTheirNumbersInBothFiles(t *testing.T) {
	var got []patch.Shown
	const text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -2,3 +2,3 @@ f()\n one\n-two\n+2\n-three\n+3\n\\ No newline at end of file\n" +
		"@@ -9 +8,0 @@\n-nine\n@@ -10,0 +10,2 @@\n+a\n+b\n"
	if err := patch.Scan([]byte(text), func(patch.File) {}, func(l patch.Shown) { got = append(got, l) }); err != nil {
		t.Fatal(err)
	}
	want := []patch.Shown{
		{Hunk: 1, Sign: ' ', Text: "one", Old: 2, New: 2},
		{Hunk: 1, Sign: '-', Text: "two", Old: 3, New: 3},
		{Hunk: 1, Sign: '+', Text: "2", Old: 4, New: 3},
		{Hunk: 1, Sign: '-', Text: "three", Old: 4, New: 4},
		{Hunk: 1, Sign: '+', Text: "3", Old: 4, New: 4},
		{Hunk: 2, Sign: '-', Text: "nine", Old: 9, New: 8},
		{Hunk: 3, Sign: '+', Text: "a", Old: 10, New: 10},
		{Hunk: 3, Sign: '+', Text: "b", Old: 10, New: 11},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// gitDiff is what git says of a change from some files to others; content that begins with "exec:" is executable.
func gitDiff(t *testing.T, before, after map[string]string) []byte {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return out
	}
	git("init", "-q")
	tree := func(files map[string]string) string {
		for name, content := range files {
			script, executable := strings.CutPrefix(content, "exec:")
			path, mode := filepath.Join(dir, name), os.FileMode(0o644)
			if executable {
				mode = 0o755
			}
			err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(script), mode))
			if err != nil {
				t.Fatal(err)
			}
		}
		git("add", "-A", "-f")
		sum := strings.TrimSpace(string(git("write-tree")))
		for name := range files {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		return sum
	}
	return git("diff", "--no-renames", "--no-color", "--binary", tree(before), tree(after))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+x"))
	f.Add([]byte("diff --git \"a/\\303\\251.rs\" \"b/\\303\\251.rs\"\nnew file mode 100644\n--- /dev/null\n+++ \"b/\\303\\251.rs\"\n@@ -0,0 +1 @@\n+x\n"))
	f.Add([]byte("diff --git a/b b/b\nindex 1..2\nGIT binary patch\nliteral 1\nabc\n\nliteral 0\nabc\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := patch.Parse(data)
		if err != nil {
			if files != nil {
				t.Error("files beside an error")
			}
			return
		}
		for _, file := range files {
			if file.Path() == "" {
				t.Errorf("a file without a name: %+v", file)
			}
			for _, l := range append(file.Added, file.Deleted...) {
				if l.Number < 1 || strings.Contains(l.Text, "\n") {
					t.Errorf("line %+v", l)
				}
			}
			if len(file.Added) > 0 && file.New == "" || len(file.Deleted) > 0 && file.Old == "" {
				t.Errorf("lines of no file: %+v", file)
			}
		}
	})
}
