package main

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
)

// obeyed are files that a CI system, or a hook on the way to one, obeys. Case does not matter: on some file systems
// .GitHub is .github.
var obeyed = []struct {
	system string
	parts  []string // each of the names has one of them: most paths have none
	names  *regexp.Regexp
}{
	{"GitHub Actions", []string{".github/", "action.y"}, regexp.MustCompile(`^\.github/(workflows|actions)/|^(.*/)?action\.ya?ml$|^\.github/dependabot\.ya?ml$`)},
	{"the review rules of the forge", []string{"codeowners"}, regexp.MustCompile(`^(\.github/|\.gitlab/|docs/)?codeowners$`)},
	{"GitLab CI", []string{".gitlab"}, regexp.MustCompile(`^(.*/)?\.gitlab-ci[^/]*\.ya?ml$|^\.gitlab/ci/`)},
	{"Forgejo and Gitea Actions", []string{".forgejo/", ".gitea/"}, regexp.MustCompile(`^\.(forgejo|gitea)/(workflows|actions)/`)},
	{"Buildkite", []string{".buildkite/"}, regexp.MustCompile(`^\.buildkite/`)},
	{"Woodpecker", []string{".woodpecker"}, regexp.MustCompile(`^\.woodpecker/|^\.woodpecker\.ya?ml$`)},
	{"Drone", []string{".drone."}, regexp.MustCompile(`^\.drone\.(ya?ml|jsonnet|star)$`)},
	{"CircleCI", []string{".circleci/"}, regexp.MustCompile(`^\.circleci/`)},
	{"Travis CI", []string{".travis."}, regexp.MustCompile(`^\.travis\.ya?ml$`)},
	{"Jenkins", []string{"jenkinsfile"}, regexp.MustCompile(`^(.*/)?jenkinsfile[^/]*$`)},
	{"Azure Pipelines", []string{"azure-pipelines"}, regexp.MustCompile(`^\.?azure-pipelines([^/]*\.ya?ml$|/)`)},
	{"Bitbucket Pipelines", []string{"bitbucket-pipelines"}, regexp.MustCompile(`^bitbucket-pipelines\.ya?ml$`)},
	{"AppVeyor", []string{"appveyor"}, regexp.MustCompile(`^\.?appveyor\.ya?ml$`)},
	{"Cloud Build", []string{"cloudbuild"}, regexp.MustCompile(`^(.*/)?cloudbuild\.(ya?ml|json)$`)},
	{"Tekton", []string{".tekton/"}, regexp.MustCompile(`^\.tekton/`)},
	{"Cirrus CI", []string{".cirrus."}, regexp.MustCompile(`^\.cirrus\.(ya?ml|star)$`)},
	{"a script of CI", []string{".ci/"}, regexp.MustCompile(`^\.ci/`)},
	{"hooks of git", []string{".husky/", ".githooks/", ".pre-commit-", "lefthook"}, regexp.MustCompile(`^\.(husky|githooks)/|^\.pre-commit-(config|hooks)\.ya?ml$|^\.?lefthook\.(ya?ml|toml|json)$`)},
	{"drawspan", []string{".hcl"}, regexp.MustCompile(`^(.*/)?drawspan(\.lock)?\.hcl$|^(.*/)?gates\.hcl$`)},
}

// ciSystem names what obeys a file, "" for nothing.
func ciSystem(name string) string {
	folded := strings.ToLower(name)
	for _, o := range obeyed {
		if slices.ContainsFunc(o.parts, func(p string) bool { return strings.Contains(folded, p) }) && o.names.MatchString(folded) {
			return o.system
		}
	}
	return ""
}

// pair is a lock file with the files that it follows.
type pair struct {
	lock      string
	manifests []string // globs of names
	below     bool     // they may also lie below the lock file's directory
}

// locked are the lock files. A manifest's change may change its lock file; a lock file that changes alone has been
// edited, or moves dependencies that nobody asked for.
var locked = []pair{
	{"go.sum", []string{"go.mod"}, false},
	{"go.work.sum", []string{"go.work", "go.mod"}, true},
	{"package-lock.json", []string{"package.json"}, true},
	{"npm-shrinkwrap.json", []string{"package.json"}, true},
	{"yarn.lock", []string{"package.json", ".yarnrc.yml"}, true},
	{"pnpm-lock.yaml", []string{"package.json", "pnpm-workspace.yaml"}, true},
	{"bun.lock", []string{"package.json"}, true},
	{"bun.lockb", []string{"package.json"}, true},
	{"deno.lock", []string{"deno.json", "deno.jsonc", "package.json"}, true},
	{"Cargo.lock", []string{"Cargo.toml"}, true},
	{"poetry.lock", []string{"pyproject.toml"}, false},
	{"uv.lock", []string{"pyproject.toml"}, true},
	{"pdm.lock", []string{"pyproject.toml"}, false},
	{"Pipfile.lock", []string{"Pipfile"}, false},
	{"Gemfile.lock", []string{"Gemfile", "*.gemspec"}, false},
	{"composer.lock", []string{"composer.json"}, false},
	{"mix.lock", []string{"mix.exs"}, true},
	{"pubspec.lock", []string{"pubspec.yaml"}, false},
	{"Podfile.lock", []string{"Podfile"}, false},
	{"Package.resolved", []string{"Package.swift"}, false},
	{"packages.lock.json", []string{"*.csproj", "*.fsproj", "*.vbproj", "Directory.Packages.props"}, false},
	{"gradle.lockfile", []string{"build.gradle", "build.gradle.kts", "libs.versions.toml"}, true},
	{"flake.lock", []string{"flake.nix"}, false},
	{".terraform.lock.hcl", []string{"*.tf"}, false},
}

// locks judges the lock files of the diff.
func (j *judge) locks() {
	for _, c := range j.changes {
		i := slices.IndexFunc(locked, func(p pair) bool { return p.lock == path.Base(c.Path) })
		if i < 0 || c.Op == "mode" || j.off(ruleLock, c.Path) {
			continue
		}
		if !slices.ContainsFunc(j.changes, func(m sdk.Change) bool { return locked[i].follows(c.Path, m) }) {
			j.add(ruleLock, place{path: c.Path}, "changes although no %s does", strings.Join(locked[i].manifests, " or "))
		}
	}
}

// follows tells whether a lock file at a path may change because of another change.
func (p pair) follows(lock string, m sdk.Change) bool {
	dir, of := path.Dir(lock), path.Dir(m.Path)
	if m.Op == "mode" || of != dir && !(p.below && (dir == "." || strings.HasPrefix(of, dir+"/"))) {
		return false
	}
	return slices.ContainsFunc(p.manifests, func(glob string) bool {
		ok, err := path.Match(glob, path.Base(m.Path))
		return ok && err == nil
	})
}

// sources are the endings of files that are text by what they are for.
var sources = regexp.MustCompile(`(?i)\.(go|[cm]?[jt]sx?|py|pyi|rs|java|kt|kts|c|h|cc|cpp|hpp|cs|rb|php|swift|scala|sh|bash|zsh|pl|lua|sql|ya?ml|json|toml|hcl|tf|xml|html?|css|scss|md|txt|proto|gradle)$|(^|/)(makefile|dockerfile)$`)

func source(name string) bool { return sources.MatchString(name) }
