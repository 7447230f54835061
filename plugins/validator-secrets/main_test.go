package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

// The keys are made up here, piece by piece: a whole one in this file would be found in it.
const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func token(prefix, alphabet string, n int) string {
	r := rand.New(rand.NewPCG(uint64(n), uint64(len(prefix))))
	var b strings.Builder
	b.WriteString(prefix)
	for range n {
		b.WriteByte(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

func githubKey() string { return token("ghp"+"_", letters, 36) }
func awsKey() string    { return token("AK"+"IA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16) }
func plainKey() string  { return token("", "abcdef0123456789", 32) }

func pemKey() string {
	var b strings.Builder
	b.WriteString("-----BEGIN RSA " + "PRIVATE KEY-----\n")
	for i := range 8 {
		b.WriteString(token("", letters+"+/", 64-i%2) + "\n")
	}
	return b.String() + "-----END RSA " + "PRIVATE KEY-----"
}

// change is what a test changes: the lines that it adds from a number on.
type change struct {
	path  string
	at    int
	lines []string
}

// fed is the check of changes to files that are there before, all shown by the patch.
func fed(changes ...change) sdk.Check {
	var c sdk.Check
	var b strings.Builder
	for _, x := range changes {
		fmt.Fprintf(&b, "diff --git a/%s b/%s\nindex 1111111..2222222 100644\n--- a/%s\n+++ b/%s\n", x.path, x.path, x.path, x.path)
		fmt.Fprintf(&b, "@@ -%d,1 +%d,%d @@\n before\n", x.at-1, x.at-1, len(x.lines)+1)
		for _, l := range x.lines {
			b.WriteString("+" + l + "\n")
		}
		c.Changes = append(c.Changes, sdk.Change{Path: x.path, Op: "modify", OldMode: "100644", NewMode: "100644", Added: len(x.lines)})
	}
	c.Patch = []byte(b.String())
	return c
}

func judged(t testing.TB, config string, c sdk.Check) sdk.Verdict {
	t.Helper()
	return sdktest.Judge(t, manifest, &secrets{}, config, c)
}

// places are the findings as "rule path:line-end".
func places(v sdk.Verdict) []string {
	var all []string
	for _, f := range v.Findings {
		all = append(all, fmt.Sprintf("%s %s:%d-%d", strings.TrimPrefix(f.Rule, "secrets/"), f.Path, f.Line, f.EndLine))
	}
	return all
}

// silent fails the test where a verdict shows a secret, or half of one.
func silent(t testing.TB, v sdk.Verdict, secrets ...string) {
	t.Helper()
	said, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		for _, line := range strings.Split(s, "\n") {
			if half := line[:len(line)/2]; len(half) > 4 && strings.Contains(string(said), half) && !strings.HasPrefix(line, "-----") {
				t.Errorf("the verdict shows %q:\n%s", half, said)
			}
		}
	}
}

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return &secrets{} }, Want: sdk.Fail,
		Config:  json.RawMessage(`{"allow_paths":["ok/**"]}`),
		Files:   map[string]string{"a.txt": "one\ntoken " + githubKey() + "\n", "ok/b": githubKey()},
		Changes: []sdk.Change{{Path: "a.txt", Op: "add", NewMode: "100644", Added: 2}, {Path: "ok/b", Op: "add", NewMode: "100644", Added: 1}, {Path: "gone", Op: "delete"}},
	})
}

func TestASecretInAnAddedLineIsFoundWhereItIs(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  []string
		keys  []string
	}{
		"nothing":               {[]string{"hello", ""}, nil, nil},
		"a token":               {[]string{"", "x = 1", "t = " + githubKey()}, []string{"github-pat f.go:12-12"}, []string{githubKey()}},
		"the first line":        {[]string{awsKey()}, []string{"aws-access-token f.go:10-10"}, []string{awsKey()}},
		"two kinds":             {[]string{githubKey(), "", awsKey()}, []string{"github-pat f.go:10-10", "aws-access-token f.go:12-12"}, []string{githubKey(), awsKey()}},
		"one twice":             {[]string{githubKey(), githubKey()}, []string{"github-pat f.go:10-10", "github-pat f.go:11-11"}, []string{githubKey()}},
		"many lines":            {append([]string{"key:"}, strings.Split(pemKey(), "\n")...), []string{"private-key f.go:11-20"}, []string{pemKey()}},
		"a word and a number":   {[]string{`api_key = "` + plainKey() + `"`}, []string{"generic-api-key f.go:10-10"}, []string{plainKey()}},
		"the word a line ahead": {[]string{"api_key =", `  "` + plainKey() + `"`}, []string{"generic-api-key f.go:11-11"}, []string{plainKey()}},
		"carriage returns":      {[]string{"a\r", "t " + githubKey() + "\r"}, []string{"github-pat f.go:11-11"}, []string{githubKey()}},
		"in base64":             {[]string{"", "blob: " + base64.StdEncoding.EncodeToString([]byte("user token "+githubKey()+" ok"))}, []string{"github-pat f.go:11-11"}, []string{githubKey(), base64.StdEncoding.EncodeToString([]byte("user token " + githubKey() + " ok"))}},
	} {
		t.Run(name, func(t *testing.T) {
			v := judged(t, `{}`, fed(change{"f.go", 10, c.lines}))
			want := sdk.Pass
			if c.want != nil {
				want = sdk.Fail
			}
			if v.Outcome != want || !slices.Equal(places(v), c.want) {
				t.Errorf("%s with %q, want %q; %s", v.Outcome, places(v), c.want, v.Message)
			}
			silent(t, v, c.keys...)
			for _, f := range v.Findings {
				if f.Severity != "error" || f.Message == "" || f.Help == "" || !fingerprintForm.MatchString(f.Fingerprint) {
					t.Errorf("finding = %+v", f)
				}
			}
		})
	}
}

func TestWhatWasThereBeforeIsNotJudged(t *testing.T) {
	c := fed(change{"f", 5, []string{"harmless"}})
	c.Patch = []byte(strings.ReplaceAll(string(c.Patch), " before", " "+githubKey()))
	c.Changes = append(c.Changes, sdk.Change{Path: "old", Op: "delete", Deleted: 1}, sdk.Change{Path: "run.sh", Op: "mode", NewMode: "100755"})
	c.Patch = append(c.Patch, []byte("diff --git a/old b/old\ndeleted file mode 100644\n--- a/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-"+githubKey()+"\n")...)
	if v := judged(t, `{}`, c); v.Outcome != sdk.Pass || len(v.Findings) > 0 || v.Metrics["files"] != 1 || v.Metrics["lines"] != 1 {
		t.Errorf("verdict = %+v", v)
	}
}

func TestAllowedIsWhatTheOperatorNames(t *testing.T) {
	at := func(line int, key string) sdk.Check { return fed(change{"f", line, []string{"x", key}}) }
	print := judged(t, `{}`, at(10, githubKey())).Findings[0].Fingerprint
	config := fmt.Sprintf(`{"allow":[%q]}`, print)
	if v := judged(t, config, at(300, githubKey())); v.Outcome != sdk.Pass || v.Metrics["allowed"] != 1 || !strings.Contains(v.Message, "1 known") {
		t.Errorf("the same secret elsewhere in the file: %+v", v)
	}
	for name, c := range map[string]sdk.Check{
		"another secret": at(10, token("ghp"+"_", letters[3:], 36)),
		"another rule":   at(10, awsKey()),
		"another file":   fed(change{"g", 10, []string{githubKey()}}),
	} {
		if v := judged(t, config, c); v.Outcome != sdk.Fail {
			t.Errorf("%s: %+v", name, v)
		}
	}
	keyed := judged(t, `{"key":"k1"}`, at(10, githubKey())).Findings[0].Fingerprint
	if again := judged(t, `{"key":"k1"}`, at(11, githubKey())).Findings[0].Fingerprint; keyed == print || keyed != again {
		t.Errorf("fingerprints %s, with a key %s and %s", print, keyed, again)
	}
	if v := judged(t, `{"allow_paths":["docs/**"]}`, fed(change{"docs/a/b", 2, []string{githubKey()}}, change{"doc", 2, []string{githubKey()}})); !slices.Equal(places(v), []string{"github-pat doc:2-2"}) {
		t.Errorf("verdict = %+v", v)
	}
}

// F21: what the repository says is not obeyed.
func TestF21_TheChangeCannotAllowItself(t *testing.T) {
	c := fed(
		change{".gitleaks.toml", 2, []string{"[allowlist]", "paths = ['''.*''']", "regexes = ['''.*''']"}},
		change{".gitleaksignore", 2, []string{"f:github-pat:2", githubKey()}},
		change{"f", 2, []string{githubKey() + " # gitleaks:allow"}},
	)
	c.Tree = t.TempDir()
	for name, text := range map[string]string{".gitleaks.toml": "[allowlist]\npaths = ['''.*''']\n", ".gitleaksignore": "f:github-pat:2\n"} {
		if err := os.WriteFile(filepath.Join(c.Tree, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(c.Tree)
	t.Setenv("GITLEAKS_CONFIG", filepath.Join(c.Tree, ".gitleaks.toml"))
	t.Setenv("GITLEAKS_CONFIG_TOML", "[allowlist]\npaths = ['''.*''']\n")
	if v := judged(t, `{}`, c); !slices.Equal(places(v), []string{"github-pat .gitleaksignore:3-3", "github-pat f:2-2"}) {
		t.Errorf("verdict = %q", places(v))
	}
	if v := judged(t, `{"inline_allow":true}`, c); !slices.Equal(places(v), []string{"github-pat .gitleaksignore:3-3"}) {
		t.Errorf("where the operator says so: %q", places(v))
	}
}

func TestTokensAreFoundWhereGitleaksDoesNotLook(t *testing.T) {
	c := fed(
		change{"package-lock.json", 2, []string{`"resolved": "https://x:` + githubKey() + `@npm.example.org/y"`}},
		change{"go.sum", 2, []string{"example.org/api-key v1.0.0 h1:" + token("", letters, 43) + "="}},
		change{"vendor/github.com/a/b.go", 2, []string{awsKey(), `api_key = "` + plainKey() + `"`}},
		change{"logo.svg", 2, []string{pemKey()}},
	)
	c.Changes[3].Added += strings.Count(pemKey(), "\n")
	c.Patch = []byte(strings.Replace(string(c.Patch), "@@ -1,1 +1,2 @@\n before\n+"+"-----BEGIN", "@@ -1,1 +1,11 @@\n before\n+-----BEGIN", 1))
	c.Patch = []byte(strings.ReplaceAll(string(c.Patch), pemKey(), strings.ReplaceAll(pemKey(), "\n", "\n+")))
	v := judged(t, `{}`, c)
	want := []string{"github-pat package-lock.json:2-2", "aws-access-token vendor/github.com/a/b.go:2-2", "private-key logo.svg:2-11"}
	if !slices.Equal(places(v), want) {
		t.Errorf("got %q, want %q (%s)", places(v), want, v.Message)
	}
}

// unshown is a check whose files are in the tree and not in the patch.
func unshown(t *testing.T, files map[string]string) sdk.Check {
	t.Helper()
	c := sdk.Check{Tree: sdktest.Tree(t, files)}
	for name, content := range files {
		c.Changes = append(c.Changes, sdk.Change{Path: name, Op: "modify", NewMode: "100644", Binary: true, Size: int64(len(content))})
	}
	return c
}

func TestWhatThePatchDoesNotShowIsReadFromTheTree(t *testing.T) {
	utf := func(bom bool, high bool) string {
		var b strings.Builder
		units := utf16.Encode([]rune("one\r\nkey " + githubKey() + "\r\n"))
		if bom {
			units = append([]uint16{0xfeff}, units...)
		}
		for _, u := range units {
			pair := []byte{byte(u), byte(u >> 8)}
			if high {
				slices.Reverse(pair)
			}
			b.Write(pair)
		}
		return b.String()
	}
	for name, content := range map[string]string{
		"a zero byte": "\x00\n" + githubKey() + "\n", "no newline at the end": "\x00\n" + githubKey(),
		"UTF-16": utf(true, false), "UTF-16, big": utf(true, true), "UTF-16 without a mark": utf(false, false), "UTF-16, big, without": utf(false, true),
	} {
		v := judged(t, `{}`, unshown(t, map[string]string{"f": content}))
		if !slices.Equal(places(v), []string{"github-pat f:2-2"}) {
			t.Errorf("%s: %q %s", name, places(v), v.Message)
		}
		silent(t, v, githubKey())
	}
}

func TestOfAPatchThatWasCutTheRestIsRead(t *testing.T) {
	c := fed(change{"a", 2, []string{"fine"}}, change{"b", 2, []string{"x", "y", githubKey()}}, change{"c", 2, []string{"z"}})
	whole := c.Patch
	c.Tree = t.TempDir()
	for name, content := range map[string]string{"a": awsKey(), "b": "before\nx\ny\n" + githubKey() + "\n", "c": "z\n"} {
		if err := os.WriteFile(filepath.Join(c.Tree, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	from := strings.Index(string(whole), "diff --git a/b")
	for n := from; n < len(whole)-len("diff --git a/c b/c"); n++ {
		c.Patch, c.PatchCut = whole[:n], true
		if v := judged(t, `{}`, c); !slices.Equal(places(v), []string{"github-pat b:4-4"}) {
			t.Fatalf("cut at %d: %s %q %s", n, v.Outcome, places(v), v.Message)
		}
	}
	c.Patch, c.Tree = whole[:from], ""
	if v := judged(t, `{}`, c); v.Outcome != sdk.Error || !strings.Contains(v.Message, `"b"`) {
		t.Errorf("without a tree: %+v", v)
	}
}

// F10: what cannot be looked at is an error, never a pass.
func TestF10_WhatCannotBeLookedAtIsNoPass(t *testing.T) {
	large := unshown(t, map[string]string{"big": strings.Repeat("\x00", 101)})
	missing := unshown(t, nil)
	missing.Changes = []sdk.Change{{Path: "not/there", Op: "add", NewMode: "100644", Binary: true}}
	outside := unshown(t, nil)
	outside.Changes = []sdk.Change{{Path: "../../etc/passwd", Op: "modify", NewMode: "100644", Binary: true}}
	linked := unshown(t, nil)
	linked.Changes = []sdk.Change{{Path: "l", Op: "modify", NewMode: "100644", Added: 1}}
	if err := os.Symlink("/etc/passwd", filepath.Join(linked.Tree, "l")); err != nil {
		t.Fatal(err)
	}
	broken := fed(change{"f", 2, []string{"x"}})
	broken.Patch = broken.Patch[:len(broken.Patch)-3]
	for name, c := range map[string]sdk.Check{"a large file": large, "a missing file": missing, "a path outside": outside, "a link": linked, "a broken patch": broken} {
		if v := judged(t, `{"max_file_bytes":100}`, c); v.Outcome != sdk.Error || v.Message == "" {
			t.Errorf("%s: %+v", name, v)
		} else {
			t.Log(v.Message)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("time is up"))
	stopped := fed(change{"f", 2, []string{"x"}})
	if v, err := (&secrets{}).Check(ctx, &stopped); err == nil {
		t.Errorf("stopped: %+v", v)
	}
}

func TestLinksAndNamesAreTextsToo(t *testing.T) {
	c := sdk.Check{Changes: []sdk.Change{
		{Path: "l", Op: "add", NewMode: "120000", Added: 1, Link: "../" + githubKey()},
		{Path: "keys/" + awsKey() + ".txt", Op: "add", NewMode: "100644"},
		{Path: "sub", Op: "add", NewMode: "160000", Added: 1},
		{Path: "id.p12", Op: "add", NewMode: "100644", Added: 1},
	}, Tree: t.TempDir()}
	if err := os.WriteFile(filepath.Join(c.Tree, "id.p12"), []byte("0\x82"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := judged(t, `{}`, c)
	if want := []string{"github-pat l:1-1", "aws-access-token keys/***.txt:0-0", "pkcs12-file id.p12:0-0"}; !slices.Equal(places(v), want) {
		t.Errorf("got %q, want %q", places(v), want)
	}
	silent(t, v, githubKey(), awsKey())
}

func TestRulesCanBeAddedChangedAndLeftOut(t *testing.T) {
	ours := "[[rules]]\nid = \"house-key\"\ndescription = \"A key of the house.\"\nregex = '''hk_[0-9]{8}'''\nkeywords = [\"hk_\"]\n"
	useDefault := "[extend]\nuseDefault = true\n"
	c := fed(change{"f", 2, []string{"hk_12345678", githubKey(), awsKey()}})
	for name, x := range map[string]struct {
		set  settings
		want []string
	}{
		"one left out":       {settings{Disable: []string{"aws-access-token"}}, []string{"github-pat f:3-3"}},
		"only ours":          {settings{Rules: ours}, []string{"house-key f:2-2"}},
		"ours beside theirs": {settings{Rules: useDefault + ours}, []string{"house-key f:2-2", "github-pat f:3-3", "aws-access-token f:4-4"}},
		"without one":        {settings{Rules: useDefault + "disabledRules = [\"github-pat\"]\n" + ours, Disable: []string{"house-key"}}, []string{"aws-access-token f:4-4"}},
		"one of theirs changed": {settings{Rules: useDefault + "[[rules]]\nid = \"github-pat\"\n[[rules.allowlists]]\nregexes = ['''^ghp_''']\n"},
			[]string{"aws-access-token f:4-4"}},
		"a path of theirs": {settings{Rules: useDefault + "[[allowlists]]\npaths = ['''^f$''']\n"}, nil},
	} {
		config, err := json.Marshal(map[string]any{"disable": append([]string{}, x.set.Disable...), "rules": x.set.Rules})
		if err != nil {
			t.Fatal(err)
		}
		if v := judged(t, string(config), c); !slices.Equal(places(v), x.want) {
			t.Errorf("%s: %q, want %q", name, places(v), x.want)
		}
	}
	if d, err := builtin(); err != nil || len(d.full.Config.Rules) < 200 || len(d.specific.Config.Rules) < 100 || len(d.specific.Config.Rules) > 150 {
		t.Errorf("gitleaks' own rules: %d and %d, %v", len(d.full.Config.Rules), len(d.specific.Config.Rules), err)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"allow":["f:github-pat:2"]}`:                                      "allow",
		`{"allow":["v1:ABC"]}`:                                              "allow",
		`{"allow_paths":["["]}`:                                             "allow_paths",
		`{"allow_paths":["/etc/**"]}`:                                       "allow_paths",
		`{"disable":["no-such-rule"]}`:                                      "disable",
		`{"rules":"["}`:                                                     "rules",
		`{"rules":"x = 1"}`:                                                 "rules",
		`{"rules":"title = 'nothing'"}`:                                     "rules",
		`{"rules":"[[rules]]\nid='a'\nregex='''['''"}`:                      "rules",
		`{"rules":"[[rules]]\nid='a'"}`:                                     "rules",
		`{"rules":"[[rule]]\nid='a'\nregex='a'"}`:                           "rules",
		`{"rules":"[extend]\npath='/etc/passwd'"}`:                          "rules",
		`{"rules":"[extend]\nuseDefault=true\n[[allowlists]]\nregexes=[]"}`: "rules",
		`{"max_file_bytes":0}`:                                              "max_file_bytes",
		`{"max_file_bytes":1.5}`:                                            "max_file_bytes",
		`{"max_file_bytes":1e12}`:                                           "max_file_bytes",
		`{"inline_allow":"yes"}`:                                            "inline_allow",
		`{"key":"` + strings.Repeat("k", 2000) + `"}`:                       "key",
	} {
		sdktest.RefusedFor(t, manifest, &secrets{}, config, attribute)
	}
}
