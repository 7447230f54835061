package main

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
)

const customProfile = "custom"

// settings are the config block.
type settings struct {
	Profile          string            `json:"profile"`
	Model            string            `json:"model"`
	Mode             string            `json:"mode"`
	Env              map[string]string `json:"env"`
	RepositoryConfig bool              `json:"repository_config"`

	Args   []string          `json:"args"`
	Files  map[string]string `json:"files"`
	Wire   string            `json:"wire"`
	Auth   string            `json:"auth_method"`
	Usage  map[string]string `json:"usage"`
	State  []string          `json:"state"`
	Refuse []string          `json:"refuse"`
}

var modelForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@+()\[\]|-]{0,127}$`)

// parse makes a profile of a config block: a shipped one with what the block adds, or the block's own.
func parse(config json.RawMessage) (settings, profile, error) {
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		return s, profile{}, wrong("", "cannot be read: %v", err)
	}
	if s.Model != "" && !modelForm.MatchString(s.Model) {
		return s, profile{}, wrong("model", "%q is not the name of a model", s.Model)
	}
	if len(s.Mode) > sdk.MaxName || len(s.Auth) > sdk.MaxName {
		return s, profile{}, wrong("mode", "is longer than %d bytes", sdk.MaxName)
	}
	p, err := s.profile()
	if err != nil {
		return s, profile{}, err
	}
	p.Env = maps.Clone(p.Env)
	if p.Env == nil {
		p.Env = map[string]string{}
	}
	maps.Copy(p.Env, s.Env)
	if s.Mode != "" {
		p.Mode = s.Mode
	}
	if s.RepositoryConfig {
		p.Guard = guard{}
	}
	if s.Model != "" && !p.uses("{model}") {
		return s, profile{}, wrong("model", "nothing in the profile says {model}: put it into args, env or files")
	}
	return s, p, p.check()
}

func (s settings) profile() (profile, error) {
	if s.Profile == customProfile {
		return s.custom()
	}
	for attribute, set := range map[string]bool{
		"args": len(s.Args) > 0, "files": len(s.Files) > 0, "wire": s.Wire != "", "auth_method": s.Auth != "",
		"usage": len(s.Usage) > 0, "state": len(s.State) > 0, "refuse": len(s.Refuse) > 0,
	} {
		if set {
			return profile{}, wrong(attribute, "is the profile's own: it can be set where profile is %q", customProfile)
		}
	}
	all := shipped()
	var names []string
	for _, p := range all {
		if p.Name == s.Profile {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return profile{}, wrong("profile", "%q is none of %s, %s", s.Profile, strings.Join(names, ", "), customProfile)
}

func (s settings) custom() (profile, error) {
	usage, err := usageOf(s.Usage)
	if err != nil {
		return profile{}, err
	}
	p := profile{
		Name: customProfile, Args: s.Args, Env: s.Env, Files: s.Files, Auth: s.Auth, State: s.State, Guard: guard{Refuse: s.Refuse}, Usage: usage,
		VersionArgs: []string{"--version"}, Wires: map[string]wiring{},
	}
	if s.Wire != "" {
		if !slices.Contains(sdk.Wires(), s.Wire) {
			return profile{}, wrong("wire", "%q is none of %s", s.Wire, strings.Join(sdk.Wires(), ", "))
		}
		p.Wires[s.Wire] = wiring{}
	}
	if s.Wire == "" && (p.uses("{url}") || p.uses("{key}")) {
		return profile{}, wrong("wire", "{url} and {key} are a gateway's: say which wire the agent speaks")
	}
	return p, nil
}
