package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tool"
)

//go:embed profiles/*.json
var files embed.FS

// profile is one agent: data, in the form of profiles/*.json. Texts may hold {home}, {tree}, {model}, and
// those of a wire {url} and {key} of the gateway.
type profile struct {
	Name        string            `json:"name"`
	Program     string            `json:"program"`      // as it is called in a PATH
	Native      string            `json:"native"`       // pattern of the program's binary, from the outermost node_modules; its launcher starts it again
	Tested      string            `json:"tested"`       // versions
	Install     string            `json:"install"`      // command line
	Args        []string          `json:"args"`         // make it speak the protocol
	VersionArgs []string          `json:"version_args"` // make it say its version; none where only its package says it
	Own         []string          `json:"own"`          // beginnings of its variables, which it may inherit
	Env         map[string]string `json:"env"`
	Files       map[string]string `json:"files"` // below the home
	Model       string            `json:"model"` // where a gateway is used and the operator names none
	ModelArgs   []string          `json:"model_args"`
	ModelEnv    map[string]string `json:"model_env"`
	Wires       map[string]wiring `json:"wires"` // how it is pointed at a gateway
	Auth        string            `json:"auth"`
	Mode        string            `json:"mode"`
	Guard       guard             `json:"guard"`
	// TitleIsCommand says that the title of a tool of kind execute is its command line.
	TitleIsCommand bool `json:"title_is_command"`
	// NoUsageIsFailure says that a turn for which no usage is told had no answer of a model: what it says
	// then is the agent's error, which it calls a good end all the same. ErrorText is what else it says so.
	NoUsageIsFailure bool     `json:"no_usage_is_failure"`
	ErrorText        string   `json:"error_text"`
	State            []string `json:"state"`
	Usage            usageMap `json:"usage"`
}

// wiring is what a wire adds to a profile.
type wiring struct {
	Args  []string          `json:"args"`
	Env   map[string]string `json:"env"`
	Files map[string]string `json:"files"`
	Auth  string            `json:"auth"`
}

// guard keeps an agent from running what a repository configures for it.
type guard struct {
	Args   []string          `json:"args"`
	Env    map[string]string `json:"env"`
	Files  map[string]string `json:"files"`
	Meta   map[string]any    `json:"meta"`   // _meta of session/new
	Refuse []string          `json:"refuse"` // paths of the tree with which it is not started: there is no switch
}

// shipped are the profiles of the plugin, by name.
func shipped() []profile {
	names, err := files.ReadDir("profiles")
	if err != nil {
		panic(err) // it is embedded
	}
	var all []profile
	for _, n := range names {
		text, err := files.ReadFile(path.Join("profiles", n.Name()))
		if err != nil {
			panic(err) // as above
		}
		p, err := readProfile(text)
		if err != nil {
			panic(fmt.Sprintf("profile %s: %v", n.Name(), err)) // a test reads them all
		}
		all = append(all, p)
	}
	return all
}

func readProfile(text []byte) (profile, error) {
	var p profile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, err
	}
	return p, p.check()
}

// check says what is wrong with a profile, as a *sdk.ConfigError.
func (p profile) check() error {
	for _, args := range [][]string{p.Args, p.ModelArgs} {
		for i, a := range args {
			if strings.ContainsRune(a, 0) {
				return wrong("args", "argument %d holds a zero byte", i+1)
			}
		}
	}
	if err := tool.CheckEnv("env", p.Env); err != nil {
		return err
	}
	for wire := range p.Wires {
		if !slices.Contains(sdk.Wires(), wire) {
			return wrong("wire", "%q is none of %s", wire, strings.Join(sdk.Wires(), ", "))
		}
	}
	if _, err := regexp.Compile(p.ErrorText); err != nil {
		return wrong("error_text", "%v", err)
	}
	if err := p.checkPlaces(); err != nil {
		return err
	}
	return p.Usage.check()
}

// checkPlaces looks at the names of files.
func (p profile) checkPlaces() error {
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		if !local(name) {
			return wrong("files", "%q is not a path below the agent's home", name)
		}
	}
	for _, pattern := range p.State {
		if _, err := path.Match(pattern, ""); err != nil || !local(pattern) {
			return wrong("state", "%q is not a pattern below the agent's home", pattern)
		}
	}
	for _, name := range p.Guard.Refuse {
		if !local(name) {
			return wrong("refuse", "%q is not a path below the tree", name)
		}
	}
	return nil
}

func local(name string) bool {
	return name != "" && !path.IsAbs(name) && path.Clean(name) == name && name != ".." &&
		!strings.HasPrefix(name, "../") && !strings.ContainsRune(name, 0)
}

func wrong(attribute, format string, args ...any) error {
	return &sdk.ConfigError{Attribute: attribute, Message: fmt.Sprintf(format, args...)}
}

// uses reports whether a text of the profile holds a placeholder.
func (p profile) uses(placeholder string) bool {
	texts := slices.Concat(p.Args, p.ModelArgs, slices.Collect(maps.Values(p.Env)), slices.Collect(maps.Values(p.ModelEnv)), slices.Collect(maps.Values(p.Files)))
	for _, w := range p.Wires {
		texts = slices.Concat(texts, w.Args, slices.Collect(maps.Values(w.Env)), slices.Collect(maps.Values(w.Files)))
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, placeholder) })
}

// usageMap says where an agent tells what it used, and under which names.
type usageMap struct {
	// At is the place of the object: a path from "response", the answer to session/prompt, or from "update",
	// each session/update; those of updates are added up.
	At          string `json:"at"`
	Input       string `json:"input"`
	Output      string `json:"output"`
	CachedRead  string `json:"cached_read"`
	CachedWrite string `json:"cached_write"`
	Reasoning   string `json:"reasoning"`
	Cached      string `json:"cached"`   // "included" or "excluded" in the input
	Thoughts    string `json:"thoughts"` // "included" or "excluded" in the output
	Scope       string `json:"scope"`    // of what the response says: call, turn or session
}

var (
	placeForm  = regexp.MustCompile(`^(response|update)(\.[A-Za-z_][A-Za-z0-9_]{0,63}){1,5}$`)
	memberForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
)

func (u usageMap) check() error {
	if u.At == "" {
		if u != (usageMap{}) {
			return wrong("usage", "names members and does not say where they are: set at")
		}
		return nil
	}
	if !placeForm.MatchString(u.At) {
		return wrong("usage", "at = %q is not a path that begins with \"response.\" or \"update.\"", u.At)
	}
	for key, name := range map[string]string{
		"input": u.Input, "output": u.Output, "cached_read": u.CachedRead, "cached_write": u.CachedWrite, "reasoning": u.Reasoning,
	} {
		required := key == "input" || key == "output"
		if (name != "" || required) && !memberForm.MatchString(name) {
			return wrong("usage", "%s = %q is not the name of a member", key, name)
		}
	}
	for key, choice := range map[string]struct {
		value   string
		allowed []string
	}{
		"cached":   {u.Cached, []string{"", "included", "excluded"}},
		"thoughts": {u.Thoughts, []string{"", "included", "excluded"}},
		"scope":    {u.Scope, []string{"", "call", "turn", "session"}},
	} {
		if !slices.Contains(choice.allowed, choice.value) {
			return wrong("usage", "%s = %q is none of %s", key, choice.value, strings.Join(choice.allowed[1:], ", "))
		}
	}
	return nil
}

// usageOf reads the map of a config block.
func usageOf(config map[string]string) (usageMap, error) {
	var u usageMap
	text, err := json.Marshal(config)
	if err != nil {
		return u, wrong("usage", "%v", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&u); err != nil {
		return u, wrong("usage", "holds a key that is none of at, input, output, cached_read, cached_write, reasoning, cached, thoughts, scope")
	}
	return u, nil
}
