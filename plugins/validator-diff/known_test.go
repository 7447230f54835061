package main

import "testing"

// Paths are first looked at by a part that each name must have; no name may be lost by that.
func TestEveryNameThatASystemObeysIsKnown(t *testing.T) {
	seen := map[string]bool{}
	for name, want := range map[string]string{
		".GitHub/workflows/a.yml": "GitHub Actions", ".github/actions/x/a.js": "GitHub Actions", "tool/action.yaml": "GitHub Actions", ".github/dependabot.yml": "GitHub Actions",
		"CODEOWNERS": "the review rules of the forge", "docs/CODEOWNERS": "the review rules of the forge",
		"sub/.gitlab-ci.yml": "GitLab CI", ".gitlab/ci/a.yml": "GitLab CI", ".forgejo/workflows/a": "Forgejo and Gitea Actions", ".gitea/actions/a": "Forgejo and Gitea Actions",
		".buildkite/p.yml": "Buildkite", ".woodpecker.yaml": "Woodpecker", ".woodpecker/a.yml": "Woodpecker", ".drone.star": "Drone", ".circleci/config.yml": "CircleCI",
		".travis.yml": "Travis CI", "a/Jenkinsfile.release": "Jenkins", "azure-pipelines.yml": "Azure Pipelines", ".azure-pipelines/a": "Azure Pipelines",
		"bitbucket-pipelines.yml": "Bitbucket Pipelines", ".appveyor.yml": "AppVeyor", "a/cloudbuild.json": "Cloud Build", ".tekton/a.yaml": "Tekton", ".cirrus.star": "Cirrus CI",
		".ci/run": "a script of CI", ".husky/pre-commit": "hooks of git", ".githooks/x": "hooks of git", ".pre-commit-hooks.yaml": "hooks of git", "lefthook.toml": "hooks of git",
		"a/drawspan.lock.hcl": "drawspan", "b/gates.hcl": "drawspan", "main.go": "", "github/workflows/a.yml": "", "docs/travis.yml": "", "main.hcl": "",
	} {
		got := ciSystem(name)
		if seen[got] = true; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, o := range obeyed {
		if !seen[o.system] {
			t.Errorf("no name of %s is tried", o.system)
		}
	}
}

func TestEveryKindOfFileHasTheTestsOfItsLanguage(t *testing.T) {
	for path, want := range map[string]string{
		"a/b_test.go": "Go", "testdata/a_test.go": "", "a.test.js": "JavaScript", "a.spec.tsx": "JavaScript", "a.cy.mts": "JavaScript", "__tests__/a.cjs": "JavaScript", "test/x.jsx": "JavaScript",
		"test_a.py": "Python", "a/tests.py": "Python", "tests/a.rs": "Rust", "src/lib.rs": "Rust", "target/a.rs": "", "src/test/java/ATest.java": "Java", "BSpec.kt": "Java", "CTests.groovy": "Java",
		"a.go": "", "a.js": "", "README.md": "", "a_test.go.txt": "",
	} {
		got := ""
		if l := languageOf(path); l != nil {
			got = l.name
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
