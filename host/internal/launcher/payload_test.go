package launcher

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

func TestAProgramIsFoundInThePayloadsPath(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "tool")
	if err := os.WriteFile(tool, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "text"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"X=PATH=/nowhere", "PATH=relative:/does/not/exist:" + dir}
	for name, want := range map[string]string{
		"tool": tool, "/a/path": "/a/path", "./here": "./here", "text": "", "folder": "", "missing": "",
	} {
		got, err := lookUp(name, env)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestProcessesAreSeenInProc(t *testing.T) {
	pids, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	own := false
	for _, pid := range pids {
		own = own || pid == os.Getpid()
	}
	if !own {
		t.Errorf("this process is not among %d", len(pids))
	}
	if r, ok := look(os.Getpid()); !ok || !r.alive() || r.parent != os.Getppid() {
		t.Errorf("this process is not alive: %+v", r)
	}
	if _, ok := look(1 << 30); ok {
		t.Error("a process that cannot exist is seen")
	}
}

func TestOutsideOfItsNamespacesTheLauncherRefuses(t *testing.T) {
	b := &box{spec: &spec.Spec{}, feed: newFeed("program")}
	if err := b.setUp(); err == nil || b.report.Features.Namespaces {
		t.Errorf("set up outside: %v, %+v", err, b.report)
	}
}
