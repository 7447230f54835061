package daemon_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/api"
)

// internet is what allowed names lead to in these tests: one public address, where a server of the test
// is, and names that lead elsewhere.
type internet struct{ server *httptest.Server }

const publicAddress = "93.184.215.14"

// LookupNetIP answers as a resolver.
func (internet) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	switch host {
	case "api.example.org.":
		return []netip.Addr{netip.MustParseAddr(publicAddress)}, nil
	case "rebind.example.org.":
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (i internet) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	if to.Addr().String() != publicAddress {
		return nil, fmt.Errorf("dial %s: not in this test", to)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", i.server.Listener.Addr().String())
}

// online gives the host a network.
func (h *host) online(handler http.HandlerFunc) internet {
	h.t.Helper()
	i := internet{httptest.NewServer(handler)}
	h.t.Cleanup(i.server.Close)
	h.opt.Resolver, h.opt.Dial = i, i.dial
	return i
}

// shellBlocks are executor and validator as shell scripts: SCRIPT and CHECK, with SANDBOX in the block.
const shellBlocks = `
sandbox "box" {
  limits { wall = "1m" }
  SANDBOX
}
executor "coder" {
  plugin  = "command"
  sandbox = "box"
  config { program = ["bash", "-c", SCRIPT] }
}
workspace "w" {
  root      = "REPO"
  base      = "main"
  executors = ["coder"]
  gate "look" {
    validator = "command"
    sandbox   = "box"
    config { run = ["bash", "-c", CHECK] }
  }
}
`

// shell configures a host whose executor and validator are bash scripts.
func (h *host) shell(sandbox, script, check string) {
	h.t.Helper()
	h.configure(strings.NewReplacer("SANDBOX", sandbox, "SCRIPT", quoted(script), "CHECK", quoted(check)).Replace(shellBlocks))
}

// quoted is a string of HCL.
func quoted(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(fmt.Sprintf("%q", s))
}

// ask says a request to the proxy as bash can, and prints the answer.
const ask = `ask() { exec 3<>/dev/tcp/127.0.0.1/3128 || exit 9; printf "$1" >&3; cat <&3; exec 3>&-; echo; }
`

// facts are the log's events of one kind, oldest first.
func (h *host) facts(kind string) []api.Event {
	h.t.Helper()
	list := call[api.List[api.Event]](h, api.OpAuditQuery, api.AuditQueryRequest{Kind: kind}).Items
	slices.Reverse(list)
	return list
}

func (h *host) artifact(step api.Step, name string) string {
	h.t.Helper()
	return h.stream(api.OpArtifactRead, api.ArtifactReadRequest{AttemptID: step.AttemptID, Name: name})
}

func TestS73_OnlyGrantedHostsAreReachedAndEveryRequestIsRecorded(t *testing.T) {
	h := newHost(t)
	i := h.online(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s%s", r.Host, r.URL.Path) })
	_, direct, err := net.SplitHostPort(i.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	const evil = "ask 'CONNECT evil.example:443 HTTP/1.1\\r\\nHost: evil.example:443\\r\\n\\r\\n'\n"
	h.shell(`network {
    mode  = "proxy"
    allow = ["api.example.org:80", "rebind.example.org"]
  }`, ask+`
echo "proxy $HTTPS_PROXY $http_proxy, not for $NO_PROXY"
ask 'GET http://api.example.org/page HTTP/1.1\r\nHost: api.example.org\r\n\r\n'
`+evil+evil+`
ask 'CONNECT rebind.example.org:443 HTTP/1.1\r\nHost: rebind.example.org\r\n\r\n'
ask 'CONNECT api.example.org:22 HTTP/1.1\r\nHost: api.example.org:22\r\n\r\n'
(exec 4<>/dev/tcp/127.0.0.1/`+direct+`) 2>/dev/null || echo no way around
(exec 4<>/dev/tcp/`+publicAddress+`/80) 2>/dev/null || echo no way out
echo made > made.txt
`, ask+evil+`exit 0`)
	h.start()
	step := h.settled(h.dispatch(h.open(), "go").ID)
	if step.State != "passed" {
		t.Fatalf("step %s: %s, %+v\n%s", step.State, step.Reason, step.Attempt, h.log)
	}
	out := h.artifact(step, "stdout.log")
	for _, want := range []string{
		"proxy http://127.0.0.1:3128 http://127.0.0.1:3128, not for localhost,127.0.0.1,::1", "hello from api.example.org/page",
		"evil.example:443: it is not in the sandbox's list", "127.0.0.1 is a loopback address", "api.example.org:22: it is not in", "no way around", "no way out",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the executor did not see %q:\n%s", want, out)
		}
	}
	h.checkTraffic(step)
	h.checkNetworkFacts(step)
	if enforced := string(step.Attempt.Enforced); !strings.Contains(enforced, `"allow":["api.example.org:80","rebind.example.org:443"]`) {
		t.Errorf("enforced %s", enforced)
	}
}

// checkTraffic looks at the attempt's stream.
func (h *host) checkTraffic(step api.Step) {
	h.t.Helper()
	var seen []string
	for line := range strings.Lines(h.stream(api.OpAttemptStream, api.StreamRequest{AttemptID: step.AttemptID})) {
		var e struct {
			Type, Source string
			Data         struct {
				Method, Host, Address, Reason string
				Port                          int
				Allowed                       bool
				Up                            int64 `json:"bytes_up"`
				Down                          int64 `json:"bytes_down"`
			}
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			h.t.Fatal(err)
		}
		if d := e.Data; e.Source == "host" && d.Host != "" {
			seen = append(seen, fmt.Sprintf("%s %s %s:%d %v %s %v", e.Type, d.Method, d.Host, d.Port, d.Allowed, d.Address, d.Up > 0 && d.Down > 0))
		}
	}
	want := []string{
		"host.network.request GET api.example.org:80 true " + publicAddress + ":80 true",
		"host.sandbox.denied CONNECT evil.example:443 false  false",
		"host.sandbox.denied CONNECT evil.example:443 false  false",
		"host.sandbox.denied CONNECT rebind.example.org:443 false  false",
		"host.sandbox.denied CONNECT api.example.org:22 false  false",
	}
	if !slices.Equal(seen, want) {
		h.t.Errorf("the stream has\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

// checkNetworkFacts looks at the log: each refusal once for each launch, and the totals of both.
func (h *host) checkNetworkFacts(step api.Step) {
	h.t.Helper()
	type body struct {
		Kind, Host string
		Port       int
		Requests   int
		Refused    int
		Hosts      []struct {
			Host     string
			Requests int
			Allowed  bool
		}
	}
	var refused, used []string
	for _, e := range append(h.facts("sandbox.violation"), h.facts("network.used")...) {
		var b body
		if err := json.Unmarshal(e.Body, &b); err != nil || e.AttemptID != step.AttemptID {
			h.t.Fatalf("%+v: %v", e, err)
		}
		if e.Kind == "network.used" {
			used = append(used, fmt.Sprintf("%s %d %d %d", b.Kind, b.Requests, b.Refused, len(b.Hosts)))
		} else {
			refused = append(refused, fmt.Sprintf("%s %s:%d", b.Kind, b.Host, b.Port))
		}
	}
	if want := []string{"executor evil.example:443", "executor rebind.example.org:443", "executor api.example.org:22", "validator evil.example:443"}; !slices.Equal(refused, want) {
		h.t.Errorf("refused %q, want %q", refused, want)
	}
	if want := []string{"executor 5 4 4", "validator 1 1 1"}; !slices.Equal(used, want) {
		h.t.Errorf("used %q, want %q", used, want)
	}
}

func TestS73_WithoutAGrantThereIsNoProxyEither(t *testing.T) {
	h := newHost(t)
	h.shell("", `(exec 3<>/dev/tcp/127.0.0.1/3128) 2>/dev/null || echo nobody there; echo "proxy [$HTTP_PROXY$https_proxy]"; echo made > made.txt`, "exit 0")
	h.start()
	step := h.settled(h.dispatch(h.open(), "go").ID)
	if out := h.artifact(step, "stdout.log"); step.State != "passed" || !strings.Contains(out, "nobody there") || !strings.Contains(out, "proxy []") {
		t.Errorf("step %s, output %q", step.State, out)
	}
}

func TestS73_AStoppedAttemptHasNoNetworkLeft(t *testing.T) {
	h := newHost(t)
	arrived, gone := make(chan struct{}), make(chan struct{})
	h.online(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done() // the connection was cut
		close(gone)
	})
	h.shell(`network {
    mode  = "proxy"
    allow = ["api.example.org:80"]
  }`, ask+`ask 'GET http://api.example.org/wait HTTP/1.1\r\nHost: api.example.org\r\n\r\n'`, "exit 0")
	h.start()
	step := h.dispatch(h.open(), "go")
	<-arrived
	call[api.Step](h, api.OpStepCancel, api.StepCancelRequest{StepID: step.ID, Reason: "enough"})
	if step = h.settled(step.ID); step.State != "cancelled" {
		t.Errorf("step %s: %s", step.State, step.Reason)
	}
	<-gone
	if used := h.facts("network.used"); len(used) != 1 || !strings.Contains(string(used[0].Body), `"requests":1`) {
		t.Errorf("facts %+v", used)
	}
}

// canaries are a value in the ways in which it may be written down.
func canaries(value string) map[string]string {
	return map[string]string{
		"raw": value, "base64": base64.StdEncoding.EncodeToString([]byte(value)), "hex": hex.EncodeToString([]byte(value)), "upper hex": strings.ToUpper(hex.EncodeToString([]byte(value))),
	}
}

// checkNowhere looks for values in everything that the daemon answers, then ends it and looks in everything
// that it keeps and logs.
func (h *host) checkNowhere(step api.Step, values ...string) {
	h.t.Helper()
	places := map[string]string{"attempt.stream": h.stream(api.OpAttemptStream, api.StreamRequest{AttemptID: step.AttemptID})}
	for _, a := range call[api.List[api.Artifact]](h, api.OpArtifactList, api.ArtifactListRequest{AttemptID: step.AttemptID}).Items {
		places["artifact "+a.Name] = h.artifact(step, a.Name)
	}
	for name, answer := range map[string]any{
		"step.get":        call[api.Step](h, api.OpStepGet, api.StepRef{StepID: step.ID}),
		"validation.list": call[api.List[api.Validation]](h, api.OpValidationList, api.ValidationListRequest{AttemptID: step.AttemptID}),
		"audit.query":     call[api.List[api.Event]](h, api.OpAuditQuery, api.AuditQueryRequest{}),
		"config.show":     call[api.ConfigShown](h, api.OpConfigShow, api.Empty{}),
	} {
		b, err := json.Marshal(answer)
		if err != nil {
			h.t.Fatal(err)
		}
		places[name] = string(b)
	}
	h.end() // then nothing in the state directory moves, as removed trees do while they are emptied
	state := filepath.Join(h.dir, "state")
	places["the log"] = h.log.String()
	err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		places["file "+path] = string(b)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for place, text := range places {
		for _, value := range values {
			for form, canary := range canaries(value) {
				if strings.Contains(text, canary) {
					h.t.Errorf("%s holds the credential, %s", place, form)
				}
			}
		}
	}
}

func TestACredentialThatIsEchoedIsFoundNowhere(t *testing.T) {
	const fromEnv, fromFile = "canary-of-a-variable-0xC0FFEE", "canary/of+a file=4711&more"
	h := newHost(t)
	token := filepath.Join(h.dir, "token")
	h.write(token, fromFile+"\n")
	h.opt.Variable = func(name string) (string, bool) {
		value, ok := map[string]string{"API_KEY": fromEnv, "LANG": "C.UTF-8", "OTHER": "not asked for"}[name]
		return value, ok
	}
	h.shell(`env { pass = ["LANG", "NONE"] }
  credential "api" { from_env = "API_KEY" }
  credential "token" {
    from_file = "`+token+`"
    deliver   = "file"
  }`, `
set -e
[ "${#API_KEY}" = 29 ] && [ "$(stat -c %s "$TOKEN_FILE")" = 26 ] || { echo "not handed in"; exit 5; }
! (echo x >> "$TOKEN_FILE") 2>/dev/null
env | grep -c OTHER || true
echo "LANG is $LANG, the file is $TOKEN_FILE"
for f in /proc/[0-9]*/cmdline; do if [[ "$(tr '\0' ' ' < $f)" == *"$API_KEY"* ]]; then echo "in the arguments of $f"; fi; done
say() { printf '%s' "$1"; echo; printf '%s' "$1" | base64 -w0; echo; printf '%s' "$1" | od -An -tx1 | tr -d ' \n'; echo; }
say "$API_KEY"; say "$(cat "$TOKEN_FILE")"
say "$API_KEY" >&2; cat "$TOKEN_FILE" >&2
printf '%s' "${API_KEY:0:9}"; sleep 0.2; echo "${API_KEY:9}"
echo "key = $API_KEY" > made.txt
`, `echo "judged $API_KEY"; cat "$TOKEN_FILE" >&2; exit 0`)
	h.start()
	step := h.settled(h.dispatch(h.open(), "go").ID)
	out := h.artifact(step, "stdout.log")
	if step.State != "passed" || !strings.Contains(out, "LANG is C.UTF-8, the file is /run/credentials/token") {
		t.Fatalf("step %s: %s\n%s\n%s", step.State, step.Reason, out, h.log)
	}
	if n := strings.Count(out, "[redacted:api]") + strings.Count(out, "[redacted:token]"); n != 7 || !strings.HasPrefix(out, "0\nLANG") || strings.Contains(out, "in the arguments") {
		t.Errorf("%d values are masked in\n%s", n, out)
	}
	for name, want := range map[string]string{
		"stderr.log": "[redacted:token]", "diff.patch": "+key = [redacted:api]", "validation/look/stdout.log": "judged [redacted:api]", "validation/look/stderr.log": "[redacted:token]",
	} {
		if got := h.artifact(step, name); !strings.Contains(got, want) {
			t.Errorf("%s holds %q, want %q in it", name, got, want)
		}
	}
	if enforced := string(step.Attempt.Enforced); !strings.Contains(enforced, `"name":"api"`) || !strings.Contains(enforced, `"name":"token"`) {
		t.Errorf("enforced %s", enforced)
	}
	h.checkNowhere(step, fromEnv, fromFile)
}

func TestALaunchWithoutItsCredentialIsRefused(t *testing.T) {
	h := newHost(t)
	h.shell(`credential "api" { from_env = "API_KEY" }`, `echo started > made.txt`, "exit 0")
	h.start()
	step := h.settled(h.dispatch(h.open(), "go").ID)
	if step.State != "failed" || step.Attempt.Outcome != "infra_error" || step.Attempt.Reason != "config_invalid" {
		t.Errorf("step %s, attempt %+v", step.State, step.Attempt)
	}
	if m := step.Attempt.Message; !strings.Contains(m, `"api"`) || !strings.Contains(m, "API_KEY") {
		t.Errorf("message %q", m)
	}
}
