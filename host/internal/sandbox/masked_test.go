package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// A mask takes something away from the kernel for a whole process tree, by a system call filter.
type mask struct {
	call  uint32
	arg   int // -1: whatever the arguments
	bits  uint32
	errno unix.Errno
	value int // not 0: the call succeeds with this instead
}

func masks() map[string]mask {
	return map[string]mask{
		"landlock":         {unix.SYS_LANDLOCK_CREATE_RULESET, -1, 0, unix.ENOSYS, 0},
		"user-namespaces":  {unix.SYS_CLONE, 0, unix.CLONE_NEWUSER, unix.EPERM, 0},
		"violation-feed":   {unix.SYS_SECCOMP, 1, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, unix.EINVAL, 0},
		"syscall-filter":   {unix.SYS_SECCOMP, -1, 0, unix.EINVAL, 0},
		"pivot-root":       {unix.SYS_PIVOT_ROOT, -1, 0, unix.EPERM, 0},
		"no-new-privs":     {unix.SYS_PRCTL, 0, unix.PR_SET_NO_NEW_PRIVS, unix.EINVAL, 0},
		"mount-attributes": {unix.SYS_MOUNT_SETATTR, -1, 0, unix.ENOSYS, 0},
	}
}

// install puts the mask on every thread of this process and what it will start.
func (m mask) install() error {
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: m.call, SkipTrue: 3},
	}
	if m.arg >= 0 {
		test := bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: m.bits, SkipTrue: 1}
		if m.call == unix.SYS_PRCTL || m.call == unix.SYS_MOUNT || m.value != 0 {
			test = bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: m.bits, SkipTrue: 1}
		}
		program = append(program, bpf.LoadAbsolute{Off: uint32(16 + 8*m.arg), Size: 4}, test)
	} else {
		program = append(program, bpf.LoadConstant{}, bpf.LoadConstant{})
	}
	verdict, flags := unix.SECCOMP_RET_ERRNO|uint32(m.errno), uintptr(unix.SECCOMP_FILTER_FLAG_TSYNC)
	if m.value != 0 {
		verdict, flags = unix.SECCOMP_RET_USER_NOTIF, flags|unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH|unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	program = append(program,
		bpf.RetConstant{Val: verdict},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return errno
	}
	if m.value != 0 {
		go m.answer(int(listener))
	}
	return nil
}

// trial is what a process with a mask found.
type trial struct {
	Code     fault.Code
	Message  string
	Hint     string
	Enforced spec.Enforced
	Exit     sandbox.Exit
	Tree     string
}

// runMasked launches a payload that writes a marker into the tree, on a kernel without something.
func runMasked(args []string) int {
	result, err := tryMasked(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return 1
	}
	return 0
}

func tryMasked(args []string) (trial, error) {
	state, home, tree := args[1], args[2], args[3]
	var policy work.SandboxPolicy
	if err := json.Unmarshal([]byte(args[4]), &policy); err != nil {
		return trial{}, err
	}
	kernel, ok := masks()[args[0]]
	if !ok {
		kernel = moreMasks()[args[0]]
	}
	if err := kernel.install(); err != nil {
		return trial{}, fmt.Errorf("mask %s: %w", args[0], err)
	}
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: state, Home: home})
	if err != nil {
		return trial{}, err
	}
	p, err := box.Launch(context.Background(), sandbox.Request{
		Policy: &policy, Tree: sandbox.Tree{Path: tree, Mode: args[5]},
		Path: "/bin/sh", Argv: []string{"sh", "-c", ": >ran; kill -0 $PPID && : >signalled; : >/run/written"},
	})
	if err != nil {
		f := fault.From(err)
		return trial{Code: f.Code, Message: f.Error(), Hint: f.Hint}, box.Close()
	}
	return trial{Enforced: p.Enforced(), Exit: p.Exit()}, box.Close()
}

// masked runs a trial in a process of its own.
func masked(t *testing.T, name string, policy work.SandboxPolicy) (trial, bool) {
	t.Helper()
	return maskedTree(t, name, policy, sandbox.TreeWritable)
}

func maskedTree(t *testing.T, name string, policy work.SandboxPolicy, mode string) (trial, bool) {
	t.Helper()
	needSandbox(t)
	tree := realTemp(t)
	text, err := json.Marshal(policy)
	if err != nil {
		t.Fatal(err)
	}
	cmd := outside(t, "masked", name, realTemp(t), realTemp(t), tree, string(text), mode)
	cmd.Env = []string{launcherVariable + "=" + os.Getenv(launcherVariable)}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("trial: %v", err)
	}
	var result trial
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	result.Tree = tree
	_, err = os.Stat(filepath.Join(tree, "ran"))
	return result, err == nil
}

func TestS82_BelowTheRequiredLevelNothingRuns(t *testing.T) {
	for name := range masks() {
		t.Run("without "+name, func(t *testing.T) {
			policy := *isolated()
			policy.Backend = "native"
			result, ran := masked(t, name, policy)
			if name == "violation-feed" { // isolated does not need it
				if !ran || result.Enforced.Enforced != "isolated" || result.Enforced.Syscalls.Notify {
					t.Errorf("ran %v: %+v", ran, result)
				}
				if !slices.ContainsFunc(result.Enforced.Shortfall, func(s string) bool { return strings.Contains(s, "violation feed") }) {
					t.Errorf("the shortfall is not recorded: %v", result.Enforced.Shortfall)
				}
				return
			}
			if ran {
				t.Error("the payload ran")
			}
			if result.Code != fault.SandboxUnavailable {
				t.Errorf("code %q: %s", result.Code, result.Message)
			}
			if result.Hint == "" || strings.Contains(result.Hint, "\n") {
				t.Errorf("the remedy is not one line: %q", result.Hint)
			}
		})
	}
}

func TestS82_AWeakerSandboxIsAcceptedOnlyByDeclarationAndRecordedAsWhatItIs(t *testing.T) {
	policy := *isolated()
	policy.OnShortfall, policy.Floor = "degrade", "isolated"
	result, ran := masked(t, "landlock", policy)
	if !ran || result.Code != "" {
		t.Fatalf("ran %v: %+v", ran, result)
	}
	e := result.Enforced
	if e.FS.LandlockABI != 0 || e.Enforced != "isolated" || e.Floor != "isolated" {
		t.Errorf("recorded: %+v", e)
	}
	if !slices.Contains(e.Shortfall, "missing: Landlock ABI 3") {
		t.Errorf("shortfall: %v", e.Shortfall)
	}
	if _, ok := e.Verified["landlock_refuses"]; ok {
		t.Error("a refusal of Landlock was verified without Landlock")
	}
	// The record tells the truth: what Landlock alone refuses is possible here.
	if result.Exit.Code != 0 {
		t.Errorf("the payload could not write what only Landlock refuses: %+v", result.Exit)
	}
}

func TestS82_ALevelThatIsNotReachedIsRefusedWithTheReason(t *testing.T) {
	f := newFixture(t)
	for level, reason := range map[string]string{"strict": "protected git directory", "vm": "external runner"} {
		t.Run(level, func(t *testing.T) {
			policy := isolated()
			policy.Level = level
			marker := filepath.Join(f.tree, "ran-"+level)
			_, err := f.box.Launch(deadline(t), sandbox.Request{
				Policy: policy, Tree: f.writable(), Path: "/bin/touch", Argv: []string{"touch", marker},
			})
			if !fault.Is(err, fault.SandboxUnavailable) || !strings.Contains(err.Error(), reason) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(marker); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the payload ran: %v", err)
			}
		})
	}
	t.Run("strict with a declared floor", func(t *testing.T) {
		policy := isolated()
		policy.Level, policy.OnShortfall, policy.Floor = "strict", "degrade", "isolated"
		p := f.launch(sandbox.Request{Policy: policy, Tree: f.writable(), Path: "/bin/true"})
		e := vector(t, p)
		if e.Required != "strict" || e.Enforced != "isolated" || e.Floor != "isolated" || len(e.Shortfall) == 0 {
			t.Errorf("recorded: %+v", e)
		}
		if p.Level() != "isolated" {
			t.Errorf("level %q", p.Level())
		}
	})
	for _, level := range []string{"off", "guarded"} {
		t.Run(level+" is more than satisfied", func(t *testing.T) {
			policy := isolated()
			policy.Level, policy.Backend = level, "native"
			p := f.launch(sandbox.Request{Policy: policy, Path: "/bin/true"})
			if e := vector(t, p); e.Required != level || e.Enforced != "strict" {
				t.Errorf("recorded: %+v", e)
			}
		})
	}
}

func TestS82_ARefusalThatDoesNotHoldIsFatalAtEveryLevel(t *testing.T) {
	needSandbox(t)
	// A home inside /usr is in every view, so the verification finds it.
	state := realTemp(t)
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: state, Home: "/usr/share"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	tree := realTemp(t)
	for _, level := range []string{"off", "guarded", "isolated"} {
		policy := isolated()
		policy.Level, policy.OnShortfall, policy.Floor, policy.Backend = level, "degrade", "off", "native"
		_, err := box.Launch(deadline(t), sandbox.Request{
			Policy: policy, Tree: sandbox.Tree{Path: tree, Mode: sandbox.TreeWritable},
			Path: "/bin/touch", Argv: []string{"touch", "ran"},
		})
		if !fault.Is(err, fault.SandboxUnverified) || !strings.Contains(err.Error(), "home_replaced") {
			t.Errorf("%s: got %v", level, err)
		}
		if _, err := os.Stat(filepath.Join(tree, "ran")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the payload ran: %v", level, err)
		}
	}
}
