package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/patch"
)

// line is one line of a hunk; its number is that in the file after the change.
type line struct {
	path   string
	hunk   int
	sign   byte
	text   string
	number int
}

// scan shows the path of each file that a patch names, and then each of its lines. The host's patches have no
// renames: in one that has, the paths are not those of the list of changes.
func scan(text []byte, begin func(path string), see func(line)) error {
	path, renames := "", false
	err := patch.Scan(text, func(f patch.File) {
		path, renames = f.Path(), renames || f.Old != "" && f.New != "" && f.Old != f.New
		begin(path)
	}, func(l patch.Shown) { see(line{path, l.Hunk, l.Sign, l.Text, l.New}) })
	if err == nil && renames {
		err = fmt.Errorf("%w: it has renames", patch.ErrMalformed)
	}
	return err
}

// patch judges what only the patch shows: hidden characters and deleted tests. The error says why it could not.
func (j *judge) patch(text []byte, cut bool) error {
	if cut {
		return errors.New("the patch is longer than what a gate is given, so that its lines were not judged: " +
			"make the change smaller, or set hidden_character and deleted_test to ignore")
	}
	shown := map[string]bool{}
	tests := j.tests()
	begin := func(path string) { shown[path] = true }
	see := func(l line) {
		if j.byPath[l.path] != nil { // a gate with paths is told of some changes only
			tests.see(l)
			j.line(l)
		}
	}
	if err := scan(text, begin, see); err != nil {
		return err
	}
	unseen := func(c sdk.Change) bool { return !shown[c.Path] && c.Added+c.Deleted > 0 && !c.Binary }
	if i := slices.IndexFunc(j.changes, unseen); i >= 0 {
		return fmt.Errorf("the patch does not show %q, which has changed lines", j.changes[i].Path)
	}
	j.deletedTests(tests)
	return nil
}

// line judges one line of the patch for itself.
func (j *judge) line(l line) {
	if l.sign != '+' || j.off(ruleHidden, l.path) {
		return
	}
	if found := hiddenIn(l.text, l.number == 1); len(found) > 0 {
		j.hidden(place{l.path, l.number, l.text}, "an added line has %s", listed(found))
	}
}
