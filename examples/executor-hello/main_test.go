package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

func TestContract(t *testing.T) {
	sdktest.RunExecutor(t, sdktest.ExecutorSuite{
		Manifest: manifest, New: func() any { return hello{} }, Config: []byte(`{}`), Text: "say hello",
	})
}

func TestEntriesStandUnderTheirHeadingNewestFirst(t *testing.T) {
	tree := t.TempDir()
	path := filepath.Join(tree, "CHANGES")
	if err := os.WriteFile(path, []byte("# Changes\n\n## Unreleased\n\n- old\n\n## 1.0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h := sdktest.Serve(t, manifest, hello{})
		h.Configure(t, []byte(`{"file":"CHANGES"}`))
		if r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Tree: tree, Instruction: "new\nand long\n"}); err != nil || r.Failed {
			t.Fatalf("result = %+v, %v", r, err)
		}
	}
	got, err := os.ReadFile(path)
	want := "# Changes\n\n## Unreleased\n\n- new\n  and long\n\n- new\n  and long\n\n- old\n\n## 1.0\n"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}

func TestALinkLeadsNowhere(t *testing.T) {
	tree, outside := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.Symlink(outside, filepath.Join(tree, "CHANGELOG.md")); err != nil {
		t.Fatal(err)
	}
	h := sdktest.Serve(t, manifest, hello{})
	h.Configure(t, nil)
	r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Tree: tree, Instruction: "x"})
	if err != nil || !r.Failed {
		t.Errorf("result = %+v, %v, want a failure", r, err)
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("something was written outside the tree")
	}
}
