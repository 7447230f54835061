package sdktest

import (
	"encoding/json"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

// Judge serves a validator, hands over a config block, and is its verdict over one check. A refusal fails the test.
func Judge(t testing.TB, m sdk.Manifest, impl any, config string, c sdk.Check) sdk.Verdict {
	t.Helper()
	h := Serve(t, m, impl)
	h.Configure(t, json.RawMessage(config))
	v, err := h.Client.Check(t.Context(), c, func(string, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// RefusedFor fails the test unless a config block is refused because of an attribute.
func RefusedFor(t testing.TB, m sdk.Manifest, impl any, config, attribute string) {
	t.Helper()
	refusal := Refused(t, Serve(t, m, impl).Client.Configure(t.Context(), json.RawMessage(config)), wire.CodeConfig)
	if refusal.Config[0].Attribute != attribute {
		t.Errorf("%.80s: %+v, want one for %s", config, refusal.Config[0], attribute)
	}
}

// Tree is a directory of the test's own with files in it, by their paths.
func Tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	plant(t, dir, files)
	return dir
}

// Modified are changes of the content of files.
func Modified(paths ...string) []sdk.Change {
	var all []sdk.Change
	for _, p := range paths {
		all = append(all, sdk.Change{Path: p, Op: "modify", OldMode: "100644", NewMode: "100644"})
	}
	return all
}
