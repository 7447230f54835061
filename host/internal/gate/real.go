package gate

import "github.com/drawspan/drawspan/host/internal/work"

// RealValidator is the validator of a gate that asks for a real executor. It is built in.
const RealValidator = "real-executor"

// Real judges who did the work: what a simulator made never passes, whatever it is. Where no executor was
// at work, there is nobody to ask for.
func Real(simulated bool, plugin string) (work.Result, string) {
	if !simulated && plugin == "" {
		return work.ResultSkip, "no executor was at work"
	}
	if simulated {
		return work.ResultFail, "simulated: plugin \"" + plugin + "\" only plays a part"
	}
	return work.ResultPass, "plugin \"" + plugin + "\" is no simulator"
}
