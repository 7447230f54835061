package policy

import (
	"fmt"
	"slices"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/permission"
	"github.com/drawspan/drawspan/host/internal/work"
)

// permissions are an executor's rules in their order.
func (c *compiler) permissions(e *config.Executor) []work.PermissionRule {
	var out []work.PermissionRule
	for _, p := range e.Permissions {
		for i, text := range p.Commands {
			if err := permission.CheckPattern(text); err != nil {
				c.complain(p.At(fmt.Sprintf("commands[%d]", i)), config.Diagnostic{
					Code: "invalid_command", Summary: "commands: " + err.Error(), Hint: "write words as in \"go test *\"; quote what a shell would act upon",
				})
			}
		}
		out = append(out, work.PermissionRule{
			Name: p.Name, Decision: p.Decision, Kinds: slices.Clone(p.Kinds), Paths: slices.Clone(p.Paths), Commands: slices.Clone(p.Commands), Declared: p.Declared(),
		})
	}
	return out
}
