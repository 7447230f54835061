package worktree

import (
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

const (
	heads = "refs/heads/"
	tags  = "refs/tags/"
)

// maxRef is the longest ref name that is taken.
const maxRef = 255

// checkRef applies the rules of git check-ref-format to a short or full name, and a few more: it begins
// with no dash, and it is not one of the names that git looks up in several places.
func checkRef(name string) error {
	bad := func(why string) error {
		return fault.New(fault.InvalidRequest, "%q is not a branch or tag name: %s", name, why)
	}
	if name == "" || len(name) > maxRef {
		return bad("its length is not between 1 and 255")
	}
	if short := strings.TrimPrefix(name, heads); short == "@" || short == "HEAD" || strings.HasPrefix(short, "-") {
		return bad("git gives it another meaning")
	}
	if strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.HasSuffix(name, ".") {
		return bad(`it has "..", "@{" or a dot at the end`)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || strings.ContainsRune(" ~^:?*[\\", r) }) {
		return bad("it has a character that git does not allow")
	}
	for part := range strings.SplitSeq(name, "/") {
		if !refPart(part) {
			return bad(`a part of it is empty, begins with a dot or ends with ".lock"`)
		}
	}
	return nil
}

func refPart(part string) bool {
	return part != "" && part[0] != '.' && !strings.HasSuffix(part, ".lock")
}

// fullHex reports whether s is a full object id.
func fullHex(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// checkID refuses what is not a safe single path element and a safe end of a ref name. The caller made
// the id; this is the second look.
func checkID(id string) error {
	if id == "" || len(id) > 64 {
		return fault.New(fault.InvalidRequest, "an attempt id has 1 to 64 characters")
	}
	for i, c := range []byte(id) {
		if !wordByte(c) && (i == 0 || c != '_' && c != '-') {
			return fault.New(fault.InvalidRequest, "%q is not an attempt id", id)
		}
	}
	return nil
}

// checkPath refuses what is not a clean repository-relative path of a file.
func checkPath(rel string) error {
	ok := inside(rel) && len(rel) <= maxPath && strings.Count(rel, "/") < maxDepth
	for part := range strings.SplitSeq(rel, "/") {
		ok = ok && !reserved(part) && len(part) <= 255
	}
	if !ok {
		return fault.New(fault.InvalidRequest, "%q is not a clean path below the repository's root", rel)
	}
	return nil
}
