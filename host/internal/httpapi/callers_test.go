package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/fault"
)

func bare(t *testing.T, adjust ...func(*Options)) *Server {
	t.Helper()
	o := Options{Handlers: stubs(), Log: hclog.NewNullLogger(), Token: testToken}
	for _, f := range adjust {
		f(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantFault checks an error's code and that it says what to do or where.
func wantFault(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code || err == nil {
		t.Errorf("got %v, want %s", err, code)
		return
	}
	if f := fault.From(err); f.Where == "" {
		t.Errorf("%v does not say where", err)
	}
}

func TestS46_OnlyLoopbackIsListenedOn(t *testing.T) {
	s := bare(t)
	for _, addr := range []string{
		"0.0.0.0:0", "[::]:0", ":0", "127.0.0.2:0", "localhost:0", "192.168.1.1:0", "8.8.8.8:80", "[::ffff:127.0.0.1]:0",
		"[fe80::1%lo]:0", "127.1:0", "2130706433:0", "127.0.0.1", "127.0.0.1:http", "", "127.0.0.1:99999", "[::1%lo]:0",
	} {
		ln, err := s.Loopback(addr)
		if err == nil {
			ln.Close()
		}
		wantFault(t, withWhere(err, addr), fault.ConfigInvalid)
	}
	ln, err := s.Loopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if host, _, _ := net.SplitHostPort(ln.Addr().String()); host != "127.0.0.1" {
		t.Errorf("listens on %s", host)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	for _, host := range []string{"example.org:80", "0.0.0.0:80", "10.0.0.1:80", "localhost", "localhost:http", ""} {
		_, err := New(Options{Handlers: stubs(), Log: hclog.NewNullLogger(), Hosts: []string{host}})
		wantFault(t, withWhere(err, host), fault.ConfigInvalid)
	}
}

// withWhere lets the one address that is empty pass wantFault's demand for a place.
func withWhere(err error, addr string) error {
	if f := fault.From(err); err != nil && addr == "" {
		return f.At("(empty)")
	}
	return err
}

func TestThePortNeedsALongToken(t *testing.T) {
	for _, token := range []string{"", "short", strings.Repeat("x", MinToken-1)} {
		ln, err := bare(t, func(o *Options) { o.Token = token }).Loopback("127.0.0.1:0")
		if err == nil {
			ln.Close()
		}
		wantFault(t, err, fault.ConfigInvalid)
	}
}

func TestF4_AForeignPageGetsNothing(t *testing.T) {
	g := start(t, refusing(t))
	auth := header("Authorization", "Bearer "+testToken)
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	own := "http://" + g.port
	_, port, _ := net.SplitHostPort(g.port)
	for _, c := range []struct {
		name string
		code string
		edit []func(*http.Request)
	}{
		{"no token", "unauthenticated", nil},
		{"wrong token", "unauthenticated", []func(*http.Request){header("Authorization", "Bearer "+strings.Repeat("x", 32))}},
		{"a beginning of the token", "unauthenticated", []func(*http.Request){header("Authorization", "Bearer "+testToken[:31])}},
		{"token without a scheme", "unauthenticated", []func(*http.Request){header("Authorization", testToken)}},
		{"basic", "unauthenticated", []func(*http.Request){func(r *http.Request) { r.SetBasicAuth("x", testToken) }}},
		{"two tokens", "unauthenticated", []func(*http.Request){auth, func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }}},
		{"rebound name", "forbidden", []func(*http.Request){auth, host("evil.example:" + port)}},
		{"rebound name, no token", "forbidden", []func(*http.Request){host("evil.example")}},
		{"localhost, undeclared", "forbidden", []func(*http.Request){auth, host("localhost:" + port)}},
		{"host without the port", "forbidden", []func(*http.Request){auth, host("127.0.0.1")}},
		{"another port", "forbidden", []func(*http.Request){auth, host("127.0.0.1:1")}},
		{"foreign origin", "forbidden", []func(*http.Request){auth, header("Origin", "https://evil.example")}},
		{"null origin", "forbidden", []func(*http.Request){auth, header("Origin", "null")}},
		{"own origin in another scheme", "forbidden", []func(*http.Request){auth, header("Origin", "https://"+g.port)}},
		{"own origin with a tail", "forbidden", []func(*http.Request){auth, header("Origin", own+".evil.example")}},
		{"cross-site", "forbidden", []func(*http.Request){auth, header("Sec-Fetch-Site", "cross-site")}},
		{"same-site", "forbidden", []func(*http.Request){auth, header("Sec-Fetch-Site", "same-site")}},
		{"the measured attack", "forbidden", []func(*http.Request){host("evil.example"), header("Origin", "https://evil.example"), header("Content-Type", "text/plain")}},
		{"plain text with the token", "unsupported_media_type", []func(*http.Request){auth, header("Content-Type", "text/plain")}},
	} {
		status, data, h := g.askOver("tcp", http.MethodPost, "/api/v1/runs", `{"workspace":"api"}`, c.edit...)
		if e := refusal(t, status, data); e.Code != c.code {
			t.Errorf("%s: got %+v, want %s", c.name, e, c.code)
		}
		for k := range h {
			if strings.HasPrefix(k, "Access-Control-") {
				t.Errorf("%s: header %s", c.name, k)
			}
		}
	}
	status, data, _ := g.askOver("tcp", http.MethodOptions, "/api/v1/runs", "", auth, header("Origin", "https://evil.example"),
		header("Access-Control-Request-Method", "POST"))
	if e := refusal(t, status, data); e.Code != "forbidden" {
		t.Errorf("preflight: %+v", e)
	}
}

func TestThePortAnswersTheBearerOfItsToken(t *testing.T) {
	g := start(t, nil, func(o *Options) { o.Hosts = []string{"localhost:8080"} })
	auth := header("Authorization", "Bearer "+testToken)
	for _, edit := range [][]func(*http.Request){
		{auth},
		{auth, header("Origin", "http://"+g.port), header("Sec-Fetch-Site", "same-origin")},
		{auth, func(r *http.Request) { r.Host = "localhost:8080" }, header("Origin", "http://localhost:8080")},
	} {
		if status, data, _ := g.askOver("tcp", http.MethodGet, "/api/v1/instance", "", edit...); status != http.StatusOK {
			t.Errorf("answer %d %s", status, data)
		}
	}
}

func TestTheSocketDoesNotAnswerBrowsers(t *testing.T) {
	g := start(t, refusing(t))
	for _, edit := range []func(*http.Request){header("Origin", "http://x"), header("Sec-Fetch-Site", "same-origin")} {
		status, data, _ := g.ask(http.MethodGet, "/api/v1/instance", "", edit)
		if e := refusal(t, status, data); e.Code != "forbidden" {
			t.Errorf("%+v", e)
		}
	}
}

func TestS47_TheSocketIsPrivate(t *testing.T) {
	g := start(t, nil)
	for path, want := range map[string]fs.FileMode{g.socket: 0o600 | fs.ModeSocket, filepath.Dir(g.socket): 0o700 | fs.ModeDir} {
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, want %v; %v", path, info.Mode(), want, err)
		}
	}
}

// dialAsAnother runs in a child of another uid: it asks the daemon, and its exit says what came of it.
func dialAsAnother(socket string) int {
	c, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Println("no connection:", err)
		return 3
	}
	io.WriteString(c, "GET /api/v1/instance HTTP/1.1\r\nHost: x\r\nDrawspan-Client: cli\r\nConnection: close\r\n\r\n")
	line, err := bufio.NewReader(c).ReadString('\n')
	fmt.Print(line)
	if err != nil || !strings.Contains(line, " 403 ") {
		return 4
	}
	return 0
}

func TestS47_AnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process of another user; the modes of socket and directory are tested without")
	}
	g := start(t, refusing(t))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test binary is copied to where another user may run it.
	dir := shortDir(t)
	program := filepath.Join(dir, "dial")
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	child := func() (string, int) {
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = []string{"DRAWSPAN_TEST_DIAL=" + g.socket}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	top := filepath.Dir(filepath.Dir(g.socket))
	for _, d := range []string{dir, top} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := child(); code != 3 {
		t.Errorf("the modes let another user in: exit %d, %s", code, out)
	}
	// Even with the modes opened by somebody, the kernel's word on the peer refuses it.
	for path, mode := range map[string]fs.FileMode{filepath.Dir(g.socket): 0o755, g.socket: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := child(); code != 0 {
		t.Errorf("another user was not refused with 403: exit %d, %s", code, out)
	}
}

func TestASocketThatIsInUseIsNotReplaced(t *testing.T) {
	g := start(t, nil)
	_, err := bare(t).Unix(g.socket)
	wantFault(t, err, fault.StateLocked)
	if status, _, _ := g.ask(http.MethodGet, "/api/v1/instance", ""); status != http.StatusOK {
		t.Errorf("the first daemon answers %d", status)
	}

	// A listener that knows nothing of the lock counts as well.
	path := filepath.Join(shortDir(t), "d.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = bare(t).Unix(path)
	wantFault(t, err, fault.StateLocked)
}

func TestAStaleSocketIsReplacedAndNothingElse(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "d.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	ln, err := bare(t).Unix(path)
	if err != nil {
		t.Fatalf("a stale socket stays in the way: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	ln, err = bare(t).Unix(path)
	if err != nil {
		t.Fatalf("the lock outlives its listener: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}

	victim := filepath.Join(dir, "precious")
	if err := os.WriteFile(victim, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.sock")
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{victim, link} {
		_, err := bare(t).Unix(path)
		wantFault(t, err, fault.ConfigInvalid)
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "x" {
		t.Errorf("the file is %q, %v", data, err)
	}
}

func TestAUnusablePlaceForTheSocketIsSaid(t *testing.T) {
	open := filepath.Join(shortDir(t), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"relative.sock", "@abstract", "", "/tmp/../tmp/x.sock", filepath.Join("/tmp", strings.Repeat("x", 110)),
		filepath.Join(open, "d.sock"), "/dev/null/d.sock", "/proc/nowhere/d.sock",
	} {
		ln, err := bare(t).Unix(path)
		if err == nil {
			ln.Close()
		}
		wantFault(t, withWhere(err, path), fault.ConfigInvalid)
	}
}
