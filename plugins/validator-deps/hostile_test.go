package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

func TestF10_WhatCannotBeReadNeverPasses(t *testing.T) {
	for name, content := range map[string]string{
		"package.json":              strings.Repeat(`{"a":`, 50_000),
		"deep/package-lock.json":    strings.Repeat("[", 1<<20),
		"many/package.json":         "[" + strings.Repeat("1,", maxLeaves+1) + "1]",
		"pyproject.toml":            "a = " + strings.Repeat("[", 1<<20),
		"tables/Cargo.toml":         "[" + strings.Repeat("a.", 200) + "a]\nb = 1",
		"inline/Cargo.toml":         "a = " + strings.Repeat("{a = ", 200) + "1" + strings.Repeat("}", 200),
		"twice/Cargo.toml":          "[dependencies]\na = \"1\"\n[dependencies]\nb = \"1\"",
		"bytes/Cargo.lock":          "\xff\xfe\x00",
		"go.mod":                    "module \"\nrequire",
		"go.sum":                    "a b",
		"requirements.txt":          "\x00",
		"more/package.json":         "{}}",
		"two/package-lock.json":     `{"packages": {"node_modules/a": {"version": 1`,
		"huge/requirements.txt":     strings.Repeat("a==1\n", maxFile/5+1),
		"conflict/package.json":     "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x",
		"conflict/requirements.txt": "<<<<<<< HEAD\na==1",
	} {
		t.Run(name, func(t *testing.T) {
			v := judged(t, `{"refuse":[]}`, nil, files{name: content})
			if v.Outcome != sdk.Fail || len(v.Findings) != 1 || v.Findings[0].Rule != "deps/unreadable" {
				t.Errorf("verdict = %.400s", fmt.Sprintf("%+v", v))
			}
		})
	}
}

func TestF9_NothingOutsideOfTheTreeIsRead(t *testing.T) {
	outside := sdktest.Tree(t, one("package.json", `{}`))
	for name, target := range map[string]string{"package.json": filepath.Join(outside, "package.json"), "go.mod": "real", "go.sum": "/dev/zero"} {
		tree := sdktest.Tree(t, files{"real": "module m\n"})
		if err := os.Symlink(target, filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
		v, err := deps{}.Check(t.Context(), &sdk.Check{Tree: tree, BaseTree: t.TempDir(), Changes: sdktest.Modified(name)})
		if err != nil || v.Outcome != sdk.Fail || v.Findings[0].Rule != "deps/unreadable" {
			t.Errorf("%s -> %s: %+v, %v", name, target, v, err)
		}
	}
	for _, name := range []string{"../go.mod", "/etc/go.mod", "missing/go.mod"} {
		v, err := deps{}.Check(t.Context(), &sdk.Check{Tree: t.TempDir(), BaseTree: t.TempDir(), Changes: sdktest.Modified(name)})
		if err != nil || v.Outcome != sdk.Fail {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestAFloodOfFindingsIsBoundedAndKeepsTheWorst(t *testing.T) {
	all := files{}
	for i := range 2 * sdk.MaxFindings {
		all[fmt.Sprintf("a%d/yarn.lock", i)] = ""
	}
	var b strings.Builder
	b.WriteString("module m\n")
	for i := range 2 * sdk.MaxFindings {
		fmt.Fprintf(&b, "require x.example/m%d v1.0.0\n", i)
	}
	all["z/go.mod"] = b.String()
	v := judged(t, `{"deny":["x.example/**"]}`, nil, all)
	if v.Outcome != sdk.Fail || len(v.Findings) != sdk.MaxFindings || v.Findings[0].Rule != "deps/denied" {
		t.Errorf("%s, %d findings, the first %+v", v.Outcome, len(v.Findings), v.Findings[0])
	}
	if want := float64(4 * sdk.MaxFindings); v.Metrics["findings"] != want || !strings.Contains(v.Message, "and 3999 more") {
		t.Errorf("%v findings are counted, want %v: %s", v.Metrics["findings"], want, v.Message)
	}
}

func TestWordsOfTheRepositoryAreBoundedInMessages(t *testing.T) {
	v := judged(t, `{"deny":["**"]}`, nil, one("package.json", `{"dependencies":{"`+strings.Repeat("x", 100_000)+`":"`+strings.Repeat("y", 100_000)+`"}}`))
	if v.Outcome != sdk.Fail || len(v.Message) > 1000 || len(v.Findings[0].Message) > 1000 {
		t.Errorf("%s, message of %d bytes", v.Outcome, len(v.Message))
	}
}

// fuzzed checks a file of any content against any base: it is judged, at lines that it has, and always alike.
func fuzzed(f *testing.F, name string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s), []byte(""))
		f.Add([]byte(s), []byte(s))
	}
	read := formatOf(name)
	f.Fuzz(func(t *testing.T, now, was []byte) {
		r, err := read.read(name, now)
		if err != nil {
			return
		}
		last := 1 + strings.Count(string(now), "\n")
		for _, d := range r.deps {
			if d.line < 1 || d.line > last {
				t.Errorf("%+v stands at a line that is not there", d)
			}
		}
		tree := files{name: string(now)}
		verdict := func() sdk.Verdict {
			c := sdk.Check{Tree: sdktest.Tree(t, tree), BaseTree: sdktest.Tree(t, files{name: string(was)}), Changes: sdktest.Modified(name), Config: json.RawMessage(`{"allow":["nothing"],"refuse":["new","floating","downgrades","sources","local","forks","rewritten","install-scripts"]}`)}
			v, err := deps{}.Check(t.Context(), &c)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		first, second := verdict(), verdict()
		if first.Outcome != second.Outcome || !slices.Equal(first.Findings, second.Findings) {
			t.Errorf("verdicts differ:\n%+v\n%+v", first, second)
		}
		if string(now) == string(was) && first.Outcome != sdk.Pass {
			t.Errorf("what did not change is told: %+v", first)
		}
	})
}

func FuzzGoMod(f *testing.F) {
	fuzzed(f, "go.mod", "module m\nrequire a.b/c v1.0.0 // indirect\nreplace a.b/c => ../c\n", "require (\n)\n")
}

func FuzzPackage(f *testing.F) {
	fuzzed(f, "package.json", `{"dependencies":{"a":"^1","@b/c":"npm:d@1.0.0"},"overrides":{"e":{".":"1","f@2":"3"}},"scripts":{"install":"x"}}`)
}

func FuzzPackageLock(f *testing.F) {
	fuzzed(f, "package-lock.json", `{"packages":{"":{},"node_modules/a":{"version":"1.0.0","resolved":"https://h/a","integrity":"sha1-x","hasInstallScript":true}},"dependencies":{"b":{"version":"1"}}}`)
}

func FuzzRequirements(f *testing.F) {
	fuzzed(f, "requirements.txt", "a[b]==1 ; c \\\n # d\n-e .\n--index-url=https://x\ne @ https://y\n", "-i\n\\")
}

func FuzzPyproject(f *testing.F) {
	fuzzed(f, "pyproject.toml", "[project]\ndependencies=['a>1']\n[tool.poetry.dependencies]\nb={git='x'}\nc=[{path='y'},{version='1'}]\n")
}

func FuzzLock(f *testing.F) {
	fuzzed(f, "Cargo.lock", "[[package]]\nname='a'\nversion='1.0.0'\nsource='registry+https://h'\nchecksum='c'\n")
}

func FuzzUvLock(f *testing.F) {
	fuzzed(f, "uv.lock", "[[package]]\nname='a'\nversion='1.0.0'\nsource={registry='https://h'}\nwheels=[{url='https://h/w'}]\n", "[[package]]\nname='b'\n[package.source]\ntype='git'\nurl='x'\n")
}

func FuzzRule(f *testing.F) {
	f.Add("go:golang.org/x/**@>=1.0 <2", "golang.org/x/mod", "v1.2.3")
	f.Add("npm:@a/*@1", "@a/b", "1.0.0")
	f.Add("pypi:a_b@!=1!2.post3", "A.B", "1!2")
	f.Fuzz(func(t *testing.T, text, name, version string) {
		r, err := parseRule(text)
		if err != nil {
			return
		}
		for _, world := range []string{worldGo, worldNPM, worldPyPI, worldCargo} {
			r.names(world, name)
			if len(r.bound) == 0 && r.holds(world, version) != yes {
				t.Errorf("%q knows no versions and does not hold for %q", text, version)
			}
		}
	})
}

func BenchmarkLargeLock(b *testing.B) {
	var text strings.Builder
	text.WriteString(`{"packages": {"": {}`)
	for i := range 5000 {
		fmt.Fprintf(&text, ",\n\"node_modules/p%d\": {\n\"version\": \"1.0.%d\",\n\"resolved\": \"https://registry.npmjs.org/p.tgz\",\n\"integrity\": \"sha512-%d\"}", i, i, i)
	}
	text.WriteString("}}")
	h := sdktest.Serve(b, manifest, deps{})
	c := sdk.Check{Tree: sdktest.Tree(b, files{"package-lock.json": text.String()}), BaseTree: b.TempDir(), Changes: sdktest.Modified("package-lock.json"), Config: json.RawMessage(`{"allow":["p*"]}`)}
	for b.Loop() {
		if v, err := h.Client.Check(b.Context(), c, nil); err != nil || v.Outcome != sdk.Pass {
			b.Fatal(v, err)
		}
	}
}
