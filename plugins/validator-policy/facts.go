package main

import (
	"maps"
	"path"
	"reflect"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"github.com/drawspan/drawspan/sdk"
)

// The names that a rule can use. Their fields are those of the facts as the SDK writes them in JSON.
const (
	nameDiff     = "diff"
	nameGates    = "gates"
	nameExecutor = "executor"
	nameUsage    = "usage"
	nameClaims   = "claims"
)

func names() []string { return []string{nameDiff, nameGates, nameExecutor, nameUsage, nameClaims} }

// Diff is what a rule sees of the diff: the numbers, and the changes themselves.
type Diff struct {
	Files      int      `json:"files"`
	Lines      int      `json:"lines"`
	Insertions int      `json:"insertions"`
	Deletions  int      `json:"deletions"`
	Binary     int      `json:"binary"`
	Added      int      `json:"added"`
	Modified   int      `json:"modified"`
	Deleted    int      `json:"deleted"`
	Modes      int      `json:"modes"`
	Links      int      `json:"links"`
	Bytes      int64    `json:"bytes"`
	Largest    int64    `json:"largest"`
	Paths      []string `json:"paths"`
	Changes    []Change `json:"changes"`
}

// Change is what a rule sees of one changed path.
type Change struct {
	Path    string `json:"path"`
	OldPath string `json:"old_path"`
	Op      string `json:"op"`
	OldMode string `json:"old_mode"`
	NewMode string `json:"new_mode"`
	Size    int64  `json:"size"`
	Binary  bool   `json:"binary"`
	Added   int    `json:"added"`
	Deleted int    `json:"deleted"`
	Link    string `json:"link"`
}

// facts declares the names with their types, so that a field that does not exist is refused before anything is
// judged. Usage and claims are null where nothing was used and nobody said anything.
func facts() []cel.EnvOption {
	object := func(v any) *cel.Type { // CEL names a type by the last part of its package's path
		t := reflect.TypeOf(v)
		return cel.ObjectType(path.Base(t.PkgPath()) + "." + t.Name())
	}
	return []cel.EnvOption{
		ext.NativeTypes(reflect.TypeFor[Diff](), reflect.TypeFor[Change](), reflect.TypeFor[sdk.GateFact](),
			reflect.TypeFor[sdk.ExecutorFact](), reflect.TypeFor[sdk.Usage](), reflect.TypeFor[sdk.Claims](),
			ext.ParseStructTag("json")),
		cel.Variable(nameDiff, object(Diff{})),
		cel.Variable(nameGates, cel.MapType(cel.StringType, object(sdk.GateFact{}))),
		cel.Variable(nameExecutor, object(sdk.ExecutorFact{})),
		cel.Variable(nameUsage, object(sdk.Usage{})),
		cel.Variable(nameClaims, object(sdk.Claims{})),
	}
}

// activation are the facts of one check.
func activation(c *sdk.Check, adapter types.Adapter) map[string]any {
	f, d := c.Facts, c.Facts.Diff
	diff := &Diff{
		Files: d.Files, Lines: d.Lines, Insertions: d.Insertions, Deletions: d.Deletions, Binary: d.Binary, Added: d.Added,
		Modified: d.Modified, Deleted: d.Deleted, Modes: d.Modes, Links: d.Links, Bytes: d.Bytes, Largest: d.Largest,
	}
	for _, x := range c.Changes {
		diff.Paths = append(diff.Paths, x.Path)
		diff.Changes = append(diff.Changes, Change(x))
	}
	gates := ordered{Mapper: types.NewDynamicMap(adapter, f.Gates), adapter: adapter, keys: slices.Sorted(maps.Keys(f.Gates))}
	all := map[string]any{nameDiff: diff, nameGates: gates, nameExecutor: &f.Executor, nameUsage: nil, nameClaims: nil}
	if f.Usage != nil {
		all[nameUsage] = f.Usage
	}
	if f.Claims != nil {
		all[nameClaims] = f.Claims
	}
	return all
}

// ordered is a map that is gone over in the order of its keys: the same facts get the same verdict.
type ordered struct {
	traits.Mapper
	adapter types.Adapter
	keys    []string
}

// Iterator goes over the keys.
func (o ordered) Iterator() traits.Iterator {
	return types.NewStringList(o.adapter, o.keys).Iterator()
}
