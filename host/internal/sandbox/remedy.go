package sandbox

import (
	"os"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// facts are read only to name a remedy after something was tried and refused; nothing is decided by them.
type facts struct {
	container  bool
	appArmor   bool // kernel.apparmor_restrict_unprivileged_userns
	debianOff  bool // kernel.unprivileged_userns_clone = 0
	maxUserns0 bool // user.max_user_namespaces = 0
}

func hostFacts() facts {
	return facts{
		container:  exists("/.dockerenv") || exists("/run/.containerenv"),
		appArmor:   sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1",
		debianOff:  sysctl("kernel/unprivileged_userns_clone") == "0",
		maxUserns0: sysctl("user/max_user_namespaces") == "0",
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func sysctl(name string) string {
	text, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// namespaceRemedy is one line.
func namespaceRemedy(f facts) string {
	switch {
	case f.maxUserns0:
		return "run: sudo sysctl -w user.max_user_namespaces=15000"
	case f.debianOff:
		return "run: sudo sysctl -w kernel.unprivileged_userns_clone=1"
	case f.appArmor:
		return "install drawspan as root and load PREFIX/share/drawspan/apparmor/drawspan, or install bubblewrap, or run: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
	case f.container:
		return "start the container with: --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
	}
	return "allow unprivileged user namespaces for this user: sudo sysctl -w user.max_user_namespaces=15000"
}

// stageFault turns a failed stage of the launcher into an error that says what to do.
func stageFault(rep *spec.Report) error {
	switch rep.Stage {
	case "tree":
		return fault.New(fault.TreeRefused, "the tree was not attached: %s", rep.Err)
	case "proc":
		return unavailable("the sandbox cannot have its own /proc: %s", rep.Err).
			Fix("start the container with: --security-opt systempaths=unconfined")
	case "overlay":
		return unavailable("this machine cannot put a throw-away layer over a directory: %s", rep.Err).
			Fix("use Linux 5.11 or newer with overlayfs, and caches on a file system without mounts inside")
	case "mount":
		return fault.New(fault.ConfigInvalid, "a path could not be attached: %s", rep.Err)
	case "landlock":
		return unavailable("this machine has no Landlock to confine with: %s", rep.Err).
			Fix("use a kernel with Landlock (6.2 or newer, with landlock in the lsm= list)")
	case "network", "hostname", "capabilities", "view":
		return unavailable("the new namespaces give no privileges: %s", rep.Err).Fix("%s", namespaceRemedy(hostFacts()))
	}
	return unavailable("the sandbox could not be set up: %s", rep.Err).Fix("run: drawspan doctor")
}
