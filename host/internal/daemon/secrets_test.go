package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/redact"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

const secretValue = "s3cr3t-value-7f1c"

// variables is an environment.
func variables(list map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := list[name]; return v, ok }
}

func openVault(t *testing.T, list map[string]string) *vault {
	t.Helper()
	v := newVault(variables(list))
	if err := v.learn(nil); err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t *testing.T, path, body string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCredentialsThatCannotBeHandedIn(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := unix.Mkfifo(in("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, in("good"), secretValue, 0o600)
	if err := os.Symlink(in("good"), in("link")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cred work.Credential
		want string
	}{
		"variable is not set":   {work.Credential{FromEnv: "NONE"}, "started without NONE"},
		"variable is empty":     {work.Credential{FromEnv: "EMPTY"}, "is empty"},
		"variable is too short": {work.Credential{FromEnv: "SHORT"}, "has 3 bytes"},
		"file is not there":     {work.Credential{FromFile: in("none")}, "does not exist"},
		"file is a link":        {work.Credential{FromFile: in("link")}, "symbolic link"},
		"file is a pipe":        {work.Credential{FromFile: in("fifo")}, "no regular file"},
		"file is a directory":   {work.Credential{FromFile: dir}, "no regular file"},
		"file is a device":      {work.Credential{FromFile: "/dev/zero"}, "no regular file"},
		"group reads":           {work.Credential{FromFile: write(t, in("group"), secretValue, 0o640)}, "chmod 600"},
		"others write":          {work.Credential{FromFile: write(t, in("others"), secretValue, 0o602)}, "mode 0602"},
		"file is empty":         {work.Credential{FromFile: write(t, in("empty"), "", 0o600)}, "is empty"},
		"file is a newline":     {work.Credential{FromFile: write(t, in("newline"), "\r\n", 0o600)}, "is empty"},
		"file is too large":     {work.Credential{FromFile: write(t, in("large"), strings.Repeat(secretValue, 2000), 0o600)}, "bytes;"},
	} {
		t.Run(name, func(t *testing.T) {
			v := openVault(t, map[string]string{"EMPTY": "", "SHORT": "abc"})
			c.cred.Name, c.cred.Declared = "api", "drawspan.hcl:7"
			secrets, err := v.open(&work.SandboxPolicy{Credentials: []work.Credential{c.cred}})
			var f *fault.Fault
			if !errors.As(err, &f) || f.Code != fault.ConfigInvalid || f.Where != "drawspan.hcl:7" || secrets != nil {
				t.Fatalf("got %v, %v", secrets, err)
			}
			if said := f.Error() + f.Hint; !strings.Contains(said, `"api"`) || !strings.Contains(said, c.want) || strings.Contains(said, secretValue) {
				t.Errorf("said %q, want %q in it", said, c.want)
			}
		})
	}
}

func TestACredentialsFileOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := write(t, filepath.Join(t.TempDir(), "f"), secretValue, 0o600)
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Fatal(err)
	}
	_, err := openVault(t, nil).open(&work.SandboxPolicy{Credentials: []work.Credential{{Name: "api", FromFile: path}}})
	if err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsAreReadForEachLaunch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	v := openVault(t, map[string]string{"KEY": "from the environment\n"})
	p := &work.SandboxPolicy{Credentials: []work.Credential{
		{Name: "file", FromFile: path, Deliver: "file", Variable: "FILE_FILE"}, {Name: "env", FromEnv: "KEY", Deliver: "env", Variable: "KEY"},
	}}
	for body, want := range map[string]string{"first-value": "first-value", "second-value\n": "second-value", "third-value\r\n": "third-value", "two-lines\n\n": "two-lines\n"} {
		write(t, path, body, 0o600)
		secrets, err := v.open(p)
		if err != nil || len(secrets) != 2 || string(secrets[0].Value) != want || string(secrets[1].Value) != "from the environment\n" {
			t.Fatalf("got %q, %v", secrets, err)
		}
		if s := secrets[0]; s.Name != "file" || s.Deliver != "file" || s.Variable != "FILE_FILE" {
			t.Errorf("got %+v", s)
		}
	}
	// A value that was in force once is masked as long as the daemon knows it.
	if got := v.Text("first-value second-value third-value"); strings.Contains(got, "-value") {
		t.Errorf("masked as %q", got)
	}
}

func TestVaultForgetsTheOldestValuesFirst(t *testing.T) {
	v := openVault(t, nil)
	var values []redact.Secret
	for i := range maxKnown + 1 {
		values = append(values, redact.Secret{Name: "k", Value: fmt.Sprintf("value-%04d-x", i)})
	}
	if err := errors.Join(v.learn(values[:maxKnown]), v.learn(values[maxKnown:])); err != nil {
		t.Fatal(err)
	}
	if got, want := v.Text("value-0000-x value-0001-x"), "value-0000-x [redacted:k]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPassedVariables(t *testing.T) {
	v := openVault(t, map[string]string{"LANG": "C.UTF-8", "TERM": "xterm", "SET": "daemon", "KEY": "daemon"})
	got := v.pass(&work.SandboxPolicy{
		Pass: []string{"LANG", "NONE", "SET", "KEY", "TERM"}, Env: map[string]string{"SET": "policy"}, Credentials: []work.Credential{{Variable: "KEY"}},
	})
	if want := "LANG=C.UTF-8 TERM=xterm"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVariablesThatSurviveRunAs(t *testing.T) {
	v := newVault(variables(map[string]string{"A": "1", "B": "2", "C": "3", "D": "4"}))
	got := v.environment(&work.Policy{
		Executors: map[string]*work.ExecutorDecl{"x": {Sandbox: &work.SandboxPolicy{Pass: []string{"A", "NONE"}, Credentials: []work.Credential{{FromEnv: "B"}, {FromFile: "/x"}}}}},
		Workspaces: map[string]*work.Workspace{"w": {Gates: []work.GateRule{
			{Sandbox: &work.SandboxPolicy{Pass: []string{"A"}, Credentials: []work.Credential{{FromEnv: "C"}}}}, {},
		}}},
	})
	if want := "A=1 B=2 C=3"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatAPluginSaysIsMasked(t *testing.T) {
	v := openVault(t, nil)
	if err := v.learn([]redact.Secret{{Name: "api", Value: secretValue}}); err != nil {
		t.Fatal(err)
	}
	s := "x " + secretValue
	masked := pluginPort{vault: v}.masked(sdk.Verdict{
		Outcome: "fail", Message: s, Findings: []sdk.Finding{{Rule: s, Severity: s, Path: s, Message: s, Help: s, Fingerprint: s, Line: 3}},
		Ran: &sdk.Ran{Argv: []string{"curl", s}, Signal: s, ExitCode: 4},
	})
	if text := fmt.Sprintf("%+v %+v", masked, *masked.Ran); strings.Contains(text, secretValue) || masked.Findings[0].Line != 3 || masked.Ran.ExitCode != 4 {
		t.Errorf("got %s", text)
	}
	cause := errors.New("a cause")
	err := v.conceal(fmt.Errorf("start: %w", fault.Wrap(cause, fault.PluginStart, "%s", s).At(s).Fix("%s", s)))
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != fault.PluginStart || !errors.Is(err, cause) || strings.Contains(f.Message+f.Where+f.Hint, secretValue) {
		t.Errorf("got %+v", err)
	}
	if plain := error(fault.New(fault.NotFound, "nothing secret")); v.conceal(plain) != plain || v.conceal(cause) != cause || v.conceal(nil) != nil {
		t.Error("what holds no secret was changed")
	}
	var log bytes.Buffer
	if n, err := v.lines(&log).Write([]byte(s)); n != len(s) || err != nil || strings.Contains(log.String(), secretValue) {
		t.Errorf("wrote %d, %v: %s", n, err, &log)
	}
	var patch bytes.Buffer
	w := v.exactly(&patch)
	fake := "AKIA" + strings.Repeat("Q", 16) // looks like a key, and is part of the work
	if _, err := io.WriteString(w, "+"+fake+" "+s[:8]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, s[8:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil || patch.String() != "+"+fake+" x [redacted:api]" {
		t.Errorf("patch %q, %v", &patch, err)
	}
}

// facts collects what an outlet writes to the log.
type facts struct {
	mu   sync.Mutex
	list []work.Fact
}

func (f *facts) record(_ context.Context, m ...work.Mutation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range m {
		f.list = append(f.list, one.(work.Fact))
	}
	return nil
}

func TestOutletBoundsItsFacts(t *testing.T) {
	var f facts
	var stream []dispatch.Traffic
	port := pluginsPort{vault: openVault(t, nil), record: f.record, log: hclog.NewNullLogger()}
	out, err := port.outlet(t.Context(), dispatch.Launch{
		Kind: "executor", Name: "x", AttemptID: "at_1", OnTraffic: func(tr dispatch.Traffic) { stream = append(stream, tr) },
		Policy: &work.SandboxPolicy{Network: work.NetworkPolicy{Mode: work.NetworkProxy, Allow: []string{"api.example.org"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out.onListener()(l)
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()})}
	defer tr.CloseIdleConnections()
	const asked = 3 * maxHosts
	for i := range asked {
		res, err := (&http.Client{Transport: tr}).Get(fmt.Sprintf("http://h%d.example/", i/2))
		if err != nil || res.StatusCode != http.StatusForbidden {
			t.Fatalf("got %v, %v", res, err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	out.end()
	out.end()
	violations, totals := 0, 0
	for _, fact := range f.list {
		body := fact.Body.(map[string]any)
		switch fact.Kind {
		case "sandbox.violation":
			violations++
			if body["layer"] != "network" || body["host"] == "" || body["reason"] == "" || fact.AttemptID != "at_1" {
				t.Errorf("fact %+v", fact)
			}
		case "network.used":
			totals++
			if rows := body["hosts"].([]hostRow); len(rows) != maxHosts || body["requests"] != int64(asked) || body["refused"] != int64(asked) || body["others"] != int64(asked-2*maxHosts) {
				t.Errorf("fact %+v", fact)
			}
		}
	}
	if violations != maxRefusals || totals != 1 || len(stream) != asked {
		t.Errorf("%d violations, %d totals, %d in the stream", violations, totals, len(stream))
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		_ = c.Close() // it should not be there
		t.Error("the proxy still accepts")
	}
}

func TestOutletRefusesRulesThatSayNothing(t *testing.T) {
	port := pluginsPort{log: hclog.NewNullLogger()}
	_, err := port.outlet(t.Context(), dispatch.Launch{Policy: &work.SandboxPolicy{
		Declared: "drawspan.hcl:3", Network: work.NetworkPolicy{Mode: work.NetworkProxy, Allow: []string{"*"}},
	}})
	if fault.From(err).Where != "drawspan.hcl:3" || !fault.Is(err, fault.ConfigInvalid) {
		t.Errorf("got %v", err)
	}
	out, err := port.outlet(t.Context(), dispatch.Launch{Policy: &work.SandboxPolicy{}})
	if out != nil || err != nil || out.onListener() != nil {
		t.Errorf("got %v, %v without a network", out, err)
	}
	out.end()
}

// The credential of a gateway is known to the vault before a launch has anything, is never a secret of the
// sandbox, and is in what the daemon hands over when it becomes another user.
func TestAGatewaysCredentialIsKnownAndNotHandedIn(t *testing.T) {
	v := openVault(t, map[string]string{"MODEL_KEY": secretValue, "EMPTY": ""})
	c := &work.Credential{Name: "model", FromEnv: "MODEL_KEY", Declared: "drawspan.hcl:7"}
	value, err := v.unlock(c)
	if err != nil || value != secretValue || v.Text("a "+secretValue) != "a [redacted:model]" {
		t.Errorf("got %q, %v", v.Text(value), err)
	}
	p := &work.Policy{Executors: map[string]*work.ExecutorDecl{"x": {Sandbox: &work.SandboxPolicy{}, Gateway: &work.GatewayPolicy{Credential: c}}}}
	if secrets, err := v.open(p.Executors["x"].Sandbox); err != nil || len(secrets) != 0 {
		t.Errorf("%d secrets are handed in, %v", len(secrets), err)
	}
	if env := v.environment(p); len(env) != 1 || env[0] != "MODEL_KEY="+secretValue {
		t.Errorf("%d variables are carried over", len(env))
	}
	if _, err := v.unlock(&work.Credential{Name: "model", FromEnv: "EMPTY", Declared: "drawspan.hcl:7"}); !fault.Is(err, fault.ConfigInvalid) {
		t.Errorf("got %v", err)
	}
	if value, err := v.unlock(nil); value != "" || err != nil {
		t.Errorf("without a credential: %v", err)
	}
}
