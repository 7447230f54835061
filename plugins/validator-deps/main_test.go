package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return deps{} }, Want: sdk.Fail,
		Config:  json.RawMessage(`{"deny":["npm:left-pad"]}`),
		Files:   map[string]string{"package.json": `{"dependencies":{"left-pad":"1.3.0"}}`},
		Base:    map[string]string{"package.json": `{}`},
		Changes: sdktest.Modified("package.json"),
	})
}

type files map[string]string

// judged checks head against base; what is in head counts as changed.
func judged(t testing.TB, config string, base, head files) sdk.Verdict {
	t.Helper()
	c := sdk.Check{Tree: sdktest.Tree(t, head), BaseTree: sdktest.Tree(t, base), Changes: sdktest.Modified(slices.Sorted(maps.Keys(head))...)}
	return sdktest.Judge(t, manifest, deps{}, config, c)
}

// told are the findings as "rule path:line".
func told(v sdk.Verdict) []string {
	var all []string
	for _, f := range v.Findings {
		all = append(all, fmt.Sprintf("%s %s:%d", strings.TrimPrefix(f.Rule, "deps/"), f.Path, f.Line))
	}
	slices.Sort(all)
	return all
}

// one is a file of one name.
func one(name string, lines ...string) files { return files{name: strings.Join(lines, "\n") + "\n"} }

type judging struct {
	config     string
	base, head files
	want       []string
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
			if got := told(v); v.Outcome != want || !slices.Equal(got, c.want) {
				t.Errorf("%s with %q, want %q: %s", v.Outcome, got, c.want, v.Message)
			}
			if want == sdk.Fail && (v.Message == "" || v.Findings[0].Severity != "error" || v.Findings[0].Fingerprint == "") {
				t.Errorf("verdict = %+v", v)
			}
		})
	}
}

func TestWhatAGoModuleBringsInIsJudged(t *testing.T) {
	base := one("go.mod", "module m", "go 1.26", "require (", "\tgolang.org/x/mod v0.1.0", "\told.example/a v1.0.0", ")")
	head := one("go.mod", "module m", "go 1.26", "require (", "\tgolang.org/x/mod v0.2.0", "\tnew.example/b v1.5.0", "\told.example/a v1.0.0", "\tdeep.example/c v1.0.0 // indirect", ")")
	replaced := func(line string) files { return one("go.mod", "module m", "require a.example/x v1.0.0", line) }
	hold(t, map[string]judging{
		"nothing is declared":                {`{}`, base, head, nil},
		"all of it is allowed":               {`{"allow":["golang.org/x/**","*.example/*"]}`, base, head, nil},
		"what was there is not judged again": {`{"allow":["golang.org/x/**"]}`, base, head, []string{"not-allowed go.mod:5", "not-allowed go.mod:7"}},
		"only what is asked for":             {`{"allow":["golang.org/x/**"],"direct_only":true}`, base, head, []string{"not-allowed go.mod:5"}},
		"denied":                             {`{"deny":["go:new.example/**"]}`, base, head, []string{"denied go.mod:5"}},
		"denied in another world":            {`{"deny":["npm:new.example/**"]}`, base, head, nil},
		"denied below a version":             {`{"deny":["new.example/b@<1.5.0"]}`, base, head, nil},
		"denied in a range":                  {`{"deny":["new.example/b@>=1.5.0 <2"]}`, base, head, []string{"denied go.mod:5"}},
		"allowed from a version on":          {`{"allow":["golang.org/x/mod@>=0.3","**.example/**"]}`, base, head, []string{"not-allowed go.mod:4"}},
		"a denial wins":                      {`{"allow":["**"],"deny":["new.example/b"]}`, base, head, []string{"denied go.mod:5"}},
		"new ones refused":                   {`{"refuse":["new"]}`, base, head, []string{"new go.mod:5", "new go.mod:7"}},
		"a downgrade":                        {`{"refuse":["downgrades"]}`, head, base, []string{"downgrade go.mod:4"}},
		"a new file is new throughout":       {`{"refuse":["new"]}`, nil, base, []string{"new go.mod:4", "new go.mod:5"}},
		"a path that is ignored":             {`{"refuse":["new"],"ignore":["testdata/**"]}`, nil, files{"testdata/go.mod": head["go.mod"], "go.mod": "module m\n"}, nil},
		"a directory instead of a module":    {`{}`, nil, replaced("replace a.example/x => ./here"), []string{"local go.mod:3"}},
		"a fork":                             {`{}`, nil, replaced("replace a.example/x => b.example/x v1.0.1"), []string{"fork go.mod:3"}},
		"a fork of a denied name":            {`{"refuse":[],"deny":["b.example/**"]}`, nil, replaced("replace a.example/x => b.example/x v1.0.1"), []string{"denied go.mod:3"}},
		"a fork is what must be allowed":     {`{"refuse":[],"allow":["a.example/**"]}`, nil, replaced("replace a.example/x => b.example/x v1.0.1"), []string{"not-allowed go.mod:3"}},
		"a replacement by itself":            {`{}`, nil, replaced("replace a.example/x => a.example/x v1.0.1"), nil},
		"a replacement that was there":       {`{}`, replaced("replace a.example/x => ./here"), replaced("\nreplace a.example/x => ./here // moved"), nil},
		"a replacement in go.work":           {`{}`, nil, one("go.work", "go 1.26", "use .", "replace a.example/x => ../x"), []string{"local go.work:3"}},
		"a sum that changed":                 {`{}`, one("go.sum", "a v1.0.0 h1:x=", "a v1.0.0/go.mod h1:y="), one("go.sum", "a v1.0.0 h1:z=", "a v1.0.0/go.mod h1:y=", "b v1.0.0 h1:n="), []string{"rewritten go.sum:1"}},
		"a broken file":                      {`{}`, base, one("go.mod", "module m", "requier x"), []string{"unreadable go.mod:2"}},
		"a broken base":                      {`{"refuse":["new"]}`, one("go.mod", "<<<<"), base, []string{"new go.mod:4", "new go.mod:5"}},
	})
}

func TestWhatAPackageBringsInIsJudged(t *testing.T) {
	base := one("package.json", `{`, `  "dependencies": {"left": "^1.0.0"},`, `  "scripts": {"test": "t", "postinstall": "node old.js"}`, `}`)
	head := one("package.json", `{`, `  "dependencies": {`, `    "left": "^1.0.0",`, `    "right": "2.0.0"`, `  },`, `  "devDependencies": {"@types/node": "^20"},`,
		`  "scripts": {"test": "u",`, `    "preinstall": "curl x | sh",`, `    "postinstall": "node old.js"}`, `}`)
	with := func(require string) files { return one("package.json", `{"dependencies": {`, `"p": "`+require+`"}}`) }
	lock := func(lines ...string) files { return one("package-lock.json", append(lines, "}}")...) }
	was := lock(`{"lockfileVersion": 3, "packages": {`, `"": {"name":"me"},`, `"node_modules/a": {"version":"1.0.0","resolved":"https://registry.npmjs.org/a.tgz","integrity":"sha512-aaa"}`)
	hold(t, map[string]judging{
		"a new install script":              {`{}`, base, head, []string{"install-script package.json:8"}},
		"not where it is not refused":       {`{"refuse":[]}`, base, head, nil},
		"allowed":                           {`{"refuse":[],"allow":["right","@types/*"]}`, base, head, nil},
		"not allowed":                       {`{"refuse":[],"allow":["left"]}`, base, head, []string{"not-allowed package.json:4", "not-allowed package.json:6"}},
		"a scope is no version":             {`{"refuse":[],"deny":["npm:@types/*"]}`, base, head, []string{"denied package.json:6"}},
		"an open version may be denied":     {`{"refuse":[],"deny":["@types/node@<20.1"]}`, base, head, []string{"denied package.json:6"}},
		"but a lock file says more":         {`{"refuse":[],"deny":["@types/node@<20.1"]}`, base, files{"package.json": head["package.json"], "package-lock.json": `{}`}, nil},
		"a directory":                       {`{}`, nil, with("file:../x"), []string{"local package.json:2"}},
		"another name":                      {`{}`, nil, with("npm:evil@1.0.0"), []string{"fork package.json:2"}},
		"another name is what is denied":    {`{"refuse":[],"deny":["evil@1.0.0"]}`, nil, with("npm:evil@1.0.0"), []string{"denied package.json:2"}},
		"a repository":                      {`{}`, nil, with("git+https://x.example/p.git"), []string{"source package.json:2"}},
		"a repository by its short name":    {`{}`, nil, with("owner/p"), []string{"source package.json:2"}},
		"anything":                          {`{"refuse":["floating"]}`, nil, with("*"), []string{"floating package.json:2"}},
		"the latest":                        {`{"refuse":["floating"]}`, nil, with("latest"), []string{"floating package.json:2"}},
		"a range does not float":            {`{"refuse":["floating"]}`, nil, with(">=1 <2"), nil},
		"the second of two keys":            {`{"deny":["evil"]}`, nil, one("package.json", `{"dependencies":{"a":"1.0.0"},`, `"dependencies":{"evil":"1.0.0"}}`), []string{"denied package.json:2"}},
		"an override":                       {`{"deny":["evil"]}`, nil, one("package.json", `{"overrides":{"a":{"evil@^1":"2.0.0"}},`, `"resolutions":{"**/evil":"2.0.1"}}`), []string{"denied package.json:1", "denied package.json:2"}},
		"a lock file's version":             {`{"deny":["a@<2"]}`, nil, was, []string{"denied package-lock.json:3"}},
		"a nested package":                  {`{"deny":["@s/b"]}`, was, lock(`{"packages": {`, `"node_modules/a/node_modules/@s/b": {`, `"version":"1.0.0"}`), []string{"denied package-lock.json:3"}},
		"an old lock file":                  {`{"deny":["b"]}`, nil, lock(`{"dependencies": {"a": {"version": "1.0.0", "dependencies": {`, `"b": {"version": "2.0.0"}}}`), []string{"denied package-lock.json:2"}},
		"another content":                   {`{}`, was, lock(`{"packages": {`, `"node_modules/a": {"version":"1.0.0",`, `"integrity":"sha512-bbb"}`), []string{"rewritten package-lock.json:3"}},
		"another method":                    {`{}`, lock(`{"packages": {`, `"node_modules/a": {"version":"1.0.0","integrity":"sha1-aaa"}`), was, nil},
		"no content":                        {`{}`, was, lock(`{"packages": {`, `"node_modules/a": {"version":"1.0.0"}`), []string{"rewritten package-lock.json:2"}},
		"another place":                     {`{}`, was, lock(`{"packages": {`, `"node_modules/b": {"version":"1.0.0",`, `"resolved":"https://evil.example/b.tgz"}`), []string{"source package-lock.json:3"}},
		"a place that is declared":          {`{"registries":["*.example"]}`, was, lock(`{"packages": {`, `"node_modules/b": {"version":"1.0.0","resolved":"https://our.example/b.tgz"}`), nil},
		"a locked repository":               {`{}`, was, lock(`{"packages": {`, `"node_modules/b": {"version":"1.0.0","resolved":"git+ssh://git@x.example/b.git#1"}`), []string{"source package-lock.json:2"}},
		"a package that installs a program": {`{}`, was, lock(`{"packages": {`, `"node_modules/b": {"version":"1.0.0",`, `"hasInstallScript":true}`), []string{"install-script package-lock.json:3"}},
		"a file that makes npm compile":     {`{}`, nil, files{"binding.gyp": "{}", "package.json": "{}"}, nil}, // it is a modification here
		"a broken file":                     {`{}`, base, one("package.json", `{`, `"a": }`), []string{"unreadable package.json:2"}},
		"an end that is missing":            {`{}`, base, one("package.json", `{"a": 1`), []string{"unreadable package.json:1"}},
	})
}

func TestWhatAPythonProjectBringsInIsJudged(t *testing.T) {
	hold(t, map[string]judging{
		"requirements":                   {`{"deny":["pypi:evil-lib"]}`, one("requirements.txt", "requests==2.31.0"), one("requirements.txt", "# what we need", "requests==2.31.0", "Evil_Lib[x]>=1; python_version > '3' # ok", "-r requirements-dev.txt"), []string{"denied requirements.txt:3"}},
		"a version as Python orders it":  {`{"deny":["requests@<2.31.post1"]}`, nil, one("requirements/dev.txt", "requests==2.31.0"), []string{"denied requirements/dev.txt:1"}},
		"an epoch":                       {`{"deny":["pypi:requests@<3"]}`, nil, one("requirements.txt", "requests==1!2.0"), nil},
		"a continued line":               {`{"deny":["evil"]}`, nil, one("requirements-dev.txt", "a==1 \\", "  --hash=sha256:0", "evil==1"), []string{"denied requirements-dev.txt:3"}},
		"an address":                     {`{}`, nil, one("requirements.txt", "evil @ https://x.example/e.whl", "https://x.example/f.whl", "git+https://x.example/g#egg=g", "h@https://x.example/h"), []string{"source requirements.txt:1", "source requirements.txt:2", "source requirements.txt:3", "source requirements.txt:4"}},
		"a directory":                    {`{}`, nil, one("requirements.txt", "-e ./here", "../there"), []string{"local requirements.txt:1", "local requirements.txt:2"}},
		"another index":                  {`{}`, one("requirements.txt", "-i https://pypi.org/simple"), one("requirements.txt", "--extra-index-url https://evil.example/simple", "a==1"), []string{"source requirements.txt:1"}},
		"another index, written shorter": {`{}`, nil, one("requirements.txt", "-ihttps://evil.example/simple"), []string{"source requirements.txt:1"}},
		"another file":                   {`{}`, one("requirements.txt", "-r old.lst"), one("requirements.txt", "-r old.lst", "-r requirements/dev.in", "-c ../constraints.txt", "-r evil.lst", "-revil2.lst", "--requirement=evil3.lst"), []string{"unreadable requirements.txt:4", "unreadable requirements.txt:5", "unreadable requirements.txt:6"}},
		"a project's other files": {`{}`, nil, one("pyproject.toml", `[tool.setuptools.dynamic]`, `dependencies = {file = ["deps.txt", "requirements.txt"]}`, `optional-dependencies.x = {file = "x.lst"}`,
			`version = {file = "VERSION"}`, `[tool.hatch.metadata.hooks.requirements_txt]`, `files = ["more.txt"]`), []string{"unreadable pyproject.toml:2", "unreadable pyproject.toml:3", "unreadable pyproject.toml:6"}},
		"a file from elsewhere":   {`{}`, nil, one("requirements.txt", "-r https://evil.example/r.txt"), []string{"source requirements.txt:1"}},
		"what another is made of": {`{"deny":["evil"]}`, nil, one("requirements.in", "evil"), []string{"denied requirements.in:1"}},
		"nonsense":                {`{}`, nil, one("requirements.txt", "a==1", "b c d"), []string{"unreadable requirements.txt:2"}},
		"a project": {`{"deny":["a","b","c","d","e","f"]}`, nil, one("pyproject.toml",
			"[project]", `dependencies = [`, `  "A>=1", # first`, `]`, `[project.optional-dependencies]`, `x = ["b"]`, `[build-system]`, `requires = ["c"]`,
			`[dependency-groups]`, `dev = ["d", {include-group = "x"}]`, `[tool.poetry.dependencies]`, `python = "^3"`, `e = "^1"`, `[tool.poetry.group.dev.dependencies.f]`, `version = "1"`),
			[]string{"denied pyproject.toml:10", "denied pyproject.toml:13", "denied pyproject.toml:15", "denied pyproject.toml:3", "denied pyproject.toml:6", "denied pyproject.toml:8"}},
		"a source": {`{}`, nil, one("pyproject.toml", `[tool.uv.sources]`, `a = {git = "https://x.example/a"}`, `b = [{path = "../b"}]`, `[[tool.uv.index]]`, `url = "https://evil.example/simple"`),
			[]string{"local pyproject.toml:3", "source pyproject.toml:2", "source pyproject.toml:5"}},
		"uv's lock file": {`{"deny":["evil"]}`, nil, one("uv.lock", `version = 1`, `[[package]]`, `name = "me"`, `source = { editable = "." }`, `[[package]]`, `name = "evil"`, `version = "1.0"`, `source = { registry = "https://pypi.org/simple" }`,
			`wheels = [`, `  { url = "https://evil.example/w.whl", hash = "sha256:0" },`, `]`), []string{"denied uv.lock:6", "source uv.lock:10"}},
		"poetry's lock file": {`{"deny":["evil"]}`, nil, one("poetry.lock", `[[package]]`, `name = "evil"`, `version = "1.0"`, `[[package]]`, `name = "g"`, `version = "1"`, `[package.source]`, `type = "git"`, `url = "https://x.example/g"`),
			[]string{"denied poetry.lock:2", "source poetry.lock:5"}},
		"broken TOML": {`{}`, nil, one("pyproject.toml", `[project]`, `dependencies = [`), []string{"unreadable pyproject.toml:2"}},
	})
}

func TestWhatACrateBringsInIsJudged(t *testing.T) {
	lock := func(sum string) files {
		return one("Cargo.lock", `version = 4`, `[[package]]`, `name = "me"`, `version = "0.1.0"`, `dependencies = ["serde"]`, `[[package]]`, `name = "serde"`, `version = "1.0.200"`,
			`source = "registry+https://github.com/rust-lang/crates.io-index"`, `checksum = "`+sum+`"`)
	}
	hold(t, map[string]judging{
		"all tables": {`{"deny":["cargo:evil_*"]}`, nil, one("Cargo.toml", `[dependencies]`, `evil-a = "1"`, `good = "1"`, `[target.'cfg(unix)'.dependencies]`, `evil-b = { version = "1" }`, `[workspace.dependencies.evil-c]`, `version = "1"`, `[build-dependencies]`, `evil_d.version = "1"`),
			[]string{"denied Cargo.toml:2", "denied Cargo.toml:5", "denied Cargo.toml:7", "denied Cargo.toml:9"}},
		"where it is taken from": {`{}`, nil, one("Cargo.toml", `[dependencies]`, `a = { path = "../a" }`, `b = { git = "https://x.example/b" }`, `c = { package = "d", version = "1" }`, `[patch.crates-io]`, `e = { path = "e" }`),
			[]string{"fork Cargo.toml:4", "local Cargo.toml:2", "local Cargo.toml:6", "source Cargo.toml:3"}},
		"a lock file":             {`{"deny":["serde@<2"]}`, nil, lock("aa"), []string{"denied Cargo.lock:7"}},
		"a member is not judged":  {`{"deny":["me"]}`, nil, lock("aa"), nil},
		"another content":         {`{}`, lock("aa"), lock("bb"), []string{"rewritten Cargo.lock:10"}},
		"a bare version is open":  {`{"deny":["serde@<1.0.100"]}`, nil, one("Cargo.toml", `[dependencies]`, `serde = "1"`), []string{"denied Cargo.toml:2"}},
		"and an exact one is not": {`{"deny":["serde@<1.0.100"]}`, nil, one("Cargo.toml", `[dependencies]`, `serde = "=1.0.150"`), nil},
	})
}

func TestAFileThatMakesNpmCompileIsAnInstallScript(t *testing.T) {
	check := sdk.Check{Tree: sdktest.Tree(t, files{"binding.gyp": "{}"}), BaseTree: t.TempDir(), Changes: []sdk.Change{{Path: "binding.gyp", Op: "add"}}}
	v, err := deps{}.Check(t.Context(), &check)
	if err != nil || !slices.Equal(told(v), []string{"install-script binding.gyp:0"}) {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAFileOfAKindThatIsNotReadIsToldAndNothingElseIsJudged(t *testing.T) {
	v := judged(t, `{}`, nil, files{"yarn.lock": "x", "sub/.npmrc": "registry=x", ".cargo/config.toml": "", "main.go": "package main", "config.toml": ""})
	if want := []string{"unread .cargo/config.toml:0", "unread sub/.npmrc:0", "unread yarn.lock:0"}; v.Outcome != sdk.Warn || !slices.Equal(told(v), want) {
		t.Errorf("%s with %q, want %q", v.Outcome, told(v), want)
	}
	if v := judged(t, `{}`, nil, files{"main.go": "package main"}); v.Outcome != sdk.Skip {
		t.Errorf("without a file that names dependencies: %+v", v)
	}
}

func TestADeletionBringsNothingIn(t *testing.T) {
	check := sdk.Check{Tree: t.TempDir(), BaseTree: sdktest.Tree(t, one("go.mod", "module m")), Changes: []sdk.Change{{Path: "go.mod", Op: "delete"}}}
	if v, err := (deps{}).Check(t.Context(), &check); err != nil || v.Outcome != sdk.Skip {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestARenamedFileIsComparedWithWhatItWas(t *testing.T) {
	old := "module m\nrequire a.example/x v1.0.0\n"
	check := sdk.Check{
		Tree: sdktest.Tree(t, files{"sub/go.mod": old}), BaseTree: sdktest.Tree(t, files{"go.mod": old}), Config: json.RawMessage(`{"refuse":["new"]}`),
		Changes: []sdk.Change{{Path: "sub/go.mod", OldPath: "go.mod", Op: "rename"}},
	}
	if v, err := (deps{}).Check(t.Context(), &check); err != nil || v.Outcome != sdk.Pass {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAFindingIsTheSameWhereverItsLineMoves(t *testing.T) {
	config := `{"deny":["a.example/x"]}`
	first := judged(t, config, nil, one("go.mod", "module m", "require a.example/x v1.0.0"))
	second := judged(t, config, nil, one("go.mod", "module m", "", "// why", "require a.example/x v1.0.0"))
	if a, b := first.Findings[0], second.Findings[0]; a.Fingerprint != b.Fingerprint || a.Line == b.Line {
		t.Errorf("%+v and %+v", a, b)
	}
}

func TestWithoutABaseNothingIsJudged(t *testing.T) {
	check := sdk.Check{Tree: sdktest.Tree(t, one("go.mod", "module m")), Changes: sdktest.Modified("go.mod")}
	if v, err := (deps{}).Check(t.Context(), &check); err == nil {
		t.Errorf("verdict = %+v without a base", v)
	}
}

func TestARuleThatCouldNotMatchIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"allow":["["]}`:                  "allow",
		`{"allow":[""]}`:                   "allow",
		`{"deny":["gem:x"]}`:               "deny",
		`{"deny":["x@"]}`:                  "deny",
		`{"deny":["x@banana"]}`:            "deny",
		`{"deny":["go:"]}`:                 "deny",
		`{"deny":["a b"]}`:                 "deny",
		`{"refuse":["scripts"]}`:           "refuse",
		`{"registries":["https://x.com"]}`: "registries",
		`{"ignore":["["]}`:                 "ignore",
		`{"alow":["x"]}`:                   "alow",
		`{"allow":"x"}`:                    "allow",
	} {
		sdktest.RefusedFor(t, manifest, deps{}, config, attribute)
	}
}
