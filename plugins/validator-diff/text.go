package main

import (
	"errors"
	"fmt"
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
		if j.byPath[l.at.path] == nil {
			return // a gate with paths is told of some changes only
		}
		if j.levels[ruleTest] != levelIgnore {
			tests.see(l)
		}
		if l.sign == '+' {
			j.addedLine(l)
		}
	}
	if err := scan(string(patch), begin, see); err != nil {
		return err
	}
	for _, c := range j.changes {
		if !shown[c.Path] && c.Added+c.Deleted > 0 && !c.Binary {
			return fmt.Errorf("the patch does not show %q, which has changed lines", c.Path)
		}
	}
	if j.levels[ruleTest] != levelIgnore {
		j.deletedTests(tests)
	}
	return nil
}

func (j *judge) addedLine(l line) {
	if found := hiddenIn(l.text, l.number == 1); len(found) > 0 {
		j.hidden(place{l.at.path, l.number, l.text}, "an added line has %s", listed(found))
	}
}
