package sandbox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// judge compares a report with what the policy requires. An error means that the payload must not run.
func (s *Sandbox) judge(pl *plan, rep *spec.Report) (spec.Enforced, error) {
	if rep.Err != "" {
		return spec.Enforced{}, stageFault(rep)
	}
	e := s.vector(pl, rep)
	if err := checkVerified(pl, rep); err != nil {
		return e, err
	}
	enforced, missing := spec.Judge(rep.Features, pl.policy.Level)
	e.Enforced = enforced
	if spec.AtLeast(pl.policy.Level, spec.LevelGuarded) && !rep.Features.Landlock && !slices.Contains(missing, "Landlock ABI 3") {
		missing = append(missing, "Landlock ABI 3")
	}
	missing = append(missing, pl.unmet...)
	missing = append(missing, limitsMissing(pl.spec.Limits, rep.Limits)...)
	if len(missing) == 0 {
		return e, nil
	}
	for _, m := range missing {
		e.Lack(m)
	}
	if pl.policy.OnShortfall == "degrade" && spec.AtLeast(enforced, pl.policy.Floor) {
		e.Floor = pl.policy.Floor
		return e, nil
	}
	required := pl.policy.Level
	if pl.policy.OnShortfall == "degrade" {
		required += ", or at least " + pl.policy.Floor
	}
	return e, unavailable("the sandbox %q requires %s; this machine and version give %s, without: %s",
		pl.policy.Name, required, enforced, strings.Join(missing, ", ")).
		At(pl.policy.Declared).Fix("%s", levelRemedy(pl.policy.Level, rep.Features))
}

func levelRemedy(level string, f spec.Features) string {
	switch {
	case level == spec.LevelVM:
		return `say level = "strict", the highest level of this version`
	case spec.AtLeast(level, spec.LevelIsolated) && f.View && !f.Network:
		return `say level = "guarded": the host's network leaves no more`
	case spec.AtLeast(level, spec.LevelStrict) && f.Landlock && !f.Scopes:
		return `use Linux 6.12 or newer, or say level = "isolated"`
	case !f.Landlock:
		return "use a kernel with Landlock (6.2 or newer, with landlock in the lsm= list)"
	}
	return "run: drawspan doctor"
}

// checkVerified is fatal at every level: a false answer, or one that should be there and is not.
func checkVerified(pl *plan, rep *spec.Report) error {
	want := wanted(pl, rep)
	if pl.spec.Probe.HomeCanary != "" && pl.spec.Backend != spec.None {
		want = append(want, "home_hidden")
	}
	if rep.Features.Landlock {
		want = append(want, "landlock_refuses")
	}
	if rep.Features.Notify {
		want = append(want, "refusals_reported")
	}
	if pl.git && !onHost(pl.spec.Backend) {
		want = append(want, "git_protected")
	}
	held := outcomes(rep)
	var wrong []string
	for _, name := range want {
		if !held[name] {
			wrong = append(wrong, name)
		}
	}
	for name, ok := range held {
		if !ok && !slices.Contains(wrong, name) {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return fault.New(fault.SandboxUnverified, "the sandbox did not hold when it was tried: %s", strings.Join(wrong, ", ")).
		Fix("run: drawspan doctor")
}

func outcomes(rep *spec.Report) map[string]bool {
	held := make(map[string]bool, len(rep.Verified))
	for _, v := range rep.Verified {
		held[v.Name] = v.Held
	}
	return held
}

// vector is the record of a launch, without the verdict on its level.
func (s *Sandbox) vector(pl *plan, rep *spec.Report) spec.Enforced {
	e := spec.Enforced{
		Required: pl.policy.Level, Backend: "native", LauncherSHA256: s.launcher.digest,
		Verified: outcomes(rep), Shortfall: append(slices.Clone(rep.Notes), pl.notes...), SetupUS: rep.SetupUS, VerifyUS: rep.VerifyUS,
	}
	e.FS.View = "allowlist"
	e.FS.LandlockABI = rep.Landlock
	e.FS.Tree = pl.tree
	if pl.tree == "" {
		e.FS.Tree = "none"
	}
	e.FS.RW, e.FS.RO, e.FS.Overlay = pl.rw, slices.Compact(pl.ro), slices.Compact(pl.overlay)
	e.Net.Mode, e.Net.Netns = pl.spec.Network, rep.Features.Network
	if pl.spec.Network == spec.NetworkProxy {
		e.Net.Allow, e.Net.Private = slices.Clone(pl.policy.Network.Allow), pl.policy.Network.Private
	}
	e.Net.Gateway = pl.spec.Gateway
	e.Git.Mode = "none"
	if pl.git {
		e.Git.Mode, e.Git.Import = "shadow", pl.policy.Import
	}
	e.Git.Protected, e.Creds = pl.protected, pl.creds
	e.Syscalls.Allow = slices.Clone(pl.policy.Calls)
	e.Proc.PIDNS = rep.Features.Namespaces
	e.Proc.NestedUserns = "allowed"
	if rep.Features.Nested {
		e.Proc.NestedUserns = "denied"
	}
	if !rep.Features.Caps {
		e.Proc.Caps = -1
	}
	e.Proc.NoNewPrivs = rep.Features.NoNewPrivs
	e.Syscalls.Filter = fmt.Sprintf("bpf:%d", rep.Filter)
	e.Syscalls.Notify = rep.Features.Notify
	e.Limits.Source = "rlimit"
	e.Limits.Processes = rep.Limits.Processes
	e.Limits.OpenFiles = rep.Limits.OpenFiles
	e.Limits.FileSize = rep.Limits.FileSize
	e.Limits.Tmp = pl.spec.Scratch
	recordWatched(&e, rep.Limits)
	pl.group.record(&e)
	describe(&e, pl, rep)
	return e
}
