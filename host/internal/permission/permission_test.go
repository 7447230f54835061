package permission

import (
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

const tree = "/state/trees/att_1"

func rule(name, decision string, fill func(*work.PermissionRule)) work.PermissionRule {
	r := work.PermissionRule{Name: name, Decision: decision, Declared: "drawspan.hcl:7"}
	if fill != nil {
		fill(&r)
	}
	return r
}

func commands(decision string, patterns ...string) work.PermissionRule {
	return rule(decision+"-commands", decision, func(r *work.PermissionRule) { r.Commands = patterns })
}

func globs(decision string, patterns ...string) work.PermissionRule {
	return rule(decision+"-paths", decision, func(r *work.PermissionRule) { r.Paths = patterns })
}

func decide(p sdk.Permission, rules ...work.PermissionRule) string {
	return Decide(rules, tree, p).Decision
}

func TestTheFirstRuleThatAppliesDecides(t *testing.T) {
	rules := []work.PermissionRule{
		rule("reads", Allow, func(r *work.PermissionRule) { r.Kinds = []string{"read", "search"} }),
		rule("edits", Allow, func(r *work.PermissionRule) { r.Kinds, r.Paths = []string{"edit"}, []string{"src/**"} }),
		rule("no-fetch", Deny, func(r *work.PermissionRule) { r.Kinds = []string{"fetch"} }),
	}
	for _, row := range []struct {
		p        sdk.Permission
		decision string
		rule     string
	}{
		{sdk.Permission{Tool: "read", Paths: []string{"/etc/passwd"}}, Allow, "reads"},
		{sdk.Permission{Tool: "edit", Paths: []string{"src/a.go"}}, Allow, "edits"},
		{sdk.Permission{Tool: "edit", Paths: []string{"docs/a.md"}}, Ask, ""},
		{sdk.Permission{Tool: "edit"}, Ask, ""},
		{sdk.Permission{Tool: "fetch"}, Deny, "no-fetch"},
		{sdk.Permission{Tool: "execute", Command: "ls"}, Ask, ""},
		{sdk.Permission{Tool: "Read"}, Ask, ""},
	} {
		got := Decide(rules, tree, row.p)
		if got.Decision != row.decision || got.Rule != row.rule {
			t.Errorf("%+v: %+v, want %s by %q", row.p, got, row.decision, row.rule)
		}
		if (got.Rule == "") != (got.Declared == "") {
			t.Errorf("%+v: decided at %q", row.p, got.Declared)
		}
	}
	if got := Decide(nil, tree, sdk.Permission{Tool: "read"}); got.Decision != Ask {
		t.Errorf("without rules: %+v", got)
	}
}

func TestAToolOfAnUnknownKindIsOther(t *testing.T) {
	for tool, want := range map[string]string{"read": "read", "other": "other", "quantum": Other, "": Other, "READ": Other} {
		if got := Kind(tool); got != want {
			t.Errorf("%q: %q, want %q", tool, got, want)
		}
	}
	others := rule("others", Deny, func(r *work.PermissionRule) { r.Kinds = []string{Other} })
	if got := decide(sdk.Permission{Tool: "quantum"}, others); got != Deny {
		t.Errorf("got %s", got)
	}
}

func TestLeaveOverPathsNeedsEveryPathInsideTheTree(t *testing.T) {
	allow := globs(Allow, "src/**", "*.md")
	for want, rows := range map[string][][]string{
		Allow: {{"src/a.go"}, {"src/a.go", "README.md"}, {tree + "/src/a.go"}, {"./src//a.go"}, {tree + "//src/a.go"}},
		Ask: {
			nil, {""}, {"src/a.go", "main.go"}, {"src/../../x"}, {"src/../src/a.go"}, {"../att_1/src/a.go"}, {"/src/a.go"}, {tree + "x/src/a.go"},
			{tree + "/../att_2/src/a.go"}, {"~/src/a.go"}, {"file://src/a.go"}, {"src/a\n.go"}, {"src/\xff"}, {`src\..\..\x`}, {"/etc/passwd"}, {tree}, {"."},
			{"src/a.go", "/etc/passwd"}, {"SRC/a.go"},
		},
	} {
		for _, paths := range rows {
			if got := decide(sdk.Permission{Tool: "edit", Paths: paths}, allow); got != want {
				t.Errorf("%q: %s, want %s", paths, got, want)
			}
		}
	}
	everything := globs(Allow, "**")
	for _, p := range []string{"../x", "/etc/passwd", "a/../../x", "~root/x", "~"} {
		if got := decide(sdk.Permission{Tool: "read", Paths: []string{p}}, everything); got != Ask {
			t.Errorf("%q under **: %s", p, got)
		}
	}
}

func TestARefusalOverPathsNeedsOne(t *testing.T) {
	rules := []work.PermissionRule{globs(Deny, "secrets/**", "**/.env"), rule("rest", Allow, nil)}
	for want, rows := range map[string][]sdk.Permission{
		Deny: {
			{Tool: "read", Paths: []string{"a.go", "secrets/key"}}, {Tool: "read", Paths: []string{tree + "/secrets/key"}},
			{Tool: "read", Paths: []string{"x/../secrets/key"}}, {Tool: "edit", Paths: []string{"/home/u/.env"}}, {Tool: "edit", Paths: []string{"../other/.env"}},
		},
		Ask: { // whether it touches them cannot be told
			{Tool: "read"}, {Tool: "read", Paths: []string{"~/x"}}, {Tool: "read", Paths: []string{"x/../y"}},
			{Tool: "search", Paths: []string{"."}}, {Tool: "delete", Paths: []string{"lib"}}, {Tool: "quantum"},
		},
		Allow: {{Tool: "read", Paths: []string{"src/a.go"}}, {Tool: "execute", Command: "ls"}, {Tool: "think"}},
	} {
		for _, p := range rows {
			if got := decide(p, rules...); got != want {
				t.Errorf("%+v: %s, want %s", p, got, want)
			}
		}
	}
}

func TestLeaveOverCommandsIsGivenWordByWord(t *testing.T) {
	allow := commands(Allow, "go test *", "go vet ./...", "npm run lint", "git diff *", "cat src/*.go", "sh -c 'make test'", "echo *")
	for want, rows := range map[string][]string{
		Allow: {
			"go test ./...", "go test", "  go   test -run 'A|B' ./x", "go vet ./...", "npm run lint", "cat src/a.go", "go test && git diff --stat",
			"go test ./... | cat src/a.go", "go test; git diff", "sh -c 'make test'", `go test "a b"`, `echo 'rm -rf /'`, `echo "it's; fine"`,
		},
		Ask: {
			"", "go", "go vet", "go vet ./... -x", "go tests", "Go test", "npm run lint:fix", "cat src/a.go src/b.go", "cat src/*.go",
			// operators, substitutions, redirections, newlines, assignments (F54)
			"go test & rm -rf /", "go test && rm -rf /", "go test; rm x", "go test || rm x", "go test | sh", "go test > /etc/x", "go test 2>&1", "go test < x",
			"go test $(rm x)", "go test `rm x`", `go test "$(rm x)"`, "go test $HOME", "go test ${x}", "go test \nrm x", "go test\rrm x", "FOO=1 go test",
			"LD_PRELOAD=/tmp/x.so go test ./...", "PATH=/tmp:$PATH go test", "NODE_OPTIONS=--require=/tmp/x npm run lint", "go test *", "go test ~/x", "go test {a,b}",
			"(go test)", "{ go test; }", "! go test", "go test #x", "go test \\\n", "go test 'x", `go test "x`, "go test \\", "&& go test", "go test ;; go test",
			"go test <(rm x)", "go test << EOF", "go test |& cat src/a.go", "echo a &> b", "go test \x00",
			// a program of that name elsewhere, and what runs others
			"/tmp/go test", "./go test", "/usr/bin/../../tmp/go test", "sh -c 'make test; rm x'", "bash -c 'go test'", "env go test", "sudo go test", "xargs go test",
		},
	} {
		for _, c := range rows {
			if got := decide(sdk.Permission{Tool: "execute", Command: c}, allow); got != want {
				t.Errorf("%q: %s, want %s", c, got, want)
			}
		}
	}
	for _, c := range []string{"sh -c 'rm -rf /'", "bash -lc x", "env FOO=1 x", "sudo x", "xargs rm", "eval x", "find . -exec rm {} +", "/bin/sh -c x", "time x", "command rm"} {
		open := commands(Allow, "sh *", "bash *", "env *", "sudo *", "xargs *", "eval *", "find *", "/bin/sh *", "time *", "command *")
		if got := decide(sdk.Permission{Tool: "execute", Command: c}, open); got != Ask {
			t.Errorf("%q, which runs another command, was decided by a wildcard: %s", c, got)
		}
	}
}

func TestARefusalOverCommandsNeedsOnePart(t *testing.T) {
	rules := []work.PermissionRule{commands(Deny, "rm *", "git push *", "curl"), rule("rest", Allow, nil)}
	for want, rows := range map[string][]string{
		Deny: {
			"rm x", "rm", "/bin/rm -rf /", "cd x && rm -rf /", "ls; rm x", "ls | rm x", "ls & rm x", "ls\nrm x", "(rm x)", "FOO=1 rm x", "A=1 B=2 /bin/rm x",
			"sudo rm x", "env A=1 rm x", "xargs rm", "sh -c 'rm -rf /'", `bash -lc "cd x; rm y"`, `sudo sh -c "rm x"`, "if true; then rm x; fi", "{ rm x; }", "! rm x",
			"r''m x", `"rm" x`, `\rm x`, "echo $(rm x)", "echo `rm x`", `echo "$(rm x)"`, "git push --force", "git push 2>&1", "rm >out x", ">out rm x", "2>/dev/null rm x",
			"git push &> log", "time rm x", "find . -exec rm {} ;", "curl", "for f in *; do rm $f; done", "rm x 'open quote",
		},
		Ask: { // it may be one of them
			"$CMD x", "ls $(x)", "r? x", "{rm,x}", "sh script.sh", "eval x", "ls 'open", "sh << EOF", strings.Repeat("x ", maxCommand), "", "diff <(a) <(b)",
		},
		Allow: {"ls", "rmdir x", "git pull", "curl https://x", "go test ./... | tail -5", "echo 'rm x'", `git commit -m "rm unused; git push later"`, "ls *.go", "make > out"},
	} {
		for _, c := range rows {
			if got := decide(sdk.Permission{Tool: "execute", Command: c}, rules...); got != want {
				t.Errorf("%q: %s, want %s", c, got, want)
			}
		}
	}
	if got := Decide(rules, tree, sdk.Permission{Tool: "execute", Command: "$X"}); !got.Unsure || got.Rule != "deny-commands" {
		t.Errorf("got %+v", got)
	}
}

func TestPathsAndCommandsOfOneRule(t *testing.T) {
	both := func(decision string) work.PermissionRule {
		return rule("both", decision, func(r *work.PermissionRule) { r.Paths, r.Commands = []string{"src/**"}, []string{"gofmt *"} })
	}
	half := sdk.Permission{Tool: "execute", Command: "gofmt -w src/a.go"}
	whole := sdk.Permission{Tool: "execute", Command: "gofmt -w src/a.go", Paths: []string{"src/a.go"}}
	if a, b := decide(half, both(Allow)), decide(whole, both(Allow)); a != Ask || b != Allow {
		t.Errorf("leave needs both: %s, %s", a, b)
	}
	if a, b := decide(half, both(Deny)), decide(whole, both(Deny)); a != Deny || b != Deny {
		t.Errorf("a refusal needs one: %s, %s", a, b)
	}
}

func TestPatternsThatCannotWorkAreRefused(t *testing.T) {
	for _, text := range []string{"", "  ", "a; b", "a && b", "a | b", "a > b", "$X y", "a `b`", "a 'b", "A=1 b", "a\nb", "(a)", strings.Repeat("a", 2000)} {
		if CheckPattern(text) == nil {
			t.Errorf("%q was taken", text)
		}
	}
	for _, text := range []string{"go test *", "sh -c 'a; b'", "npm run *:fix", "*", `git commit -m "*"`, "go test [ab]"} {
		if err := CheckPattern(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What is allowed by a pattern holds nothing that a shell would act upon, whatever was sent.
func FuzzDecide(f *testing.F) {
	for _, c := range []string{"go test ./...", "go test; rm x", "sh -c 'x'", "a 'b' \"c\"", "x > y", "go test $(x)", "{a,b}", "\\\n"} {
		f.Add(c, "src/a.go", "go test *", "src/**")
	}
	f.Fuzz(func(t *testing.T, command, p, pattern, glob string) {
		r := sdk.Permission{Tool: "execute", Command: command, Paths: []string{p}}
		if got := decide(r, commands(Allow, pattern)); got == Allow {
			outside := unquoted(strings.ReplaceAll(command, `\`, ""))
			if strings.ContainsAny(outside, "$`<>()\n\r") && !strings.Contains(command, `\`) {
				t.Fatalf("%q was allowed by %q", command, pattern)
			}
			if decide(r, commands(Deny, pattern)) != Deny {
				t.Fatalf("%q is allowed by %q and not denied by it", command, pattern)
			}
		}
		if decide(r, globs(Allow, glob)) == Allow {
			if strings.Contains("/"+p+"/", "/../") || strings.HasPrefix(p, "/") && p != tree && !strings.HasPrefix(p, tree+"/") && !strings.HasPrefix(p, "//") && !strings.Contains(p, "/.") && !strings.Contains(p, "//") {
				t.Fatalf("%q was allowed by %q", p, glob)
			}
		}
		if !covers(command, command) && !strings.Contains(command, "*") {
			t.Fatalf("%q does not cover itself", command)
		}
	})
}
