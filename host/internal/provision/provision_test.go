package provision

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

type fakeTree struct {
	settled bool
	fail    error
}

func (t *fakeTree) Path() string                        { return "/tree" }
func (t *fakeTree) Identity() (uint64, uint64)          { return 1, 2 }
func (t *fakeTree) Shadow(context.Context) (Git, error) { return Git{Dir: "/git"}, nil }
func (t *fakeTree) Settle(context.Context) error        { t.settled = true; return t.fail }
func (t *fakeTree) Links() ([]Bind, error) {
	return []Bind{{Host: "/root/node_modules", Inside: "/tree/node_modules", Label: "link 1"}}, nil
}

type fakeHost struct {
	ran   []Command
	do    func(ctx context.Context, c Command) (Exit, error)
	dir   string // of all caches
	stuck error  // why nothing can be emptied
}

func (h *fakeHost) Run(ctx context.Context, c Command) (Exit, error) {
	h.ran = append(h.ran, c)
	return h.do(ctx, c)
}

func (h *fakeHost) Cache(workspace, name string) (string, error) {
	dir := filepath.Join(h.dir, workspace, name)
	return dir, os.MkdirAll(dir, 0o700)
}

func (h *fakeHost) Empty(dir string) error {
	if h.stuck != nil {
		return h.stuck
	}
	return os.RemoveAll(dir)
}

func request(t *fakeTree, h *fakeHost, fill bool) Request {
	box := &work.SandboxPolicy{Name: "box"}
	return Request{
		Lease:     new(Caches).Use("api"),
		Workspace: "api", AttemptID: "att_1", Kept: true, Tree: t, Host: h, Ports: []int{20000, 20001}, Fill: fill,
		Provision: work.Provision{
			Caches: []work.Cache{{Name: "npm", Variable: "npm_config_cache", Size: 1 << 20}},
			Runs: []work.ProvisionRun{
				{Name: "one", Argv: []string{"one"}, Sandbox: box, Timeout: time.Minute, Declared: "x.hcl:1"},
				{Name: "two", Argv: []string{"two"}, Sandbox: box, Timeout: time.Minute, Declared: "x.hcl:5"},
			},
		},
	}
}

func modes(binds []Bind) string {
	var out []string
	for _, b := range binds {
		out = append(out, b.Inside+" "+b.Mode)
	}
	return strings.Join(out, ", ")
}

func TestLaunchesSeeLinksReadOnlyAndCachesUnderALayer(t *testing.T) {
	for _, fill := range []bool{false, true} {
		tree, host := &fakeTree{}, &fakeHost{dir: t.TempDir(), do: func(context.Context, Command) (Exit, error) { return Exit{}, nil }}
		place, outputs, err := Prepare(t.Context(), request(tree, host, fill))
		if err != nil || len(outputs) != 2 || !tree.settled {
			t.Fatalf("%v, %d outputs, settled %v", err, len(outputs), tree.settled)
		}
		if got := modes(place.Binds); got != "/tree/node_modules ro, /cache/npm overlay" {
			t.Errorf("a launch sees %s", got)
		}
		if want := []string{"npm_config_cache=/cache/npm", "DRAWSPAN_PORT_1=20000", "DRAWSPAN_PORT_2=20001"}; !slices.Equal(place.Env, want) {
			t.Errorf("environment %v", place.Env)
		}
		want := "/tree/node_modules ro, /cache/npm overlay"
		if fill {
			want = "/tree/node_modules ro, /cache/npm rw"
		}
		if got := modes(host.ran[0].Binds); got != want {
			t.Errorf("fill %v: a command sees %s", fill, got)
		}
	}
}

func TestTheFirstFailureEndsItAndSaysWhatWasSaidLast(t *testing.T) {
	tree := &fakeTree{}
	host := &fakeHost{dir: t.TempDir(), do: func(_ context.Context, c Command) (Exit, error) {
		fmt.Fprint(c.Stdout, "one\n")
		fmt.Fprint(c.Stderr, strings.Repeat("noise\n", 10)+"\x1b[31mno such\u202e package\x1b[0m\n")
		return Exit{Code: 3, Refused: "registry.example.com:443, not allowed\x1b]0;\n"}, nil
	}}
	_, outputs, err := Prepare(t.Context(), request(tree, host, true))
	f := fault.From(err)
	if f.Code != fault.ProvisionFailed || len(host.ran) != 1 || len(outputs) != 1 || tree.settled {
		t.Fatalf("%v after %d runs, settled %v", err, len(host.ran), tree.settled)
	}
	for _, want := range []string{`"one" ended with exit status 3`, "; its sandbox refused it registry.example.com:443, not allowed", "drawspan artifact ls att_1"} {
		if !strings.Contains(f.Message, want) {
			t.Errorf("%q lacks %q", f.Message, want)
		}
	}
	if strings.ContainsAny(f.Message, "\x1b\u202e\n") || len(f.Message) > 1000 {
		t.Errorf("unsafe: %q", f.Message)
	}
}

func TestACommandThatDoesNotComeBackIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &fakeHost{dir: t.TempDir(), do: func(ctx context.Context, _ Command) (Exit, error) {
			<-ctx.Done()
			return Exit{Cause: "was lost: killed"}, nil
		}}
		_, _, err := Prepare(t.Context(), request(&fakeTree{}, host, true))
		if f := fault.From(err); f.Code != fault.ProvisionFailed || !strings.Contains(f.Message, "was stopped after 1m0s: it wrote nothing") {
			t.Error(err)
		}
	})
}

func TestACancelIsNoFailureOfTheCommand(t *testing.T) {
	cause := errors.New("the operator changed their mind")
	ctx, cancel := context.WithCancelCause(t.Context())
	host := &fakeHost{dir: t.TempDir(), do: func(context.Context, Command) (Exit, error) {
		cancel(cause)
		return Exit{Cause: "was lost: killed"}, nil
	}}
	if _, _, err := Prepare(ctx, request(&fakeTree{}, host, true)); !errors.Is(err, cause) {
		t.Error(err)
	}
}

func TestATreeThatCannotBeSettledIsNotPrepared(t *testing.T) {
	tree := &fakeTree{fail: fault.New(fault.TreeRefused, "touched")}
	host := &fakeHost{dir: t.TempDir(), do: func(context.Context, Command) (Exit, error) { return Exit{}, nil }}
	if _, outputs, err := Prepare(t.Context(), request(tree, host, true)); fault.CodeOf(err) != fault.TreeRefused || len(outputs) != 2 {
		t.Error(err)
	}
}

func TestOutputIsBoundedAndItsEndIsStillTold(t *testing.T) {
	s := &Stream{}
	for range 3 {
		if n, err := s.Write(make([]byte, maxOutput/2)); n != maxOutput/2 || err != nil {
			t.Fatal(n, err)
		}
	}
	fmt.Fprint(s, "\nthe end\n")
	if len(s.Bytes()) != maxOutput || !s.Cut() || s.tail() != "the end" {
		t.Errorf("%d bytes, cut %v, tail %q", len(s.Bytes()), s.Cut(), s.tail())
	}
}

func TestPortsAreHeldByOneAndGivenBack(t *testing.T) {
	var p Ports
	a, release, err := p.Take(3)
	if err != nil {
		t.Fatal(err)
	}
	b, releaseB, err := p.Take(3)
	if err != nil {
		t.Fatal(err)
	}
	defer releaseB()
	for _, port := range a {
		if slices.Contains(b, port) || port < firstPort || port > lastPort {
			t.Errorf("port %d of %v and %v", port, a, b)
		}
	}
	release()
	release()
	if len(p.held) != 3 {
		t.Errorf("%d ports are held", len(p.held))
	}
}

func TestAPortThatSomebodyListensOnIsNotHandedOut(t *testing.T) {
	var p Ports
	first, release, err := p.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	release()
	for _, address := range []string{"127.0.0.1", "127.0.0.9", "[::1]", ""} {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, first[0]))
		if err != nil {
			t.Logf("not tried with address %q: %v", address, err)
			continue
		}
		p.next = first[0] - firstPort
		next, _, err := p.Take(1)
		if err != nil || next[0] == first[0] {
			t.Errorf("got %v, %v though somebody listens on %q, port %d", next, err, address, first[0])
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.next = first[0] - firstPort
	if again, _, err := p.Take(1); err != nil || again[0] != first[0] {
		t.Errorf("got %v, %v though nobody listens on %d any more", again, err, first[0])
	}
}

func TestPortsEndBeforeTheyAreHandedOutTwice(t *testing.T) {
	var p Ports
	seen := map[int]bool{}
	for {
		ports, _, err := p.Take(16)
		if err != nil {
			if f := fault.From(err); f.Code != fault.Unavailable || len(seen) < 9000 || len(p.held) != len(seen) {
				t.Errorf("%v after %d ports, %d are held", err, len(seen), len(p.held))
			}
			return
		}
		for _, port := range ports {
			if seen[port] {
				t.Fatalf("port %d was handed out twice", port)
			}
			seen[port] = true
		}
	}
}
