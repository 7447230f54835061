package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/licenseclassifier/v2/assets"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return license{} }, Want: sdk.Fail,
		Files:   map[string]string{"LICENSE": "All is yours.\n"},
		Base:    map[string]string{"LICENSE": text(t, "License/MIT/pristine.txt")},
		Changes: sdktest.Modified("LICENSE"),
	})
}

// text is a licence as the classifier keeps it.
func text(t testing.TB, name string) string {
	t.Helper()
	content, err := assets.ReadLicenseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

type files map[string]string

// judged checks head against base. What differs counts as changed.
func judged(t testing.TB, config string, base, head files) sdk.Verdict {
	t.Helper()
	var changes []sdk.Change
	for name, content := range head {
		if was, ok := base[name]; !ok {
			changes = append(changes, sdk.Change{Path: name, Op: "add", NewMode: "100644"})
		} else if was != content {
			changes = append(changes, sdk.Change{Path: name, Op: "modify", NewMode: "100644"})
		}
	}
	for name := range base {
		if _, ok := head[name]; !ok {
			changes = append(changes, sdk.Change{Path: name, Op: "delete", NewMode: "000000"})
		}
	}
	slices.SortFunc(changes, func(a, b sdk.Change) int { return strings.Compare(a.Path, b.Path) })
	return sdktest.Judge(t, manifest, license{}, config, sdk.Check{Tree: sdktest.Tree(t, head), BaseTree: sdktest.Tree(t, base), Changes: changes})
}

// told are the findings as "rule path:line".
func told(v sdk.Verdict) []string {
	var all []string
	for _, f := range v.Findings {
		all = append(all, fmt.Sprintf("%s %s:%d", strings.TrimPrefix(f.Rule, "license/"), f.Path, f.Line))
	}
	return all
}

type judging struct {
	config     string
	base, head files
	want       []string
	message    string
}

func hold(t *testing.T, cases map[string]judging) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := judged(t, c.config, c.base, c.head)
			want := sdk.Pass
			if len(c.want) > 0 {
				want = sdk.Fail
			}
			if got := told(v); v.Outcome != want || !slices.Equal(got, c.want) || !strings.Contains(v.Message, c.message) {
				t.Errorf("%s with %q, want %q and %q: %s", v.Outcome, got, c.want, c.message, v.Message)
			}
		})
	}
}

func TestALicenceThatChangesIsToldWithBothNames(t *testing.T) {
	mit, bsd, gpl, apache := text(t, "License/MIT/pristine.txt"), text(t, "License/BSD-3-Clause/pristine.txt"), text(t, "License/GPL-3.0/license.txt"), text(t, "License/Apache-2.0/pristine.txt")
	lic := func(content string) files { return files{"LICENSE": content} }
	after := func(content string) int { return strings.Count(content, "\n") + 2 }
	hold(t, map[string]judging{
		"nothing":                         {`{}`, lic(mit), lic(mit), nil, ""},
		"who holds it":                    {`{}`, lic("Copyright (c) 2019 A\n\n" + mit), lic("Copyright (c) 2019-2026 A and B\n\n" + mit), nil, ""},
		"how its lines are broken":        {`{}`, lic(mit), lic(strings.ReplaceAll(mit, " the ", "\n\n   the ")), nil, ""},
		"another licence":                 {`{}`, lic(mit), lic(bsd), []string{"changed LICENSE:1", "altered LICENSE:1"}, "was under MIT and is now under BSD-3-Clause"},
		"one more below":                  {`{}`, lic(mit), lic(mit + "\n" + gpl), []string{fmt.Sprintf("widened LICENSE:%d", after(mit)), fmt.Sprintf("altered LICENSE:%d", after(mit))}, "was under MIT and is now under GPL-3.0 and MIT"},
		"one more beside":                 {`{}`, lic(mit), files{"LICENSE": mit, "LICENSE-APACHE": apache}, []string{"widened LICENSE-APACHE:2"}, "was under MIT and is now under Apache-2.0 and MIT"},
		"one less":                        {`{}`, files{"LICENSE-MIT": mit, "LICENSE-APACHE": apache}, files{"LICENSE-MIT": mit}, []string{"changed LICENSE-MIT:1"}, "was under Apache-2.0 and MIT and is now under MIT"},
		"none":                            {`{}`, lic(mit), files{"README": "x"}, []string{"removed LICENSE:0"}, "was under MIT and is now under no licence"},
		"a grant in a holder's clothes":   {`{}`, lic("Copyright (c) 2019 A\n\n" + mit), lic("Copyright (c) 2019 A, who lets you do what you may wish\n\n" + mit), []string{"altered LICENSE:1"}, ""},
		"another name":                    {`{}`, lic(mit), files{"LICENSE.md": mit}, nil, ""},
		"a clause that is struck":         {`{}`, lic(mit), lic(strings.Replace(mit, "The above copyright notice and this permission notice", "No notice", 1)), []string{"altered LICENSE:8"}, `has other words than before, from "No" on`},
		"an end that is cut":              {`{"refuse":["altered"]}`, lic(mit + "\nAnd be kind."), lic(mit), []string{fmt.Sprintf("altered LICENSE:%d", strings.Count(strings.TrimSpace(mit), "\n")+1)}, `ends before its words "And"`},
		"words of nobody":                 {`{}`, lic(mit), lic("Do what you want.\n"), []string{"changed LICENSE:1", "unknown LICENSE:1", "altered LICENSE:1"}, "was under MIT and is now under no known licence"},
		"where that is not refused":       {`{"refuse":[]}`, lic(mit), lic("Do what you want.\n"), nil, ""},
		"a new one":                       {`{}`, nil, lic(gpl), nil, ""},
		"a new one that is allowed":       {`{"allow":["GPL-3.0-only"]}`, nil, lic(gpl), nil, ""},
		"a new one that is not":           {`{"allow":["MIT","BSD-*"]}`, nil, files{"third_party/x/COPYING": gpl, "third_party/y/License.txt": bsd}, []string{"not-allowed third_party/x/COPYING:1"}, "is under GPL-3.0, which is not among what is allowed: MIT, BSD-*"},
		"an unknown one":                  {`{"allow":["MIT"],"refuse":[]}`, nil, lic("Be nice."), []string{"unknown LICENSE:1"}, "no licence that is known"},
		"a path that is ignored":          {`{"ignore":["testdata/**"]}`, files{"testdata/LICENSE": mit}, files{"testdata/LICENSE": bsd}, nil, ""},
		"the short form in a folder":      {`{"allow":["MIT"]}`, nil, files{"LICENSES/CC0.txt": "SPDX-License-Identifier: CC0-1.0\n"}, []string{"not-allowed LICENSES/CC0.txt:1"}, ""},
		"code by the name of license":     {`{"allow":["MIT"]}`, nil, files{"license.go": "package license\n", "licensed.txt": "x"}, nil, ""},
		"other directories do not matter": {`{}`, files{"a/LICENSE": mit, "b/LICENSE": bsd}, files{"a/LICENSE": mit, "b/LICENSE": bsd, "c/LICENSE": gpl}, nil, ""},
	})
}

func TestTheHeadOfAFileIsJudgedToo(t *testing.T) {
	notice := "// Copyright 2026 A\n//\n// " + strings.ReplaceAll(strings.TrimSpace(text(t, "Header/Apache-2.0/header.txt")), "\n", "\n// ") + "\n\n"
	short := func(expression string) files {
		return files{"a.go": "// SPDX-License-Identifier: " + expression + "\npackage a\n"}
	}
	hold(t, map[string]judging{
		"it stays":                   {`{"allow":["MIT"]}`, files{"a.go": notice + "package a"}, files{"a.go": notice + "package b"}, nil, ""},
		"it goes":                    {`{}`, files{"a.go": notice + "package a"}, files{"a.go": "package a"}, []string{"removed a.go:0"}, "was under Apache-2.0 and is now under no licence"},
		"it becomes another":         {`{}`, files{"a.go": notice + "package a"}, short("MIT"), []string{"changed a.go:1"}, "was under Apache-2.0 and is now under MIT"},
		"it is not minded":           {`{"refuse":["changed"]}`, files{"a.go": notice + "package a"}, short("MIT"), nil, ""},
		"a later version may do":     {`{}`, short("GPL-2.0-only"), short("GPL-2.0-or-later"), []string{"changed a.go:1"}, "was under GPL-2.0-only and is now under GPL-2.0-or-later"},
		"a choice":                   {`{}`, short("MIT"), short("(MIT OR Apache-2.0)"), []string{"widened a.go:1"}, "was under MIT and is now under Apache-2.0 and MIT"},
		"an exception is no licence": {`{"allow":["Apache-2.0"]}`, nil, short("Apache-2.0 WITH LLVM-exception"), nil, ""},
		"a comment that ends":        {`{"allow":["MIT"]}`, nil, files{"a.c": "/* SPDX-License-Identifier: MIT */", "a.html": "<!-- SPDX-License-Identifier: MIT -->"}, nil, ""},
		"a new file, not allowed":    {`{"allow":["MIT"]}`, nil, files{"a.go": notice + "package a"}, []string{"not-allowed a.go:3"}, "is under Apache-2.0"},
		"a new file without":         {`{"allow":["MIT"]}`, nil, files{"a.go": "package a"}, nil, ""},
		"a manifest":                 {`{"allow":["MIT"]}`, files{"package.json": "{\n \"license\": \"MIT\"\n}", "Cargo.toml": ""}, files{"package.json": "{\n \"license\": \"ISC\"\n}", "Cargo.toml": "[package]\nlicense = \"MIT OR Zlib\"\n"}, []string{"changed package.json:2", "not-allowed Cargo.toml:2", "not-allowed package.json:2"}, "was under MIT and is now under ISC"},
		"a project's table":          {`{"allow":["MIT"]}`, nil, files{"pyproject.toml": "[project]\nlicense = {text = \"BSD\"}\n"}, []string{"not-allowed pyproject.toml:2"}, ""},
	})
}

// F10: one zero byte makes a file binary for git, and does not make it another file.
func TestF10_ABinaryFileIsJudgedByItsHeadToo(t *testing.T) {
	spdx := func(id string) files { return files{"a.js": "// SPDX-License-Identifier: " + id + "\n/* \x00 */\n"} }
	for name, c := range map[string]struct {
		base, head files
		want       string
	}{
		"new":     {nil, spdx("GPL-3.0-only"), "not-allowed a.js:1"},
		"changed": {spdx("MIT"), spdx("GPL-3.0-only"), "changed a.js:1"},
		"removed": {spdx("MIT"), files{"a.js": "/* \x00 */\n"}, "removed a.js:0"},
	} {
		check := sdk.Check{
			Tree: sdktest.Tree(t, c.head), BaseTree: sdktest.Tree(t, c.base), Config: json.RawMessage(`{"allow":["MIT"]}`),
			Changes: []sdk.Change{{Path: "a.js", Op: "modify", NewMode: "100644", Binary: true}},
		}
		if v, err := (license{}).Check(t.Context(), &check); err != nil || v.Outcome != sdk.Fail || told(v)[0] != c.want {
			t.Errorf("%s: %s with %q, %v, want %q", name, v.Outcome, told(v), err, c.want)
		}
	}
	picture := files{"a.png": "\x89PNG\r\n\x1a\n" + strings.Repeat("\x00\xff copyright \x01", 500)}
	check := sdk.Check{Tree: sdktest.Tree(t, picture), BaseTree: t.TempDir(), Config: json.RawMessage(`{"allow":["MIT"]}`), Changes: []sdk.Change{{Path: "a.png", Op: "add", NewMode: "100644", Binary: true}}}
	if v, err := (license{}).Check(t.Context(), &check); err != nil || v.Outcome != sdk.Pass {
		t.Errorf("a picture: %+v, %v", v, err)
	}
}

func TestARenamedFileIsComparedWithWhatItWas(t *testing.T) {
	content := "// SPDX-License-Identifier: MIT\npackage a\n"
	check := sdk.Check{
		Tree: sdktest.Tree(t, files{"b.go": "package a\n"}), BaseTree: sdktest.Tree(t, files{"a.go": content}),
		Changes: []sdk.Change{{Path: "b.go", OldPath: "a.go", Op: "rename"}},
	}
	v, err := license{}.Check(t.Context(), &check)
	if err != nil || !slices.Equal(told(v), []string{"removed b.go:0"}) {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestF10_WhatCannotBeReadNeverPasses(t *testing.T) {
	mit := text(t, "License/MIT/pristine.txt")
	if v := judged(t, `{"refuse":[]}`, files{"LICENSE": mit}, files{"LICENSE": strings.Repeat("x ", maxFile)}); v.Outcome != sdk.Fail || !slices.Equal(told(v), []string{"unreadable LICENSE:0"}) {
		t.Errorf("a licence that is too large: %+v", v)
	}
	many := files{}
	for i := range maxLicences + 1 {
		many[fmt.Sprintf("LICENSE-%d", i)] = ""
	}
	if v := judged(t, `{"refuse":[]}`, nil, many); v.Outcome != sdk.Error {
		t.Errorf("more licence files than are read: %+v", v)
	}
	check := sdk.Check{Tree: t.TempDir(), Changes: sdktest.Modified("LICENSE")}
	if v, err := (license{}).Check(t.Context(), &check); err == nil {
		t.Errorf("without a base: %+v", v)
	}
}

func TestF9_NothingOutsideOfTheTreeIsRead(t *testing.T) {
	outside := sdktest.Tree(t, files{"LICENSE": text(t, "License/MIT/pristine.txt")})
	for _, target := range []string{filepath.Join(outside, "LICENSE"), "/dev/zero", "../" + path.Base(outside) + "/LICENSE", "LICENSE"} {
		tree := t.TempDir()
		if err := os.Symlink(target, filepath.Join(tree, "LICENSE")); err != nil {
			t.Fatal(err)
		}
		v, err := license{}.Check(t.Context(), &sdk.Check{Tree: tree, BaseTree: outside, Changes: sdktest.Modified("LICENSE")})
		if err != nil || v.Outcome != sdk.Fail || !strings.Contains(v.Message, "was under MIT and is now under no known licence") {
			t.Errorf("a link to %s: %+v, %v", target, v, err)
		}
	}
	for _, name := range []string{"../LICENSE", "/etc/LICENSE", "missing/LICENSE", "missing.go"} {
		v, err := license{}.Check(t.Context(), &sdk.Check{Tree: t.TempDir(), BaseTree: t.TempDir(), Changes: sdktest.Modified(name)})
		if err != nil || v.Outcome != sdk.Fail {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestAFloodOfFindingsIsBounded(t *testing.T) {
	all := files{}
	for i := range sdk.MaxFindings + 10 {
		all[fmt.Sprintf("a%d.go", i)] = "// SPDX-License-Identifier: " + strings.Repeat("x", 250) + "\n"
	}
	v := judged(t, `{"allow":["MIT"]}`, nil, all)
	if v.Outcome != sdk.Fail || len(v.Findings) != sdk.MaxFindings || v.Metrics["findings"] != sdk.MaxFindings+10 || len(v.Message) > 1000 {
		t.Errorf("%s, %d findings, %v", v.Outcome, len(v.Findings), v.Metrics)
	}
}

func TestARuleThatCouldNotMatchIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"allow":["["]}`:                 "allow",
		`{"allow":[""]}`:                  "allow",
		`{"allow":["MIT OR Apache-2.0"]}`: "allow",
		`{"refuse":["widened"]}`:          "refuse",
		`{"ignore":[""]}`:                 "ignore",
		`{"alow":["MIT"]}`:                "alow",
		`{"allow":"MIT"}`:                 "allow",
	} {
		sdktest.RefusedFor(t, manifest, license{}, config, attribute)
	}
}

func fuzzed(f *testing.F, name string) {
	f.Add("// SPDX-License-Identifier: MIT AND (GPL-2.0+ WITH x) */", "")
	f.Add("{\"license\": \"MIT\"}", "license = {text = \"x\"}")
	f.Add(text(f, "License/MIT/pristine.txt"), text(f, "Header/Apache-2.0/header.txt"))
	f.Fuzz(func(t *testing.T, was, now string) {
		if len(was)+len(now) > 16<<10 {
			return
		}
		c := sdk.Check{Tree: sdktest.Tree(t, files{name: now}), BaseTree: sdktest.Tree(t, files{name: was}), Changes: sdktest.Modified(name), Config: json.RawMessage(`{"allow":["none"]}`)}
		first, err := license{}.Check(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		second, err := license{}.Check(t.Context(), &c)
		if err != nil || first.Outcome != second.Outcome || !slices.Equal(first.Findings, second.Findings) {
			t.Errorf("verdicts differ:\n%+v\n%+v, %v", first, second, err)
		}
		if was == now && first.Outcome != sdk.Pass {
			t.Errorf("what did not change is told: %+v", first)
		}
		last := 1 + strings.Count(now, "\n")
		for _, finding := range first.Findings {
			if finding.Line < 0 || finding.Line > last {
				t.Errorf("%+v stands at a line that is not there", finding)
			}
		}
	})
}

func FuzzLicenceFile(f *testing.F) { fuzzed(f, "LICENSE") }

func FuzzHead(f *testing.F) { fuzzed(f, "a.c") }

func FuzzManifest(f *testing.F) { fuzzed(f, "package.json") }
