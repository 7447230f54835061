// Command drawspan-executor-hello is an executor plugin in forty lines: it enters the step's text into
// the changelog of the repository, under "Unreleased".
package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

var manifest = sdk.Manifest{
	Name: "hello", Version: "0.1.0", Summary: "enters the step's text into the changelog",
	Config: []sdk.Attribute{{Name: "file", Type: sdk.TypeString, Doc: "the changelog (default CHANGELOG.md)"}},
}

func main() { plugin.Serve(manifest, hello{}) }

type hello struct{}

func (hello) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	config := struct{ File string }{"CHANGELOG.md"}
	if err := json.Unmarshal(a.Config, &config); len(a.Config) > 0 && err != nil {
		return sdk.Result{}, err
	}
	tree, err := os.OpenRoot(a.Tree) // no link leads out of it
	if err != nil {
		return sdk.Result{}, err
	}
	defer tree.Close()
	old, err := tree.ReadFile(config.File)
	if err != nil && !os.IsNotExist(err) {
		return sdk.Result{}, err
	}
	const heading = "## Unreleased\n"
	before, after, _ := strings.Cut(string(old), heading)
	entry := "\n- " + strings.ReplaceAll(strings.TrimSpace(a.Instruction), "\n", "\n  ") + "\n"
	if err := tree.WriteFile(config.File, []byte(before+heading+entry+after), 0o644); err != nil {
		return sdk.Result{}, err
	}
	return sdk.Result{Summary: "entered it into " + config.File}, a.Host.Emit(ctx, sdk.Message("hello, changelog"))
}
