package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

var manifest = sdk.Manifest{Name: "test", Version: "1.0.0"}

type nothing struct{}

func (nothing) Run(context.Context, *sdk.Attempt) (sdk.Result, error) { return sdk.Result{}, nil }

// Told by its first argument, this program is a plugin. Whole lives are tested with the loader.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "serve":
			Serve(manifest, nothing{})
		case "serve-nothing":
			Serve(manifest, struct{}{})
		case "serve-nameless":
			Serve(sdk.Manifest{}, nothing{})
		}
	}
	os.Exit(m.Run())
}

func start(t *testing.T, what string, env ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", what)
	cmd.Env = append([]string{}, env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func TestAProgramThatCannotBeAPluginSaysWhy(t *testing.T) {
	cookie := wire.CookieKey + "=" + wire.CookieValue
	for name, c := range map[string]struct {
		what string
		env  []string
		want string
	}{
		"run by hand":       {"serve", nil, "test 1.0.0 is a drawspan plugin ([executor]): the daemon starts it"},
		"another cookie":    {"serve", []string{wire.CookieKey + "=x"}, "the daemon starts it"},
		"no directory":      {"serve", []string{cookie}, "PLUGIN_UNIX_SOCKET_DIR is not set"},
		"no secret":         {"serve", []string{cookie, wire.SocketDirKey + "=" + t.TempDir()}, "take the session secret"},
		"no face":           {"serve-nothing", []string{cookie}, "neither an sdk.Executor nor an sdk.Validator"},
		"an empty manifest": {"serve-nameless", []string{cookie}, "no usable name"},
	} {
		stdout, stderr, code := start(t, c.what, c.env...)
		if code != 1 || stdout != "" && name != "no secret" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q, want %q", name, code, stdout, stderr, c.want)
		}
	}
}

func TestTheSecretIsTakenOnce(t *testing.T) {
	dir, secret := t.TempDir(), wire.NewSecret()
	path := filepath.Join(dir, wire.SecretFile)
	if err := os.WriteFile(path, secret.Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := takeSecret(dir); err != nil || got != secret {
		t.Errorf("takeSecret = %v, %v", got, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if _, err := takeSecret(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("takeSecret again = %v", err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := takeSecret(dir); err == nil {
		t.Error("a malformed secret was taken")
	}
}

func TestLogLinesAreHclogs(t *testing.T) {
	old := slog.Default()
	defer slog.SetDefault(old)
	var out bytes.Buffer
	level := logTo(&out)
	level.Set(parseLevel("debug"))
	slog.Debug("looking", "path", "/x", slog.Group("size", "bytes", 3))
	log.Print("from package log")
	level.Set(parseLevel("error"))
	slog.Warn("not wanted")
	slog.Error("wanted", "error", errors.New("why"))
	var got []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if fields["@timestamp"] == nil {
			t.Errorf("%q has no time", line)
		}
		got = append(got, fields)
	}
	if len(got) != 3 || got[0]["@level"] != "debug" || got[0]["@message"] != "looking" || got[0]["path"] != "/x" ||
		got[1]["@message"] != "from package log" || got[2]["@level"] != "error" || got[2]["error"] != "why" {
		t.Errorf("got %v", got)
	}
}

func TestLevelsHaveTheirNames(t *testing.T) {
	for name, level := range map[string]slog.Level{
		"trace": levelTrace, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		if parseLevel(name) != level || levelName(level) != name {
			t.Errorf("%s: %v, %s", name, parseLevel(name), levelName(level))
		}
	}
	if parseLevel("loud") != slog.LevelInfo {
		t.Error("an unknown level is not info")
	}
}

func TestACrashReportSaysWhoAndWhere(t *testing.T) {
	var out bytes.Buffer
	report(&out, manifest, "performing attempt att_1", "boom", []byte("goroutine 1"))
	want := "plugin test 1.0.0 crashed while performing attempt att_1\npanic: boom\n\ngoroutine 1\n"
	if out.String() != want {
		t.Errorf("report = %q, want %q", out.String(), want)
	}
}
