package sandbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

func TestOnlyWhatWasLookedAtIsShown(t *testing.T) {
	s := newSite(t)
	path := filepath.Join(s.home, "data/file")
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	r := sandbox.Request{Policy: &work.SandboxPolicy{Level: "guarded", Backend: spec.Native}, Path: "/bin/true",
		Binds: []sandbox.Bind{{Host: path, Mode: "ro", Label: "program agent", Dev: uint64(st.Dev), Ino: st.Ino}}}
	mounts, err := s.box.PlanMounts(t.Context(), r)
	if err != nil || !slices.ContainsFunc(mounts, func(m spec.Mount) bool { return m.Host == path && m.Inside == path && m.Mode == spec.ReadOnly }) {
		t.Fatalf("%v: %+v", err, mounts)
	}
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.box.PlanMounts(t.Context(), r); !fault.Is(err, fault.ProgramChanged) {
		t.Errorf("another file at the same place is shown: %v", err)
	}
}

func TestADeclaredToolchainComesBeforeWhatAProgramNeeds(t *testing.T) {
	policy := &work.SandboxPolicy{Toolchains: []work.Toolchain{{Path: []string{"/go/bin"}}}}
	env := sandbox.Environ(sandbox.Request{Policy: policy, Search: []string{"/node/bin"}, Env: []string{"PATH=/usr/bin"}})
	if !slices.Contains(env, "PATH=/go/bin:/node/bin:/usr/bin") {
		t.Errorf("%q", env)
	}
}
