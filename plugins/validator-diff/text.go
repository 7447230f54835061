package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/drawspan/drawspan/sdk"
)

// patch judges what only the patch shows: hidden characters and deleted tests. The error says why it could not.
func (j *judge) patch(patch []byte, cut bool) error {
	if cut {
		return errors.New("the patch is longer than what a gate is given, so that its lines were not judged: " +
			"make the change smaller, or set hidden_character and deleted_test to ignore")
	}
	shown := map[string]bool{}
	tests := j.tests()
	begin := func(s *section) { shown[s.path] = true }
	see := func(l line) {
		if j.byPath[l.at.path] != nil { // a gate with paths is told of some changes only
			tests.see(l)
			j.line(l)
		}
	}
	if err := scan(string(patch), begin, see); err != nil {
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
	if l.sign != '+' || j.off(ruleHidden, l.at.path) {
		return
	}
	if found := hiddenIn(l.text, l.number == 1); len(found) > 0 {
		j.hidden(place{l.at.path, l.number, l.text}, "an added line has %s", listed(found))
	}
}
