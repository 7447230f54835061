package sandbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// guarded is what a machine without user namespaces can do.
func guarded() *work.SandboxPolicy {
	return &work.SandboxPolicy{Name: "test", Level: "guarded", Backend: "landlock", Declared: "test.hcl:1"}
}

// off is no confinement at all, only supervision.
func off() *work.SandboxPolicy {
	return &work.SandboxPolicy{Name: "test", Level: "off", Declared: "test.hcl:1"}
}

func TestLandlockAloneIsGuardedAndSaysSo(t *testing.T) {
	f := newFixture(t)
	p := f.launch(sandbox.Request{Policy: guarded(), Tree: f.writable(), Path: "/bin/sh", Argv: []string{
		"sh", "-c", `set -e; : >here; : >$HOME/a; : >$TMPDIR/b; test "$HOME" != /home/user`}})
	e := vector(t, p)
	if end := p.Exit(); end.Code != 0 || end.Lost != "" {
		t.Errorf("exit: %+v", end)
	}
	if e.Enforced != "guarded" || e.Backend != "landlock" || e.Proc.PIDNS || e.Net.Netns || e.Proc.Orphans != "subreaper" || e.FS.View == "allowlist" {
		t.Errorf("recorded: %+v", e)
	}
	for _, name := range []string{"landlock_refuses", "unix_connect_refused", "egress_refused", "home_hidden", "refusals_reported", "signals_refused"} {
		if !e.Verified[name] {
			t.Errorf("%s was not verified: %v", name, e.Verified)
		}
	}
	if !exists(filepath.Join(f.tree, "here")) {
		t.Error("nothing was written to the tree")
	}
	left, err := filepath.Glob(filepath.Join(f.state, "sandbox", "live-*", "private-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestALevelAboveGuardedIsRefusedWithoutNamespaces(t *testing.T) {
	f := newFixture(t)
	for _, level := range []string{"isolated", "strict"} {
		policy := guarded()
		policy.Level = level
		marker := filepath.Join(f.tree, level)
		_, err := f.box.Launch(deadline(t), sandbox.Request{Policy: policy, Tree: f.writable(), Path: "/bin/touch", Argv: []string{"touch", marker}})
		if !fault.Is(err, fault.SandboxUnavailable) || !strings.Contains(err.Error(), "namespaces") || exists(marker) {
			t.Errorf("%s: got %v", level, err)
		}
		policy.OnShortfall, policy.Floor = "degrade", "guarded"
		p := f.launch(sandbox.Request{Policy: policy, Tree: f.writable(), Path: "/bin/true"})
		if e := vector(t, p); e.Required != level || e.Enforced != "guarded" || e.Floor != "guarded" {
			t.Errorf("recorded: %+v", e)
		}
	}
}

// wrapped is what a machine can do that lets only bubblewrap make user namespaces.
func wrapped(t *testing.T) *work.SandboxPolicy {
	t.Helper()
	if !exists("/usr/bin/bwrap") {
		t.Skip("bubblewrap is not installed: apt-get install bubblewrap")
	}
	return &work.SandboxPolicy{Name: "test", Level: "isolated", Backend: "bwrap", Declared: "test.hcl:1"}
}

func TestBubblewrapGivesStrictAndSaysWho(t *testing.T) {
	f := newFixture(t)
	policy := wrapped(t)
	policy.Level = "strict"
	p := f.launch(sandbox.Request{Policy: policy, Path: "/bin/sh", Argv: []string{
		"sh", "-c", `set -e; test $$ != 1; : >/tmp/a; : >$HOME/b; : >/dev/shm/c; ! touch /etc/d 2>/dev/null; test "$(hostname)" = sandbox`}})
	e := vector(t, p)
	if end := p.Exit(); end.Code != 0 || end.Lost != "" {
		t.Errorf("exit: %+v", end)
	}
	if e.Enforced != "strict" || e.Backend != "bwrap" || !e.Proc.PIDNS || !e.Net.Netns || e.Proc.Orphans != "pid namespace" || e.Proc.NestedUserns != "denied" {
		t.Errorf("recorded: %+v", e)
	}
	if !strings.HasPrefix(e.Bubblewrap, "0.") || !strings.Contains(e.Bubblewrap, " sha256:") {
		t.Errorf("bubblewrap is recorded as %q", e.Bubblewrap)
	}
}

func TestBubblewrapAttachesTheTreeThatWasPinned(t *testing.T) {
	f := newFixture(t)
	policy := wrapped(t)
	if _, end := f.script(sandbox.Request{Policy: policy, Tree: f.writable()}, ": >here"); end.Code != 0 || !exists(filepath.Join(f.tree, "here")) {
		t.Errorf("exit: %+v", end)
	}
	wrong := f.writable()
	wrong.Dev, wrong.Ino = 1, 2
	_, err := f.box.Launch(deadline(t), sandbox.Request{Policy: policy, Tree: wrong, Path: "/bin/true"})
	if !fault.Is(err, fault.TreeRefused) {
		t.Errorf("another tree: got %v", err)
	}
}

func TestS78_ASealedTreeIsReadOnlyWhereThereAreNoLayers(t *testing.T) {
	for name, policy := range map[string]*work.SandboxPolicy{"bwrap": wrapped(t), "landlock": guarded()} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			kept := write(t, filepath.Join(f.tree, "dir", "kept"), "judged")
			sealed := sandbox.Tree{Path: f.tree, Mode: sandbox.TreeOverlay}
			text, end := f.script(sandbox.Request{Policy: policy, Tree: sealed},
				`cat dir/kept; echo x >dir/kept; echo x >new; rm dir/kept; mv dir moved; mkdir made; ln dir/kept hard; exit 0`)
			if end.Code != 0 || !strings.HasPrefix(text, "judged") || read(t, kept) != "judged" {
				t.Errorf("exit %+v: %q", end, text)
			}
			entries, err := os.ReadDir(f.tree)
			if err != nil || len(entries) != 1 {
				t.Errorf("the tree holds %v, %v", entries, err)
			}
			p := f.launch(sandbox.Request{Policy: policy, Tree: sealed, Path: "/bin/true"})
			if e := vector(t, p); e.FS.Tree != "read-only" || !e.Verified["tree_sealed"] {
				t.Errorf("recorded: %+v, %v", e.FS, e.Verified)
			}
		})
	}
}

func TestTheHostsNetworkLeavesGuarded(t *testing.T) {
	for name, policy := range map[string]*work.SandboxPolicy{"native": isolated(), "bwrap": wrapped(t)} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			x := outsideWorld(t, f)
			policy.Backend, policy.Network.Mode = name, "host"
			_, err := f.box.Launch(deadline(t), sandbox.Request{Policy: policy, Path: "/bin/true"})
			if !fault.Is(err, fault.SandboxUnavailable) || !strings.Contains(fault.From(err).Hint, "guarded") {
				t.Errorf("at isolated: got %v", err)
			}
			policy.Level = "guarded"
			for _, o := range f.outcomes(policy, "network", x) {
				reached := o.Name == "TCP to the host's loopback"
				abroad := strings.Contains(o.Name, "outside") || strings.Contains(o.Name, "resolver") || strings.Contains(o.Name, "fast open")
				if !abroad && (o.Error == "") != reached {
					t.Errorf("%s: %q", o.Name, o.Error)
				}
			}
			for _, o := range f.outcomes(policy, "host", x) {
				if o.Error == "" {
					t.Errorf("%s: it worked", o.Name)
				}
			}
			p := f.launch(sandbox.Request{Policy: policy, Path: "/bin/sh", Argv: []string{"sh", "-c", "test -s /etc/hosts"}})
			if e := vector(t, p); e.Enforced != "guarded" || e.Net.Mode != "host" || e.Net.Netns || e.Verified["egress_refused"] {
				t.Errorf("recorded: %+v, %v", e.Net, e.Verified)
			}
			if end := p.Exit(); end.Code != 0 {
				t.Errorf("exit: %+v", end)
			}
		})
	}
}

func TestS30_BubblewrapRefusesEverything(t *testing.T) {
	f := newFixture(t)
	x := outsideWorld(t, f)
	for _, kind := range []string{"host", "network"} {
		for _, o := range f.outcomes(wrapped(t), kind, x) {
			if !o.Refused {
				t.Errorf("%s: %q", o.Name, o.Error)
			}
		}
	}
	f.assertUntouched(x)
}

// A level never claims more than it refuses: what Landlock alone lets through is named here, and why.
func landlockExceptions() map[string]string {
	return map[string]string{
		"see a process of the host": "/proc is the machine's",
		"read kernel keys":          "/proc is the machine's: names of keys, not what they hold",
	}
}

func TestS30_LandlockAloneRefusesAllButItsExceptions(t *testing.T) {
	f := newFixture(t)
	x := outsideWorld(t, f)
	for _, kind := range []string{"host", "network"} {
		for _, o := range f.outcomes(guarded(), kind, x) {
			if why := landlockExceptions()[o.Name]; (o.Error == "") != (why != "") {
				t.Errorf("%s: %q, and the exception is %q", o.Name, o.Error, why)
			}
		}
	}
	f.assertUntouched(x)
}

func TestS35_KillEndsThreeHundredDetachedProcessesOnEveryBackend(t *testing.T) {
	for name, policy := range map[string]*work.SandboxPolicy{"native": isolated(), "bwrap": wrapped(t), "landlock": guarded(), "off": off()} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			out, write := pipe(t)
			policy.Processes = 2000
			p := f.launch(sandbox.Request{Policy: policy, Stdout: write, Path: "/bin/sh", Argv: []string{"sh", "-c", daemonise, "sh", "300", "stay"}})
			write.Close()
			readLines(t, out, 300)
			d, err := p.Kill(deadline(t))
			if err != nil || !d.Proved || d.Survivors != 0 {
				t.Fatalf("death: %+v, %v", d, err)
			}
			if !drained(t, out) {
				t.Error("a process was alive when Kill returned")
			}
			t.Logf("%s: three hundred were dead after %v", d.Method, d.Took)
			if end := p.Exit(); end.Lost != "killed" {
				t.Errorf("exit: %+v", end)
			}
		})
	}
}

func TestWithoutNamespacesWhatIsLeftBehindDies(t *testing.T) {
	for name, policy := range map[string]*work.SandboxPolicy{"landlock": guarded(), "off": off()} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			out, write := pipe(t)
			p := f.launch(sandbox.Request{Policy: policy, Stdout: write, Path: "/bin/sh", Argv: []string{"sh", "-c", daemonise, "sh", "5", ""}})
			write.Close()
			end := p.Exit()
			if !drained(t, out) {
				t.Error("a process was alive when Done was closed")
			}
			if end.Leftovers != 5 || end.Code != 0 || end.Lost != "" {
				t.Errorf("exit: %+v", end)
			}
		})
	}
}

func TestALauncherThatIsKilledProvesNothingWithoutNamespaces(t *testing.T) {
	f := newFixture(t)
	out, write := pipe(t)
	p, err := f.box.Launch(deadline(t), sandbox.Request{
		Policy: guarded(), Stdout: write, Path: "/bin/sh", Argv: []string{"sh", "-c", "sleep 1000 & echo ready; wait"},
	})
	if err != nil {
		t.Fatal(err)
	}
	write.Close()
	readLines(t, out, 1)
	if err := unix.Kill(p.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if end := p.Exit(); !strings.Contains(end.Lost, "launcher ended by itself") {
		t.Errorf("exit: %+v", end)
	}
	d, err := p.Kill(deadline(t))
	if err == nil || d.Proved || d.Survivors != 0 {
		t.Errorf("death: %+v, %v", d, err)
	}
	if !drained(t, out) {
		t.Error("what was in the launcher's session is alive")
	}
}

func TestOffIsOnlySupervisedAndSaysSo(t *testing.T) {
	f := newFixture(t)
	secret := write(t, filepath.Join(f.home, "file"), "text")
	out, end := f.script(sandbox.Request{Policy: off(), Tree: f.writable(), Env: []string{"A=b"}}, `cat "$1"; env | cut -d= -f1 | sort | tr '\n' ' '; ls /proc/self/fd | tr '\n' ' '`, secret)
	if end.Code != 0 || !strings.HasPrefix(out, "text") || !strings.Contains(out, "0 1 2 3") || strings.Contains(out, "USER") {
		t.Errorf("exit %+v: %q", end, out)
	}
	p := f.launch(sandbox.Request{Policy: off(), Path: "/bin/true"})
	e := vector(t, p)
	if e.Enforced != "off" || e.Required != "off" || e.Backend != "none" || e.Proc.Caps != -1 || e.Net.Mode != "host" || e.Limits.Processes == 0 {
		t.Errorf("recorded: %+v", e)
	}
	if !slices.ContainsFunc(e.Shortfall, func(s string) bool { return strings.HasPrefix(s, "off:") }) {
		t.Errorf("shortfall: %v", e.Shortfall)
	}
}

func TestADaemonThatIsKilledLeavesNoProcessOnAnyBackend(t *testing.T) {
	needSandbox(t)
	for backend, level := range map[string]string{"bwrap": "isolated", "landlock": "guarded", "auto": "off"} {
		t.Run(backend+" "+level, func(t *testing.T) {
			if backend == "bwrap" {
				wrapped(t)
			}
			assertNothingOutlivesADaemon(t, backend, level)
		})
	}
}
