package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Every row is input that would cost a naive reader its stack, memory or time.
func TestHostileInputIsRefusedBeforeItIsParsed(t *testing.T) {
	deep := func(open, mid, end string, n int) string {
		return strings.Repeat(open, n) + mid + strings.Repeat(end, n)
	}
	for name, row := range map[string]struct{ file, text, want string }{
		"empty":                     {"drawspan.hcl", "", "version_unsupported 1:1"},
		"not UTF-8":                 {"drawspan.hcl", "version = 1\n# \xff\n", "encoding 2:3"},
		"NUL":                       {"drawspan.hcl", "version = 1\nä = \"\x00\"\n", "encoding 2:6"},
		"UTF-16":                    {"drawspan.hcl", "\xff\xfev\x00", "encoding 1:1"},
		"a byte order mark":         {"drawspan.hcl", "\xef\xbb\xbfversion = 1\n", "encoding 1:1"},
		"too large":                 {"drawspan.hcl", strings.Repeat("#", maxFile+1), "too_large 0:0"},
		"nested lists":              {"drawspan.hcl", "a = " + deep("[", "", "]", 20_000), "too_large 1:69"},
		"nested objects":            {"drawspan.hcl", "a = " + deep("{a=", "1", "}", 20_000), "too_large 1:197"},
		"nested parentheses":        {"drawspan.hcl", "a = " + deep("(", "1", ")", 20_000), "too_large 1:69"},
		"nested calls":              {"drawspan.hcl", "a = " + deep("f(", "1", ")", 20_000), "too_large 1:134"},
		"nested blocks":             {"drawspan.hcl", deep("a {\n", "", "}\n", 20_000), "too_large 65:3"},
		"nested templates":          {"drawspan.hcl", "a = " + deep(`"${`, "1", `}"`, 100_000), "too_large 1:198"},
		"unclosed brackets":         {"drawspan.hcl", strings.Repeat("[", maxFile), "too_large 1:65"},
		"nested indexes":            {"drawspan.hcl", "a = " + strings.Repeat("b[", 100_000), "too_large 1:134"},
		"a chain of nots":           {"drawspan.hcl", "a = " + strings.Repeat("!", 100_000), "too_large 1:5005"},
		"a chain of minuses":        {"drawspan.hcl", "a = " + strings.Repeat("-", 100_000), "too_large 1:5005"},
		"a chain of questions":      {"drawspan.hcl", "a = " + strings.Repeat("b?c:", 20_000), "too_large 1:20006"},
		"a chain of sums":           {"drawspan.hcl", "a = 1" + strings.Repeat("+1", 20_000), "too_large 1:10006"},
		"a chain of splats":         {"drawspan.hcl", "a = b" + strings.Repeat(".*", 20_000), "too_large 1:10007"},
		"a huge exponent":           {"drawspan.hcl", "a = \"${1e999999999}\"", "too_large 1:8"},
		"a huge number":             {"drawspan.hcl", "a = " + strings.Repeat("9", 100_000), "too_large 1:5"},
		"nested JSON":               {"drawspan.hcl.json", deep("[", "", "]", 20_000), "too_large 1:66"},
		"unclosed JSON":             {"drawspan.hcl.json", `{"a":"` + "\n" + strings.Repeat("[", 100_000), "syntax 1:6"},
		"a template bomb in JSON":   {"drawspan.hcl.json", `{"a": "` + strings.Repeat("${[", 100) + `"}`, "too_large 1:309"},
		"a huge exponent in JSON":   {"drawspan.hcl.json", `{"version": 1e999999999}`, "too_large 1:24"},
		"JSON that is not":          {"drawspan.hcl.json", `nonsense`, "syntax 1:1"},
		"JSON of the wrong kind":    {"drawspan.hcl.json", `{"version": 1, "sandbox": [1]}`, "invalid_label 1:27"},
		"an escaped NUL in a value": {"drawspan.hcl", minimal + "locals {\n a = \"\\u0000\"\n}\nplugin \"executor-x\" {\n dir = local.a\n}", "invalid_value 19:8"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write(row.file, row.text)
			src := w.source()
			src.Paths = []string{row.file}
			cfg, diags := Load(src)
			if cfg != nil || len(diags) == 0 || brief(diags)[0] != row.want {
				t.Errorf("got %q, want %q first", brief(diags), row.want)
			}
		})
	}
}

func TestExpressionsCannotMultiply(t *testing.T) {
	w := newWorld(t)
	doubling := func(line string) string {
		var b strings.Builder
		b.WriteString("version = 1\nlocals {\n  l0 = \"0123456789abcdef\"\n")
		for i := 1; i < 60; i++ {
			b.WriteString(strings.NewReplacer("NEW", fmt.Sprint("l", i), "OLD", fmt.Sprint("local.l", i-1)).Replace(line))
		}
		return b.String() + "}\n"
	}
	for name, text := range map[string]string{
		"strings":    doubling("  NEW = \"${OLD}${OLD}\"\n"),
		"lists":      doubling("  NEW = [OLD, OLD]\n"),
		"joins":      doubling("  NEW = join(OLD, split(\"\", OLD))\n"),
		"references": "version = 1\nlocals {\n  a = \"x\"\n  b = [" + strings.Repeat("local.a, ", 1000) + "]\n}\n",
		"locals":     "version = 1\nlocals {\n" + manyLocals(3000) + "}\n",
		"blocks":     "version = 1\n" + strings.Repeat("daemon {}\n", 5000),
	} {
		_, diags := w.load(text)
		if got := brief(diags); len(got) != 1 || !strings.HasPrefix(got[0], codeTooLarge) && !strings.HasPrefix(got[0], codeExpression) {
			t.Errorf("%s: got %q\n%s", name, got, rendered(diags))
		}
	}
}

func manyLocals(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  v%d = 1\n", i)
	}
	return b.String()
}

func TestTheNumberOfProblemsIsBounded(t *testing.T) {
	w := newWorld(t)
	_, diags := w.load(minimal + "locals {\n" + strings.ReplaceAll(manyLocals(900), "= 1", "= var.x") + "}\n")
	if last := diags[len(diags)-1]; len(diags) != maxProblems+1 || last.Code != codeTooMany || !strings.Contains(last.Summary, "700 more") {
		t.Errorf("got %d problems, the last one %+v", len(diags), last)
	}
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	w := newWorld(t)
	if err := syscall.Mkfifo(filepath.Join(w.dir, "pipe.hcl"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.mkdir("empty")
	w.write("notes.txt", minimal)
	w.mkdir("crowd")
	for i := range maxFiles + 1 {
		w.write(fmt.Sprintf("crowd/%d.hcl", i), "")
	}
	for path, want := range map[string]string{
		"pipe.hcl": "unreadable_file 0:0", "none.hcl": "unreadable_file 0:0", "notes.txt": "unreadable_file 0:0",
		"empty": "no_files -", "crowd": "too_large -", "none.hcl\x00": "unreadable_file 0:0",
	} {
		src := w.source()
		src.Paths = []string{path}
		if _, diags := Load(src); !slices.Equal(brief(diags), []string{want}) {
			t.Errorf("%s: got %q, want %q", path, brief(diags), want)
		}
	}
	if _, diags := Load(Source{}); !slices.Equal(brief(diags), []string{"no_files -"}) {
		t.Errorf("nothing to load: got %q", brief(diags))
	}
}

func TestAFileThatMayNotBeReadSaysSo(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	w := newWorld(t)
	w.write("drawspan.hcl", minimal)
	if err := os.Chmod(filepath.Join(w.dir, "drawspan.hcl"), 0); err != nil {
		t.Fatal(err)
	}
	if _, diags := Load(w.source()); !slices.Equal(brief(diags), []string{"unreadable_file 0:0"}) {
		t.Errorf("got %q", brief(diags))
	}
}

// thousand is a configuration of about a thousand lines.
func thousand(w *world) string {
	var b strings.Builder
	b.WriteString(minimal)
	for i := range 40 {
		w.mkdir(fmt.Sprintf("home/src/w%d", i))
		fmt.Fprintf(&b, "workspace \"w%d\" {\n  root = \"~/src/w%d\"\n  base = \"main\"\n  executors = [\"go\"]\n", i, i)
		for g := range 4 {
			fmt.Fprintf(&b, "  gate \"g%d\" {\n    validator = \"command\"\n    when = diff.lines > %d\n    config {\n      run = [\"go\"]\n    }\n  }\n", g, g)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func TestAThousandLinesLoadInAMoment(t *testing.T) {
	w := newWorld(t)
	text := thousand(w)
	start := time.Now()
	cfg := w.good(text)
	t.Logf("%d lines, %d workspaces: %v", strings.Count(text, "\n"), len(cfg.Workspaces), time.Since(start))
}

func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src/api"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "drawspan.hcl"), []byte(minimal), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if cfg, diags := Load(Source{Paths: []string{"drawspan.hcl"}, Home: dir, Dir: dir}); cfg == nil {
			b.Fatal(rendered(diags))
		}
	}
}
