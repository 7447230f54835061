package sandbox_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// moreMasks are simulated kernels on which at least one back-end still works.
func moreMasks() map[string]mask {
	all := map[string]mask{
		"openat2":       {unix.SYS_OPENAT2, -1, 0, unix.ENOSYS, 0},
		"overlay":       {unix.SYS_FSOPEN, -1, 0, unix.ENODEV, 0},
		"powers-inside": {unix.SYS_SETHOSTNAME, -1, 0, unix.EPERM, 0}, // as AppArmor: the namespaces are made, and give nothing
		// The flags with which /proc is mounted, and nothing else.
		"proc-mount": {unix.SYS_MOUNT, 3, unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, unix.EPERM, 0},
	}
	for abi := 1; abi <= 6; abi++ {
		all[fmt.Sprintf("landlock-abi-%d", abi)] = mask{
			unix.SYS_LANDLOCK_CREATE_RULESET, 2, unix.LANDLOCK_CREATE_RULESET_VERSION, 0, abi,
		}
	}
	return all
}

// answer gives every call that reaches the listener the mask's value.
func (m mask) answer(listener int) {
	for {
		var n struct {
			id           uint64
			pid, flags   uint32
			number, arch uint32
			instruction  uint64
			arg          [6]uint64
		}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
		if errno == unix.EINTR || errno == unix.ENOENT {
			continue
		}
		if errno != 0 {
			return
		}
		a := struct {
			id    uint64
			value int64
			errno int32
			flags uint32
		}{id: n.id, value: int64(m.value)}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a))); errno != 0 && errno != unix.ENOENT {
			return
		}
	}
}

// What each back-end reaches on a kernel without something; "" means that it is refused. The launches have a
// tree without a git directory, so that isolated is the most.
func reached() map[string][3]string {
	const i, g = "isolated", "guarded"
	return map[string][3]string{ // native, bwrap, landlock
		"landlock":         {i, i, ""},
		"user-namespaces":  {"", "", g},
		"powers-inside":    {"", "", g},
		"violation-feed":   {i, i, g},
		"syscall-filter":   {"", "", ""},
		"pivot-root":       {"", "", g},
		"no-new-privs":     {"", "", ""},
		"mount-attributes": {"", i, g},
		"proc-mount":       {"", "", g},
		"overlay":          {i, i, g},
		"openat2":          {i, i, g},
		"landlock-abi-1":   {i, i, "off"},
		"landlock-abi-2":   {i, i, "off"},
		"landlock-abi-3":   {i, i, g},
		"landlock-abi-4":   {i, i, g},
		"landlock-abi-5":   {i, i, g},
		"landlock-abi-6":   {i, i, g},
	}
}

func TestS82_EachBackendOnEachKernelReachesWhatItRecords(t *testing.T) {
	for kernel, levels := range reached() {
		best := ""
		for i, backend := range []string{"native", "bwrap", "landlock"} {
			want := levels[i]
			if backend == "bwrap" && !exists("/usr/bin/bwrap") {
				want = ""
			}
			if best == "" || best == "off" {
				best = want
			}
			t.Run(kernel+"/"+backend, func(t *testing.T) { assertReached(t, kernel, backend, want) })
		}
		t.Run(kernel+"/auto", func(t *testing.T) { assertReached(t, kernel, "auto", best) })
	}
}

func assertReached(t *testing.T, kernel, backend, want string) {
	t.Helper()
	policy := work.SandboxPolicy{
		Name: "test", Level: "strict", OnShortfall: "degrade", Floor: "off", Backend: backend, Declared: "test.hcl:1",
	}
	result, ran := masked(t, kernel, policy)
	if want == "" {
		if ran || result.Code != fault.SandboxUnavailable || result.Hint == "" || strings.Contains(result.Hint, "\n") {
			t.Errorf("ran %v, %+v", ran, result)
		}
		return
	}
	e := result.Enforced
	if !ran || result.Code != "" || e.Enforced != want || e.Floor != "off" || e.Required != "strict" {
		t.Errorf("ran %v, want %s: %+v", ran, want, result)
	}
	lacks := slices.ContainsFunc(e.Shortfall, func(s string) bool { return strings.HasPrefix(s, "missing: ") })
	if !lacks {
		t.Errorf("nothing is missing of strict: %v", e.Shortfall)
	}
	if e.Backend != "landlock" {
		return
	}
	// What the record says of signals is what the payload could do.
	signals := slices.ContainsFunc(e.Shortfall, func(s string) bool { return strings.HasPrefix(s, "proc.signals") })
	if signalled := exists(filepath.Join(result.Tree, "signalled")); signalled != signals || (e.Proc.Orphans == "subreaper") == signals {
		t.Errorf("signalled %v, recorded %v, orphans %s", signalled, signals, e.Proc.Orphans)
	}
	// And without a floor nothing of it runs.
	policy.OnShortfall, policy.Floor = "", ""
	if result, ran := masked(t, kernel, policy); ran || result.Code != fault.SandboxUnavailable || result.Hint == "" {
		t.Errorf("without a floor: ran %v, %+v", ran, result)
	}
}

func TestS82_WithoutLayersASealedTreeIsRefusedByNative(t *testing.T) {
	policy := *isolated()
	policy.Backend = "native"
	result, ran := maskedTree(t, "overlay", policy, "overlay")
	if ran || result.Code != fault.SandboxUnavailable || !strings.Contains(result.Message, "throw-away layer") {
		t.Errorf("ran %v, %+v", ran, result)
	}
}
