package sdktest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

// ValidatorSuite is what the contract suite needs to know of a validator.
type ValidatorSuite struct {
	Manifest sdk.Manifest
	New      func() any // a fresh plugin; each case has its own
	Config   json.RawMessage
	Others   []json.RawMessage // of a resident one: what other gates could ask it with, also what it refuses
	Files    map[string]string // the tree
	Base     map[string]string // the base's tree, with FeedBase
	Patch    string            // with FeedPatch
	Facts    *sdk.Facts        // with FeedFacts
	Changes  []sdk.Change
	Paths    []sdk.Paths
	Want     sdk.Outcome
}

// RunValidator holds a validator to its contract.
func RunValidator(t *testing.T, s ValidatorSuite) {
	ignore := func(string, []byte) error { return nil }
	start := func(c *wire.Client) error {
		_, err := c.Check(t.Context(), s.check(t, t.TempDir()), ignore)
		return err
	}
	base{"validator", s.Manifest, s.New, s.Config, start}.run(t)
	t.Run("the same tree gets the same verdict, and stays as it was", func(t *testing.T) {
		tree := t.TempDir()
		check := s.check(t, tree)
		before := snapshot(t, tree)
		h := Serve(t, s.Manifest, s.New())
		h.Configure(t, s.Config)
		first, err := h.Client.Check(t.Context(), check, ignore)
		if err != nil {
			t.Fatal(err)
		}
		second, err := h.Client.Check(t.Context(), check, ignore)
		if err != nil {
			t.Fatal(err)
		}
		if first.Outcome != s.Want {
			t.Errorf("verdict = %+v, want %s", first, s.Want)
		}
		if first.Outcome != second.Outcome || !reflect.DeepEqual(first.Findings, second.Findings) {
			t.Errorf("verdicts differ:\n%+v\n%+v", first, second)
		}
		if after := snapshot(t, tree); !reflect.DeepEqual(before, after) {
			t.Errorf("the tree changed:\n%v\n%v", before, after)
		}
	})
	t.Run("a check that the host leaves is no verdict", func(t *testing.T) {
		h := Serve(t, s.Manifest, s.New())
		h.Configure(t, s.Config)
		enough := errors.New("enough")
		verdict, err := h.Client.Check(t.Context(), s.check(t, t.TempDir()), func(string, []byte) error { return enough })
		if err != nil && !errors.Is(err, enough) {
			t.Fatal(err)
		}
		if errors.Is(err, enough) && verdict.Outcome == sdk.Pass {
			t.Errorf("verdict = %+v beside an error", verdict)
		}
	})
	if s.Manifest.Resident {
		t.Run("what it was asked before is in no verdict", s.resident)
	}
}

func (s ValidatorSuite) check(t *testing.T, tree string) sdk.Check {
	t.Helper()
	plant(t, tree, s.Files)
	c := sdk.Check{AttemptID: attemptID, Gate: "contract", Tree: tree, Changes: s.Changes, Paths: s.Paths, Facts: s.Facts}
	if slices.Contains(s.Manifest.Feeds, sdk.FeedBase) {
		c.BaseTree = t.TempDir()
		plant(t, c.BaseTree, s.Base)
	}
	if s.Patch != "" {
		c.Patch = []byte(s.Patch)
	}
	return c
}

// plant writes files below a directory.
func plant(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func snapshot(t *testing.T, tree string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = d.Type().String() + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
