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
		"no file":            "hello\n",
		"a hunk first":       "@@ -1 +1 @@\n-a\n+b\n",
		"a cut hunk":         file + "@@ -1,2 +1,2 @@\n-a\n+b\n",
		"too many lines":     file + "@@ -1 +1 @@\n-a\n-b\n+b\n",
		"lines of no hunk":   file + "@@ -1 +1 @@\n-a\n+b\n+c\n",
		"a sign of its own":  file + "@@ -1 +1 @@\n*a\n+b\n",
		"no numbers":         file + "@@ -a +b @@\n",
		"negative numbers":   file + "@@ --1 +1 @@\n",
		"huge numbers":       file + "@@ -1 +99999999999999999999 @@\n",
		"line zero":          file + "@@ -1 +0,1 @@\n",
		"a broken quotation": "diff --git a/x b/x\n--- \"a/\\z\"\n",
		"no prefix":          "diff --git a/x b/x\n--- x\n",
		"an unknown header":  "diff --git a/x b/x\nhello\n",
		"a hunk of no file":  "diff --git a/x b/yy\n@@ -1 +1 @@\n-a\n+b\n",
		"lines of the gone":  "diff --git a/x b/x\n--- a/x\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n",
	} {
		if files, err := patch.Parse([]byte(text)); !errors.Is(err, patch.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, files, err)
		}
	}
}

func TestWhatGitWritesIsRead(t *testing.T) {
	dir := t.TempDir()
	write := func(side, name, content string) {
		path := filepath.Join(dir, side, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	many := strings.Repeat("line\n", 50)
	write("a", "x", many)
	write("b", "x", "first\n"+many+"last")
	write("b", "sub/with space\tand ä", "one\n\ntwo\n")
	write("a", "gone", "")
	git := exec.Command("git", "diff", "--no-index", "--no-renames", "--no-color", "--no-prefix", "a", "b")
	git.Dir, git.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := git.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skipf("no git: %v", err)
	}
	files, err := patch.Parse(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	added := map[string][]patch.Line{}
	for _, f := range files {
		added[f.New] = f.Added
	}
	want := map[string][]patch.Line{
		"":                      nil,
		"x":                     {{Number: 1, Text: "first"}, {Number: 52, Text: "last"}},
		"sub/with space\tand ä": {{Number: 1, Text: "one"}, {Number: 2}, {Number: 3, Text: "two"}},
	}
	if !reflect.DeepEqual(added, want) {
		t.Errorf("added = %+v\nwant %+v\nfrom %s", added, want, out)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := patch.Parse(data)
		if err != nil {
			if files != nil {
				t.Error("files beside an error")
			}
			return
		}
		for _, file := range files {
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
