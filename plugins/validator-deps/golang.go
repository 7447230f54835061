package main

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/modfile"
)

func readGoMod(name string, data []byte) (reading, error) {
	f, err := modfile.Parse(name, data, nil)
	if err != nil {
		return reading{}, goError(err)
	}
	var r reading
	for _, q := range f.Require {
		r.add(dependency{world: worldGo, name: q.Mod.Path, version: q.Mod.Version, require: q.Mod.Version, transitive: q.Indirect, line: q.Syntax.Start.Line})
	}
	r.replace(f.Replace)
	return r, nil
}

func readGoWork(name string, data []byte) (reading, error) {
	f, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		return reading{}, goError(err)
	}
	var r reading
	r.replace(f.Replace)
	return r, nil
}

func (r *reading) replace(all []*modfile.Replace) {
	for _, p := range all {
		d := dependency{world: worldGo, name: p.Old.Path, version: p.New.Version, require: p.New.Version, line: p.Syntax.Start.Line}
		switch {
		case p.New.Version == "":
			d.origin, d.from = local, p.New.Path
		case p.New.Path != p.Old.Path:
			d.origin, d.from = fork, p.New.Path
		}
		r.add(d)
	}
}

// goError keeps the first of the errors, of which there may be one in a line.
func goError(err error) error {
	var all modfile.ErrorList
	if errors.As(err, &all) && len(all) > 0 {
		return fmt.Errorf("line %d: %w", all[0].Pos.Line, all[0].Err)
	}
	return err
}

func readGoSum(_ string, data []byte) (reading, error) {
	var r reading
	for i, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 3 {
			return reading{}, fmt.Errorf("line %d: not a module, a version and a sum", i+1)
		}
		r.pins = append(r.pins, pin{fields[0] + " " + fields[1], fields[2], i + 1})
	}
	return r, nil
}
