package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// permissions decodes an executor's rules in their order.
func (d *decoder) permissions(e *Executor, blocks []*hcl.Block) {
	first := map[string]Range{}
	for i, b := range blocks {
		if i >= maxPermissions {
			d.rep.at(from(b.DefRange), problem{code: codeTooLarge, summary: fmt.Sprintf("there are more than %d permissions", maxPermissions)})
			return
		}
		o, name, ok := d.named(b, e.block, namePattern, first)
		if !ok {
			continue
		}
		p := &Permission{Origin: o, Name: name}
		d.fill(&p.Origin, p, &permissionSchema, b.Body)
		e.Permissions = append(e.Permissions, p)
	}
}

// checkPermissions refuses rules that could never apply. The grammar of commands is the policy compiler's.
func (d *decoder) checkPermissions(e *Executor) {
	var all *Permission
	for _, p := range e.Permissions {
		if all != nil {
			d.rep.header(p.at, problem{code: codeNoEffect, summary: fmt.Sprintf("permission %q is never reached: %q before it applies to everything", p.Name, all.Name),
				hint: "move it up, or leave it out"})
		}
		for i, k := range p.Kinds {
			if !slices.Contains(toolKinds, k) {
				d.rep.at(p.element("kinds", i), problem{code: codeValue, summary: fmt.Sprintf("%s is no kind of tool", quoted(k)), hint: meant(k, toolKinds, "kind")})
			}
		}
		for i, g := range p.Paths {
			d.checkPermissionGlob(p.element("paths", i), g)
		}
		for key, list := range map[string][]string{"kinds": p.Kinds, "paths": p.Paths, "commands": p.Commands} {
			if p.Has(key) && len(list) == 0 {
				d.rep.at(p.At(key), problem{code: codeValue, summary: key + " must not be empty", hint: "leave it out for all"})
			}
		}
		if len(p.Kinds)+len(p.Paths)+len(p.Commands) == 0 {
			all = p
		}
	}
}

func (d *decoder) checkPermissionGlob(where Range, g string) {
	switch why := badGlob(g); {
	case why != "":
		d.rep.at(where, problem{code: codeGlob, summary: fmt.Sprintf("%s: %s", quoted(g), why)})
	case strings.HasPrefix(g, "/") || strings.HasPrefix(g, "~") || strings.Contains(g, "//") || slices.Contains(strings.Split(g, "/"), ".."):
		d.rep.at(where, problem{code: codeGlob, summary: fmt.Sprintf("%s is no glob over paths of the tree", quoted(g)), hint: "write it relative to the repository, without .."})
	}
}
