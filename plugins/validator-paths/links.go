package main

import (
	"path"
	"strings"

	"github.com/drawspan/drawspan/sdk"
)

// maxHops is how many links the kernel follows.
const maxHops = 40

// maxTarget is longer than any target that the kernel follows; the host cuts longer ones off.
const maxTarget = 4096

// links are what a diff tells of the tree after the change: where its links point, and which paths are directories
// because a changed file lies in them.
type links struct {
	targets     map[string]string
	directories map[string]bool
}

func linksOf(changes []sdk.Change) links {
	l := links{map[string]string{}, map[string]bool{}}
	for _, c := range changes {
		if c.Op == "delete" {
			continue
		}
		if c.NewMode == modeLink {
			l.targets[c.Path] = c.Link
		}
		for dir := path.Dir(c.Path); dir != "." && dir != "/" && !l.directories[dir]; dir = path.Dir(dir) {
			l.directories[dir] = true
		}
	}
	return l
}

// leadsOut tells whether a link points outside of the tree, by its own text and by that of the other changed links on
// its way. What cannot be judged leads out: so does going up from a path that the diff does not tell to be a
// directory, since it could be a link. A link over one that was there before goes where that one went.
func (l links) leadsOut(link string) bool {
	at, hops := segments(path.Dir(link)), 0
	ahead, ok := l.follow(link, &hops)
	for ok && len(ahead) > 0 {
		next := ahead[0]
		ahead = ahead[1:]
		if next == ".." {
			if len(at) == 0 || !l.directories[strings.Join(at, "/")] {
				return true
			}
			at = at[:len(at)-1]
			continue
		}
		at = append(at[:len(at):len(at)], next)
		name := strings.Join(at, "/")
		if _, is := l.targets[name]; is {
			var more []string
			more, ok = l.follow(name, &hops)
			at, ahead = at[:len(at)-1], append(more, ahead...)
		}
	}
	return !ok
}

// follow is where a link points, part by part; false where it cannot be followed.
func (l links) follow(link string, hops *int) ([]string, bool) {
	target := l.targets[link]
	*hops++
	if target == "" || len(target) >= maxTarget || path.IsAbs(target) || *hops > maxHops {
		return nil, false
	}
	return segments(target), true
}

// segments are the parts of a path, without those that mean nothing.
func segments(name string) []string {
	var all []string
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." {
			all = append(all, part)
		}
	}
	return all
}
