package launcher

import "golang.org/x/sys/unix"

const (
	auditArch      = unix.AUDIT_ARCH_AARCH64
	foreignNumbers = 0 // one interface only
)

func archCalls() []call         { return nil }
func archModeCalls() []modeCall { return nil }

func archOwnerCalls() []call { return nil }

func archChownCalls() []call { return nil }

func archDecode(*notice) (request, bool) { return request{}, false }
