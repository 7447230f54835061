package sandbox

import (
	"context"
	"fmt"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// backendChecks launches once under each back-end, anew. One that is missing is worth a warning only where no
// better one gives strict.
func (s *Sandbox) backendChecks(ctx context.Context) []Check {
	s.forget()
	var checks []Check
	strict := false
	for _, b := range backends() {
		t := s.try(ctx, b)
		c := Check{Name: "back-end " + b, State: checkOK}
		switch {
		case t.err == nil:
			c.Detail = fmt.Sprintf("level %s, %d refusals verified", t.enforced.Enforced, len(t.enforced.Verified))
			if t.enforced.Bubblewrap != "" {
				c.Detail += ", bubblewrap " + t.enforced.Bubblewrap
			}
			strict = strict || t.enforced.Enforced == spec.LevelStrict
		case strict:
			c.Detail = "not needed, and not usable here: " + reason(t.err)
		default:
			c.State, c.Detail, c.Fix = checkWarn, "not usable here: "+reason(t.err), fault.From(t.err).Hint
			if c.Fix == "" {
				c.Fix = "run: drawspan doctor"
			}
		}
		checks = append(checks, c)
	}
	return checks
}

// reason is an error without its remedy.
func reason(err error) string {
	if f := fault.From(err); f.Code != fault.Internal {
		return f.Message
	}
	return err.Error()
}

// means is what a launch was confined by, in words.
func means(e spec.Enforced) string {
	switch e.Backend {
	case spec.Landlock:
		return "Landlock and a system call filter, without namespaces"
	case spec.Bwrap:
		return "namespaces made by bubblewrap, no capabilities"
	}
	return "new user, mount, pid, network, ipc, uts and cgroup namespaces, no capabilities"
}
