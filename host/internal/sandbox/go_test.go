package sandbox_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// goToolchain is what the toolchain "go" preset resolves to on this machine.
func goToolchain(t *testing.T) work.Toolchain {
	t.Helper()
	program, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go toolchain in PATH")
	}
	out, err := exec.CommandContext(deadline(t), program, "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	v := strings.Split(strings.TrimSpace(string(out)), "\n")
	root, modules, cache := v[0], v[1], v[2]
	chain := work.Toolchain{
		Name: "go", Read: []string{root}, Overlay: []string{cache}, Path: []string{filepath.Join(root, "bin")},
		Env: map[string]string{
			"GOROOT": root, "GOMODCACHE": modules, "GOCACHE": cache, "GOFLAGS": "-buildvcs=false -mod=mod",
			"GOTOOLCHAIN": "local", "GOPROXY": "off", "GONOSUMDB": "*",
		},
	}
	if exists(modules) {
		chain.Read = append(chain.Read, modules)
	}
	return chain
}

func TestTheGoToolchainWorksInside(t *testing.T) {
	f := newFixture(t)
	policy := isolated()
	policy.Toolchains = []work.Toolchain{goToolchain(t)}
	write(t, filepath.Join(f.tree, "go.mod"), "module example.test/tiny\n\ngo 1.24\n")
	write(t, filepath.Join(f.tree, "tiny.go"), "package tiny\n\n// Add adds.\nfunc Add(a, b int) int { return a + b }\n")
	write(t, filepath.Join(f.tree, "tiny_test.go"), `package tiny

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
)

func TestAdd(t *testing.T) {
	if Add(1, 2) != 3 {
		t.Fatal("wrong")
	}
}

func TestHTTPOverLoopback(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	defer s.Close()
	r, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
}

func TestUnixSocketTempFileAndChild(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(t.TempDir()+"/f", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("sh", "-c", "exit 0").Run(); err != nil {
		t.Fatal(err)
	}
}
`)
	for _, mode := range []string{sandbox.TreeWritable, sandbox.TreeOverlay} {
		r := sandbox.Request{Policy: policy, Tree: sandbox.Tree{Path: f.tree, Mode: mode}}
		text, end := f.script(r, "go vet ./... && go test -count=1 ./...")
		if end.Code != 0 || !strings.Contains(text, "ok  \texample.test/tiny") {
			t.Errorf("%s: exit %+v:\n%s", mode, end, text)
		}
	}
}
