// Package gaterun judges a range of commits as the desk judges an attempt, without a daemon: which commits
// are meant, by whose rules, and what the record and the report say of it.
//
// It guarantees that rules inside the repository are those of the base and never those of the change; that
// a change to them is said; that a baseline lifts a fail only where every finding was known; that nothing
// waits for a person; and that two runs over the same commits give the same document but for its timing. It
// must not know processes, HTTP, SQL or how git is asked: it declares the small interfaces it needs.
package gaterun

import (
	"encoding/json"
	"strings"
)

// CI is what the environment says of the system that runs this.
type CI struct {
	System  string   // "" for none that is known
	Base    []string // revisions to take as base, the first that is there
	Head    []string // likewise; empty where the system does not say which commit it runs for
	Format  string   // what is written where nothing was asked for
	Summary string   // a file that takes Markdown; "" for none
	Output  string   // a file that takes name=value lines; "" for none
}

// Detect looks at the environment. event reads the file that GitHub describes the event in.
func Detect(env func(string) string, event func(path string) ([]byte, error)) CI {
	switch {
	case env("GITHUB_ACTIONS") == "true":
		return github(env, event)
	case env("GITLAB_CI") == "true":
		return gitlab(env)
	case env("BUILDKITE") == "true":
		return buildkite(env)
	case env("CI") == "woodpecker" || env("CI_SYSTEM_NAME") == "woodpecker":
		return woodpecker(env)
	}
	return CI{Format: "text", Head: []string{"HEAD"}}
}

// known leaves out what is empty and what stands for no commit.
func known(refs ...string) []string {
	var out []string
	for _, r := range refs {
		if strings.Trim(r, "0") != "" && r != "origin/" {
			out = append(out, r)
		}
	}
	return out
}

// branch is where a branch of the remote is found in a CI system's checkout.
func branch(name string) []string {
	if name == "" || name == "false" {
		return nil
	}
	return []string{"refs/remotes/origin/" + name, "refs/heads/" + name}
}

// pushed are the bases of a push to a branch. What was there before judges only on a branch that is looked after,
// the default one or one that the system protects: on any other it is the pusher's own, and the second of two
// pushes would be judged by the rules that the first one brought.
func pushed(on, trunk string, protected bool, before string) []string {
	if protected || on != "" && on == trunk {
		return append(known(before), branch(trunk)...)
	}
	return branch(trunk)
}

// githubEvent is what counts of the description of an event.
type githubEvent struct {
	Before string `json:"before"`
	Pull   struct {
		Base struct {
			SHA string `json:"sha"`
		} `json:"base"`
		Head struct {
			SHA string `json:"sha"`
		} `json:"head"`
	} `json:"pull_request"`
	Group struct {
		Base string `json:"base_sha"`
		Head string `json:"head_sha"`
	} `json:"merge_group"`
	Repository struct {
		Default string `json:"default_branch"`
	} `json:"repository"`
}

func github(env func(string) string, event func(path string) ([]byte, error)) CI {
	ci := CI{System: "GitHub Actions", Format: "text,github", Summary: env("GITHUB_STEP_SUMMARY"), Output: env("GITHUB_OUTPUT")}
	var e githubEvent
	if path := env("GITHUB_EVENT_PATH"); path != "" {
		if data, err := event(path); err == nil && json.Unmarshal(data, &e) != nil {
			e = githubEvent{} // half of an event says nothing
		}
	}
	ci.Head = known(env("GITHUB_SHA"))
	switch env("GITHUB_EVENT_NAME") {
	case "pull_request", "pull_request_review", "pull_request_review_comment":
		ci.Base, ci.Head = append(known(e.Pull.Base.SHA), branch(env("GITHUB_BASE_REF"))...), known(env("GITHUB_SHA"), e.Pull.Head.SHA)
	case "pull_request_target": // GITHUB_SHA is the base here
		ci.Base, ci.Head = append(known(e.Pull.Base.SHA), branch(env("GITHUB_BASE_REF"))...), known(e.Pull.Head.SHA)
	case "merge_group":
		ci.Base, ci.Head = known(e.Group.Base), known(e.Group.Head, env("GITHUB_SHA"))
	case "issue_comment", "workflow_run", "check_run", "check_suite", "status": // GITHUB_SHA is the default branch's, whatever they are about
		ci.Base, ci.Head = branch(e.Repository.Default), nil
	case "push":
		on, _ := strings.CutPrefix(env("GITHUB_REF"), "refs/heads/") // a tag keeps its prefix, and is no branch
		ci.Base = pushed(on, e.Repository.Default, env("GITHUB_REF_PROTECTED") == "true", e.Before)
	default:
		ci.Base = branch(e.Repository.Default)
	}
	return ci
}

func gitlab(env func(string) string) CI {
	ci := CI{System: "GitLab CI", Format: "text", Head: known(env("CI_COMMIT_SHA"))}
	if env("CI_PIPELINE_SOURCE") == "merge_request_event" {
		ci.Base = append(known(env("CI_MERGE_REQUEST_TARGET_BRANCH_SHA")), branch(env("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"))...)
		ci.Base = append(ci.Base, known(env("CI_MERGE_REQUEST_DIFF_BASE_SHA"))...)
		return ci
	}
	ci.Base = pushed(env("CI_COMMIT_BRANCH"), env("CI_DEFAULT_BRANCH"), env("CI_COMMIT_REF_PROTECTED") == "true", env("CI_COMMIT_BEFORE_SHA"))
	return ci
}

func buildkite(env func(string) string) CI {
	ci := CI{System: "Buildkite", Format: "text", Head: known(env("BUILDKITE_COMMIT"))}
	if pr := env("BUILDKITE_PULL_REQUEST"); pr != "" && pr != "false" {
		ci.Base = branch(env("BUILDKITE_PULL_REQUEST_BASE_BRANCH"))
		return ci
	}
	ci.Base = branch(env("BUILDKITE_PIPELINE_DEFAULT_BRANCH"))
	return ci
}

func woodpecker(env func(string) string) CI {
	ci := CI{System: "Woodpecker", Format: "text", Head: known(env("CI_COMMIT_SHA"))}
	if strings.HasPrefix(env("CI_PIPELINE_EVENT"), "pull_request") {
		ci.Base = branch(env("CI_COMMIT_TARGET_BRANCH"))
		return ci
	}
	ci.Base = pushed(env("CI_COMMIT_BRANCH"), env("CI_REPO_DEFAULT_BRANCH"), false, env("CI_PREV_COMMIT_SHA"))
	return ci
}
