package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestScripts(t *testing.T) {
	testscript.Run(t, params(t, "testdata", nil))
}

// params are what every script is played with. more prepares the script's directory further.
func params(t *testing.T, dir string, more func(*testscript.Env) error) testscript.Params {
	t.Helper()
	if why := confined(); why != "" {
		t.Skip(why)
	}
	prefix, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		Dir: dir, RequireUniqueNames: true, Cmds: commands(),
		Setup: func(env *testscript.Env) error {
			if err := surround(env, prefix); err != nil || more == nil {
				return err
			}
			return more(env)
		},
	}
}

// surround makes a script begin in a home of its own, with its files in it and a path short enough for
// the sockets there, and with an environment that names the built programs and nothing of the caller's.
func surround(env *testscript.Env, prefix string) error {
	home, err := os.MkdirTemp("", "h")
	if err != nil {
		return err
	}
	env.Defer(func() { removeAll(home) })
	if err := os.CopyFS(home, os.DirFS(env.WorkDir)); err != nil {
		return err
	}
	env.Cd = home
	tools, err := toolchain()
	if err != nil {
		return err
	}
	env.Setenv("HOME", home)
	env.Setenv("PATH", strings.Join([]string{filepath.Join(home, ".local", "bin"), filepath.Join(prefix, "bin"), filepath.Join(tools.root, "bin"), "/usr/bin", "/bin"}, ":"))
	// So many seconds is as good as for ever, and no other script on this machine sleeps for as many: with
	// it a script finds its own processes.
	env.Setenv("FOREVER", fmt.Sprintf("86399.%d%s", os.Getpid(), strings.TrimPrefix(filepath.Base(home), "h")))
	env.Setenv("PREFIX", prefix)
	env.Setenv("SOURCE", root())
	env.Setenv("STATE", filepath.Join(home, ".local", "state", "drawspan"))
	for _, pair := range tools.env {
		name, value, _ := strings.Cut(pair, "=")
		env.Setenv(name, value)
	}
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		env.Setenv("GIT_"+who+"_NAME", "Op Erator")
		env.Setenv("GIT_"+who+"_EMAIL", "op@example.test")
	}
	s := &stage{jobs: map[string]*job{}}
	env.Values[stageKey] = s
	env.Defer(s.strike)
	return nil
}

// toolchain is the Go root and, as variables, the caches that this test knows.
var toolchain = sync.OnceValues(func() (goTools, error) {
	names := []string{"GOROOT", "GOCACHE", "GOMODCACHE"}
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return goTools{}, err
	}
	values := strings.Split(strings.TrimSpace(string(out)), "\n")
	tools := goTools{root: values[0], env: []string{"GOTOOLCHAIN=local", "GOPROXY=off", "GOSUMDB=off"}}
	for i := 1; i < len(names); i++ {
		if err := os.MkdirAll(values[i], 0o755); err != nil {
			return goTools{}, err
		}
		tools.env = append(tools.env, names[i]+"="+values[i])
	}
	return tools, nil
})

type goTools struct {
	root string
	env  []string
}

// removeAll removes a home, in which read-only directories may be.
func removeAll(dir string) {
	_ = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(name, 0o700)
		}
		return nil
	}) // what cannot be opened cannot be removed below either
	_ = os.RemoveAll(dir) // the system cleans its temporary directory too
}
