package spec

import "syscall"

// SpawnerArg is the one argument that makes the launcher's program a spawner.
const SpawnerArg = "spawner"

// A spawner takes packets of one byte, SpawnNative, with the launcher's descriptors 0 to ControlFD. For each it
// answers with the process id and the error number, eight bytes each in the machine's order, one of them 0.
const (
	SpawnNative = 'n'
	SpawnReply  = 16
)

// LauncherEnv keeps PID 1 small and steady: no collection while the payload may hold every thread that
// the limit allows.
func LauncherEnv() []string {
	return []string{"GOGC=off", "GOMEMLIMIT=64MiB", "GOMAXPROCS=2", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}
}

// Capabilities of the launcher in its own user namespace.
const (
	capDACOverride = 1
	capSetPCap     = 8
	capNetAdmin    = 12
	capSysAdmin    = 21
	capSysResource = 24
)

// Namespaces are all new, but for those of the flags without. A process group of its own keeps the launcher
// from a Ctrl-C at the daemon's terminal; it leaves the terminal by itself. It does not get a session: on
// machines with automatic group scheduling each session is a group of its own, and a launch would wait for
// its first turn. The ambient
// capabilities hold in the new user namespace only, and over files of the daemon's own user only; without
// them the launcher, which is not uid 0 there, would lose them when it is executed. DAC_OVERRIDE is for
// overlayfs, whose work directory has mode 0. The launcher maps the daemon's user by itself: the daemon
// could not do it for a child once it protects its own memory from other processes.
func Namespaces(without uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Setpgid: true,
		Cloneflags: (syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP) &^ without,
		AmbientCaps: []uintptr{capSysAdmin, capNetAdmin, capSetPCap, capSysResource, capDACOverride},
	}
}
