//go:build !amd64 && !arm64

package launcher

// auditArch 0 makes the launcher refuse: the filter was not written for this machine.
const (
	auditArch      = 0
	foreignNumbers = 0
)

func archCalls() []call         { return nil }
func archModeCalls() []modeCall { return nil }

func archOwnerCalls() []call { return nil }

func archChownCalls() []call { return nil }

func archDecode(*notice) (request, bool) { return request{}, false }
