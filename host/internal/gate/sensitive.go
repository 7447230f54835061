package gate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/internal/work"
)

// SensitiveName is the name of the built-in gate over sensitive paths. No declared gate may have it.
const SensitiveName = "sensitive-paths"

// Rules of its findings: when the host's tools would execute or obey what is written there.
const (
	onOpen = "executed-on-open" // an editor, shell, agent, git or a CI system runs it unasked
	onUse  = "executed-on-use"  // it runs, or steers an agent, once somebody builds, tests or asks
)

// SensitiveRule is the built-in gate for a policy's mode: "flag" (also ""), "hold" or "deny".
func SensitiveRule(mode, declared string) work.GateRule {
	r := work.GateRule{Name: SensitiveName, Builtin: true, OnFail: "warn", Declared: declared}
	switch mode {
	case "hold":
		r.OnFail = "hold"
	case "deny":
		r.OnFail = "fail"
	}
	return r
}

// Sensitive judges a diff: what is executed on opening fails it, what is executed on use is only noted.
// Under "warn" nothing fails.
func Sensitive(rule work.GateRule, d work.DiffFacts) (work.Result, string, []work.Finding) {
	found := sensitivePaths(d)
	var opened []string
	for _, f := range found {
		if f.Rule == onOpen {
			opened = append(opened, f.Path)
		}
	}
	switch {
	case len(found) == 0:
		return work.ResultPass, "no sensitive path is touched", nil
	case len(opened) == 0 || rule.OnFail == "warn":
		return work.ResultWarn, sensitiveText(len(opened), len(found)-len(opened)), found
	}
	return work.ResultFail, fmt.Sprintf("%s: %s", sensitiveText(len(opened), len(found)-len(opened)), listed(opened)), found
}

// sensitivePaths are the findings, one for each path, in the diff's order.
func sensitivePaths(d work.DiffFacts) []work.Finding {
	var found []work.Finding
	add := func(name, op string) {
		rule, why := classify(name)
		if rule == "" || slices.ContainsFunc(found, func(f work.Finding) bool { return f.Path == name }) {
			return
		}
		severity := "warning"
		if rule == onUse {
			severity = "note"
		}
		found = append(found, work.Finding{Rule: rule, Severity: severity, Path: name, Message: op + ": " + why})
	}
	for _, c := range d.Files {
		add(c.Path, c.Op)
		if c.OldPath != "" {
			add(c.OldPath, c.Op+" from here")
		}
	}
	return found
}

func sensitiveText(opened, used int) string {
	switch {
	case used == 0:
		return paths(opened) + " that tools execute on opening"
	case opened == 0:
		return paths(used) + " that tools execute when somebody builds, tests or asks an agent"
	}
	return fmt.Sprintf("%s that tools execute on opening, %d on use", paths(opened), used)
}

func paths(n int) string {
	if n == 1 {
		return "1 path"
	}
	return fmt.Sprintf("%d paths", n)
}

func listed(names []string) string {
	const most = 5
	text := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// classify says what executes a path, "" for an ordinary one. Case does not matter: on some file systems
// it does not either.
func classify(name string) (rule, why string) {
	lower := strings.ToLower(name)
	for dir := range strings.SplitSeq(path.Dir(lower), "/") {
		if why, ok := directoriesOnOpen[dir]; ok {
			return onOpen, why
		}
	}
	base := path.Base(lower)
	if why, ok := filesOnOpen[base]; ok {
		return onOpen, why
	}
	if why, ok := directoriesOnOpen[base]; ok { // a link or a submodule in the directory's place
		return onOpen, why
	}
	for suffix, why := range suffixesOnOpen {
		if strings.HasSuffix("/"+lower, suffix) {
			return onOpen, why
		}
	}
	for _, part := range []string{"/.github/workflows/", "/.github/actions/", "/.circleci/", "/.buildkite/", "/.woodpecker/", "/.cargo/config"} {
		if strings.Contains("/"+lower, part) {
			return onOpen, pathsOnOpen[part]
		}
	}
	if why, ok := filesOnUse[base]; ok {
		return onUse, why
	}
	return "", ""
}

const (
	ofEditor  = "an editor runs or obeys it"
	ofAgent   = "a coding agent runs or obeys it: hooks, servers, permissions"
	ofGit     = "git runs or obeys it"
	ofShell   = "a shell or a version manager runs it on entering the directory"
	ofCI      = "a CI system runs it, with its secrets"
	ofPackage = "a package manager runs or obeys it"
	ofPython  = "every Python that starts here runs it"
	ofDebug   = "a debugger runs it"
	ofBuild   = "a build or test runs it"
	ofPrompt  = "an agent takes it as instructions"
)

// What tools look for, from their documentation.
var (
	directoriesOnOpen = map[string]string{
		".git": ofGit, ".githooks": ofGit, ".husky": ofGit,
		".vscode": ofEditor, ".idea": ofEditor, ".fleet": ofEditor, ".zed": ofEditor, ".devcontainer": ofEditor, ".vim": ofEditor, ".nvim": ofEditor,
		".claude": ofAgent, ".codex": ofAgent, ".agents": ofAgent, ".cursor": ofAgent, ".gemini": ofAgent, ".qwen": ofAgent, ".opencode": ofAgent,
		".windsurf": ofAgent, ".continue": ofAgent, ".kiro": ofAgent, ".roo": ofAgent, ".copilot": ofAgent, ".amazonq": ofAgent,
		".direnv": ofShell, ".mise": ofShell, ".yarn": ofPackage, ".bundle": ofPackage,
	}
	filesOnOpen = map[string]string{
		".gitattributes": ofGit, ".gitmodules": ofGit, ".gitconfig": ofGit,
		".pre-commit-config.yaml": ofGit, ".pre-commit-hooks.yaml": ofGit, "lefthook.yml": ofGit, ".lefthook.yml": ofGit, "lefthook.yaml": ofGit,
		".mcp.json": ofAgent, "mcp.json": ofAgent, ".aider.conf.yml": ofAgent,
		".envrc": ofShell, ".mise.toml": ofShell, "mise.toml": ofShell, ".tool-versions": ofShell, ".autoenv": ofShell,
		".vimrc": ofEditor, ".exrc": ofEditor, ".nvimrc": ofEditor, ".nvim.lua": ofEditor, ".dir-locals.el": ofEditor, ".dir-locals-2.el": ofEditor,
		".gdbinit": ofDebug, ".lldbinit": ofDebug, ".pdbrc": ofDebug,
		"pyvenv.cfg": ofPython, "sitecustomize.py": ofPython, "usercustomize.py": ofPython,
		".npmrc": ofPackage, ".yarnrc": ofPackage, ".yarnrc.yml": ofPackage, ".pnpmfile.cjs": ofPackage, "pip.conf": ofPackage, ".bazelrc": ofPackage,
		".gitlab-ci.yml": ofCI, "jenkinsfile": ofCI, "azure-pipelines.yml": ofCI, ".travis.yml": ofCI, ".woodpecker.yml": ofCI, "bitbucket-pipelines.yml": ofCI,
	}
	suffixesOnOpen = map[string]string{".code-workspace": ofEditor, ".sublime-project": ofEditor, ".pth": ofPython}
	pathsOnOpen    = map[string]string{
		"/.github/workflows/": ofCI, "/.github/actions/": ofCI, "/.circleci/": ofCI, "/.buildkite/": ofCI, "/.woodpecker/": ofCI, "/.cargo/config": ofPackage,
	}
	filesOnUse = map[string]string{
		"makefile": ofBuild, "gnumakefile": ofBuild, "justfile": ofBuild, "taskfile.yml": ofBuild, "rakefile": ofBuild, "cmakelists.txt": ofBuild,
		"package.json": ofBuild, "conftest.py": ofBuild, "setup.py": ofBuild, "pyproject.toml": ofBuild, "build.rs": ofBuild, "build.gradle": ofBuild,
		"build.gradle.kts": ofBuild, "dockerfile": ofBuild, "docker-compose.yml": ofBuild, "compose.yaml": ofBuild,
		"agents.md": ofPrompt, "claude.md": ofPrompt, "gemini.md": ofPrompt, "qwen.md": ofPrompt, ".cursorrules": ofPrompt, ".windsurfrules": ofPrompt,
	}
)
