package policy

import (
	"slices"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/work"
)

// giveGateway compiles the executor's gateway, nil for none. It is a widening: what runs in a sandbox
// without a network can talk to a model's service then.
func giveGateway(to *work.ExecutorDecl, e *config.Executor, g *config.Gateway) {
	if g == nil {
		return
	}
	to.Gateway = &work.GatewayPolicy{
		Name: g.Name, Upstream: g.Upstream, Wire: g.Wire, Models: slices.Clone(g.Models), Declared: g.Declared(),
		Budget: work.ModelBudget{Calls: g.Calls, InputTokens: g.InputTokens, OutputTokens: g.OutputTokens},
	}
	if c := g.Credential(); c != nil {
		to.Gateway.Credential = &work.Credential{Name: c.Name, FromEnv: c.FromEnv, FromFile: c.FromFile, Declared: c.Declared()}
	}
	upstream := g.Upstream
	if g.Hidden("upstream") {
		upstream = "(sensitive)"
	}
	if to.Sandbox != nil {
		to.Sandbox.Widenings = append(to.Sandbox.Widenings, work.Widening{
			Sandbox: e.Sandbox, Key: "gateway", Value: g.Name + " to " + upstream, Declared: e.At("gateway").String(),
		})
	}
}
