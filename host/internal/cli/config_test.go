package cli

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
)

// write puts a file into the working directory of an invocation.
func (e *terminal) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(e.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// realDir is a temporary directory without a symlink in its path, as the configuration wants them.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestValidateNeedsNoDaemon(t *testing.T) {
	good := "version = 1\n\ndaemon {\n  state_dir = \"" + realDir(t) + "\"\n}\n"
	cases := []struct {
		name, file string
		args       []string
		want       int
		out, err   string
	}{
		{"valid", good, []string{"validate"}, 0, "valid", ""},
		{"invalid", "version = 1\nbogus {}\n", []string{"validate"}, 3, "", "bogus"},
		{"named file", "version = 1\nbogus {}\n", []string{"validate", "drawspan.hcl"}, 3, "", "drawspan.hcl:2"},
		{"none", "", []string{"validate"}, 3, "", "no configuration found"},
		{"a plugin that is not found is no matter of validation", good, []string{"validate", "--strict"}, 0, "valid", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := newTerminal(t, nil)
			if c.file != "" {
				e.write(t, "drawspan.hcl", c.file)
			}
			if got := e.run(t, c.args...); got != c.want {
				t.Errorf("exit %d, want %d: %s%s", got, c.want, e.out.String(), e.err.String())
			}
			if !strings.Contains(e.out.String(), c.out) || !strings.Contains(e.err.String(), c.err) {
				t.Errorf("said %q and %q", e.out.String(), e.err.String())
			}
		})
	}
}

func TestValidateJSONIsTheTerraformShape(t *testing.T) {
	e := newTerminal(t, nil)
	e.write(t, "drawspan.hcl", "version = 1\nbogus {}\n")
	// As users of HCL tools type it.
	if got := e.run(t, "validate", "-json"); got != 3 {
		t.Errorf("exit %d", got)
	}
	var doc struct {
		Version string `json:"format_version"`
		Valid   bool   `json:"valid"`
		Errors  int    `json:"error_count"`
	}
	if err := json.Unmarshal([]byte(e.out.String()), &doc); err != nil || doc.Valid || doc.Errors != 1 || doc.Version == "" {
		t.Errorf("%v in %s", err, e.out.String())
	}
}

func TestFmt(t *testing.T) {
	const crooked, straight = "version=1\n\ndaemon{\n max_parallel   = 2\n}\n", "version = 1\n\ndaemon {\n  max_parallel = 2\n}\n"
	t.Run("rewrites what is crooked and names it", func(t *testing.T) {
		e := newTerminal(t, nil)
		a, sub := e.write(t, "a.hcl", crooked), e.write(t, "sub/c.hcl", crooked)
		e.write(t, "b.hcl", straight)
		if got := e.run(t, "fmt"); got != 0 || e.out.String() != "a.hcl\n" {
			t.Errorf("exit %d, said %q, %s", got, e.out.String(), e.err.String())
		}
		if b, err := os.ReadFile(a); err != nil || string(b) != straight {
			t.Errorf("%v: %q", err, b)
		}
		if b, err := os.ReadFile(sub); err != nil || string(b) != crooked {
			t.Errorf("without --recursive the file below changed: %v: %q", err, b)
		}
		if got := e.run(t, "fmt", "-recursive"); got != 0 {
			t.Errorf("exit %d", got)
		}
		if b, err := os.ReadFile(sub); err != nil || string(b) != straight {
			t.Errorf("%v: %q", err, b)
		}
	})
	t.Run("check changes nothing", func(t *testing.T) {
		e := newTerminal(t, nil)
		a := e.write(t, "a.hcl", crooked)
		if got := e.run(t, "fmt", "-check", "-diff"); got != 3 {
			t.Errorf("exit %d, want 3", got)
		}
		golden(t, "fmt_diff", e.out.String())
		if b, err := os.ReadFile(a); err != nil || string(b) != crooked {
			t.Errorf("%v: %q", err, b)
		}
	})
	t.Run("standard input", func(t *testing.T) {
		e := newTerminal(t, nil)
		e.in = crooked
		if got := e.run(t, "fmt", "-"); got != 0 || e.out.String() != straight {
			t.Errorf("exit %d, said %q", got, e.out.String())
		}
	})
	t.Run("what is broken stays and is told", func(t *testing.T) {
		e := newTerminal(t, nil)
		a := e.write(t, "a.hcl", "version = \n")
		if got := e.run(t, "fmt"); got != 3 || !strings.Contains(e.err.String(), "a.hcl") {
			t.Errorf("exit %d: %s", got, e.err.String())
		}
		if b, err := os.ReadFile(a); err != nil || string(b) != "version = \n" {
			t.Errorf("%v: %q", err, b)
		}
	})
	t.Run("a file that is not there", func(t *testing.T) {
		e := newTerminal(t, nil)
		if got := e.run(t, "fmt", "none.hcl"); got != fault.ExitNotFound {
			t.Errorf("exit %d: %s", got, e.err.String())
		}
	})
}

func TestALineDiffShowsWhatChanged(t *testing.T) {
	var a, b strings.Builder
	for i := range 30 {
		line := string(rune('a'+i%26)) + "\n"
		a.WriteString(line)
		switch i {
		case 3:
			b.WriteString("new\n" + line)
		case 20:
			b.WriteString("other\n")
		default:
			b.WriteString(line)
		}
	}
	golden(t, "line_diff", strings.Join(fixedLook(false).lineDiff("x", a.String(), b.String()), "\n")+"\n")
	if got := fixedLook(false).lineDiff("x", a.String(), a.String()); got != nil {
		t.Errorf("equal texts differ: %q", got)
	}
	for _, pair := range [][2]string{{"", "a\nb\n"}, {"a\nb\n", ""}, {"a", "a\n"}, {"a\nb\nc\n", "c\nb\na\n"}} {
		if got := patched(t, pair[0], pair[1]); got != pair[1] {
			t.Errorf("the diff of %q and %q makes %q", pair[0], pair[1], got)
		}
	}
}

// patched applies the edits of a comparison.
func patched(t *testing.T, a, b string) string {
	t.Helper()
	var out strings.Builder
	for _, e := range compare(strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")) {
		if e.op != '-' {
			out.WriteString(e.text)
		}
	}
	return out.String()
}

func TestFlagBeatsVariableBeatsFileBeatsDefault(t *testing.T) {
	state := realDir(t)
	good := "version = 1\n\ndaemon {\n  state_dir = \"" + state + "\"\n}\n"
	socketOf := func(prepare func(e *terminal), args ...string) string {
		e := newTerminal(t, nil)
		prepare(e)
		e.run(t, append([]string{"run", "ls", "--json"}, args...)...)
		var body api.ErrorBody
		if err := json.Unmarshal([]byte(e.out.String()), &body); err != nil {
			t.Fatalf("%v in %q", err, e.out.String())
		}
		return strings.TrimPrefix(body.Error.Where, e.home)
	}
	cases := []struct {
		name    string
		prepare func(e *terminal)
		args    []string
		want    string
	}{
		{"default", func(*terminal) {}, nil, "/.local/state/drawspan/run/drawspan.sock"},
		{"file", func(e *terminal) { e.write(t, "drawspan.hcl", good) }, nil, state + "/run/drawspan.sock"},
		{"file named by the variable", func(e *terminal) { e.env["DRAWSPAN_CONFIG"] = e.write(t, "other.hcl", good) }, nil, state + "/run/drawspan.sock"},
		{"a broken file is no reason not to talk", func(e *terminal) { e.write(t, "drawspan.hcl", "x") }, nil, "/.local/state/drawspan/run/drawspan.sock"},
		{"variable", func(e *terminal) { e.write(t, "drawspan.hcl", good); e.env["DRAWSPAN_SOCKET"] = "/var/s" }, nil, "/var/s"},
		{"flag", func(e *terminal) { e.env["DRAWSPAN_SOCKET"] = "/var/s" }, []string{"--socket", "/flag/s"}, "/flag/s"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := socketOf(c.prepare, c.args...); got != c.want {
				t.Errorf("socket %s, want %s", got, c.want)
			}
		})
	}
	e := newTerminal(t, nil)
	e.env["DRAWSPAN_JSON"] = "perhaps"
	if got := e.run(t, "version"); got != 2 || !strings.Contains(e.err.String(), "DRAWSPAN_JSON") {
		t.Errorf("a bad variable: exit %d: %s", got, e.err.String())
	}
	e.env["DRAWSPAN_JSON"] = "true"
	if got := e.run(t, "version"); got != 0 || !strings.HasPrefix(e.out.String(), "{") {
		t.Errorf("DRAWSPAN_JSON: exit %d: %s", got, e.out.String())
	}
}

// pluginWorld is a configuration with two plugin programs installed.
func pluginWorld(t *testing.T) (*terminal, string) {
	e := newTerminal(t, nil)
	lib := filepath.Join(e.home, "lib")
	if err := os.CopyFS(lib, fstest.MapFS{
		"drawspan-executor-command": {Data: []byte("one"), Mode: 0o755}, "drawspan-executor-script": {Data: []byte("two"), Mode: 0o755},
		"drawspan-sandbox": {Data: []byte("no plugin"), Mode: 0o755},
	}); err != nil {
		t.Fatal(err)
	}
	e.env["DRAWSPAN_LIBEXEC"] = lib
	e.write(t, "drawspan.hcl", "version = 1\n")
	e.app.Describe = func(_ context.Context, _ DaemonOptions, p pluginlock.Program) (pluginlock.Facts, error) {
		digest, err := pluginlock.DigestFile(p.Path)
		return pluginlock.Facts{Digest: digest, Version: "0.1.0", Protocol: []string{"v1alpha"}, Simulated: p.Name == "executor-script"}, err
	}
	return e, lib
}

func TestPluginsAreLockedThenVerified(t *testing.T) {
	e, lib := pluginWorld(t)
	fresh := func() *terminal {
		n := newTerminal(t, nil)
		n.app, n.env, n.dir, n.home = e.app, e.env, e.dir, e.home
		return n
	}
	before := fresh()
	if got := before.run(t, "plugin", "verify"); got != 3 || !strings.Contains(before.out.String(), "not locked") {
		t.Errorf("before: exit %d: %s", got, before.out.String())
	}
	lock := fresh()
	if got := lock.run(t, "plugin", "lock"); got != 0 || strings.Count(lock.out.String(), "✓ ok") != 2 {
		t.Fatalf("lock: exit %d: %s%s", got, lock.out.String(), lock.err.String())
	}
	after := fresh()
	if got := after.run(t, "plugin", "verify"); got != 0 || !strings.Contains(after.out.String(), "[simulated]") {
		t.Errorf("after: exit %d: %s", got, after.out.String())
	}
	if err := os.WriteFile(filepath.Join(lib, "drawspan-executor-command"), []byte("another"), 0o755); err != nil {
		t.Fatal(err)
	}
	changed := fresh()
	if got := changed.run(t, "plugin", "verify"); got != 3 || !strings.Contains(changed.out.String(), "mismatch") {
		t.Errorf("changed: exit %d: %s", got, changed.out.String())
	}
	doctor := fresh()
	if got := doctor.run(t, "doctor"); got != 1 || !strings.Contains(doctor.out.String(), "not the one that was locked") {
		t.Errorf("doctor: exit %d: %s", got, doctor.out.String())
	}
}

func TestPluginsAreLockedWhereTheDeclaredRootIsNot(t *testing.T) {
	e, _ := pluginWorld(t)
	e.write(t, "drawspan.hcl", "version = 1\nworkspace \"w\" {\n  root = \"~/elsewhere\"\n  base = \"main\"\n}\n")
	if got := e.run(t, "plugin", "lock"); got != 0 {
		t.Errorf("exit %d: %s", got, e.err.String())
	}
}

func TestDoctorWorksWithoutADaemon(t *testing.T) {
	e, lib := pluginWorld(t)
	e.env["DRAWSPAN_SOCKET"] = "/nowhere/none"
	e.app.Doctor = func(_ context.Context, o DaemonOptions) []api.Check {
		return []api.Check{{Group: "sandbox", Name: "launch", State: "fail", Detail: "no user namespaces", Fix: "sysctl -w user.max_user_namespaces=15000"},
			{Group: "git", Name: "program", State: "ok", Detail: "git 2.47 " + strings.Join(o.Libexec, ",")}}
	}
	if got := e.run(t, "doctor"); got != 1 {
		t.Errorf("exit %d", got)
	}
	for _, want := range []string{"✗ fail", "no user namespaces", "fix: sysctl -w", lib, "the daemon does not run", "1 fail"} {
		if !strings.Contains(e.out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, e.out.String())
		}
	}
}

func TestDoctorAddsWhatTheDaemonSees(t *testing.T) {
	d := startFake(t)
	same := api.Check{Group: "git", Name: "program", State: "ok", Detail: "git 2.47"}
	d.gives(api.OpDoctor, api.Doctor{OK: false, Checks: []api.Check{same, {Group: "state", Name: "room", State: "fail", Detail: "1 MiB free", Fix: "free some room"}}})
	e := newTerminal(t, d)
	e.app.Doctor = func(context.Context, DaemonOptions) []api.Check { return []api.Check{same} }
	if got := e.run(t, "doctor"); got != 1 {
		t.Errorf("exit %d: %s", got, e.out.String())
	}
	if n := strings.Count(e.out.String(), "git 2.47"); n != 1 {
		t.Errorf("what both see is said %d times:\n%s", n, e.out.String())
	}
	if !strings.Contains(e.out.String(), "daemon: state") || !strings.Contains(e.out.String(), "1 MiB free") {
		t.Errorf("the daemon's view is missing:\n%s", e.out.String())
	}
}

func TestServeHandsOverItsSurroundings(t *testing.T) {
	e, lib := pluginWorld(t)
	var got DaemonOptions
	reloaded := make(chan struct{})
	e.app.Serve = func(ctx context.Context, o DaemonOptions) error {
		got = o
		o.Ready("/run/s", "")
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			return err
		}
		select {
		case <-o.Reload:
			close(reloaded)
		case <-ctx.Done():
		}
		return nil
	}
	if code := e.run(t, "serve", "--socket", "s"); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	<-reloaded
	if got.Socket != filepath.Join(e.dir, "s") || len(got.Libexec) != 1 || got.Libexec[0] != lib || got.UID != 1000 ||
		got.Lock != filepath.Join(e.dir, pluginlock.FileName) || got.Host.Home != e.home {
		t.Errorf("handed over %+v", got)
	}
	if !strings.Contains(e.err.String(), "ready at /run/s") {
		t.Errorf("said %s", e.err.String())
	}
	bad := newTerminal(t, nil)
	bad.app.Serve = func(context.Context, DaemonOptions) error { t.Error("served a broken configuration"); return nil }
	bad.write(t, "drawspan.hcl", "bogus {}\n")
	if code := bad.run(t, "serve"); code != 3 {
		t.Errorf("a broken configuration: exit %d", code)
	}
}

func TestALoopbackAddressNeedsItsToken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	e := newTerminal(t, nil)
	if got := e.run(t, "run", "ls", "--address", l.Addr().String(), "--token-file", "none"); got != fault.ExitNotFound {
		t.Errorf("a token file that is not there: exit %d: %s", got, e.err.String())
	}
	e.write(t, "token", "secret\n")
	if got := e.run(t, "run", "ls", "--address", l.Addr().String(), "--token-file", "token"); got != fault.ExitUnreachable {
		t.Errorf("nobody listens: exit %d: %s", got, e.err.String())
	}
	if strings.Contains(e.err.String(), "secret") {
		t.Error("the token is shown")
	}
}

func TestAFixNamesTheConfigurationThatWasGiven(t *testing.T) {
	e := newTerminal(t, nil)
	e.home = "/nowhere" // below which a socket's path is short
	e.write(t, "my files/bad.hcl", "version = 2\n")
	if code := e.run(t, "run", "ls", "--config", "my files/bad.hcl"); code != fault.ExitUnreachable || !strings.Contains(e.err.String(), "fix: drawspan serve --config 'my files/bad.hcl'\n") {
		t.Errorf("exit %d\n%s", code, e.err.String())
	}
}
