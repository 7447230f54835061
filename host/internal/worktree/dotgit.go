package worktree

import (
	"strings"
	"unicode/utf8"
)

// reserved reports whether git refuses a path component because some file system would take it for
// .git: any case, the short names of NTFS, trailing dots and blanks, streams, and the code points that
// HFS+ ignores. It decides as git does with core.protectHFS and core.protectNTFS; a test compares them.
func reserved(name string) bool {
	return strings.EqualFold(name, ".git") || ntfsDotGit(name) || hfsName(name, "git")
}

// reservedLink is reserved for a symbolic link: the submodule file may not be one.
func reservedLink(name string) bool {
	return reserved(name) || strings.EqualFold(name, ".gitmodules") || hfsName(name, "gitmodules") || ntfsDotGitmodules(name)
}

// ntfsDotGit looks at each part between backslashes, which separate directories elsewhere.
func ntfsDotGit(name string) bool {
	for part := range strings.SplitSeq(name, `\`) {
		rest, ok := cutPrefixFold(part, ".git")
		if !ok {
			rest, ok = cutPrefixFold(part, "git~1")
		}
		if ok && ntfsEnd(rest) {
			return true
		}
	}
	return false
}

// ntfsEnd reports whether NTFS drops the rest of a name: dots, blanks and a stream.
func ntfsEnd(rest string) bool {
	rest = strings.TrimLeft(rest, ". ")
	return rest == "" || rest[0] == ':'
}

// ntfsDotGitmodules knows .gitmodules and the short names that NTFS could give it: gitmod~1 to ~4, and
// gi7eba~N.
func ntfsDotGitmodules(name string) bool {
	for part := range strings.SplitSeq(name, `\`) {
		if rest, ok := cutPrefixFold(part, ".gitmodules"); ok && ntfsEnd(rest) {
			return true
		}
		if rest, ok := cutPrefixFold(part, "gitmod~"); ok && rest != "" && rest[0] >= '1' && rest[0] <= '4' && ntfsEnd(rest[1:]) {
			return true
		}
		if ntfsShort(part, "gi7eba") {
			return true
		}
	}
	return false
}

// ntfsShort matches the short names that are made of a prefix of a hash: up to six of its letters, a
// tilde, digits, eight in all.
func ntfsShort(name, prefix string) bool {
	const width = 8
	if len(name) < width {
		return false
	}
	tilde := false
	for i := range width {
		c := name[i]
		switch {
		case tilde:
			if c < '0' || c > '9' {
				return false
			}
		case c == '~':
			if i+1 == width || name[i+1] < '1' || name[i+1] > '9' {
				return false
			}
			tilde = true
		case i >= len(prefix) || c|0x20 != prefix[i] && c != prefix[i]:
			return false
		}
	}
	return tilde && ntfsEnd(name[width:])
}

// hfsName reports whether HFS+ takes name for "." + want: it ignores case and some code points.
func hfsName(name, want string) bool {
	var plain strings.Builder
	for i, r := range name {
		if r == utf8.RuneError && !strings.HasPrefix(name[i:], string(utf8.RuneError)) {
			break // git stops at malformed text as if the name ended there
		}
		if !hfsIgnored(r) {
			plain.WriteRune(r)
		}
	}
	rest, ok := cutPrefixFold(plain.String(), "."+want)
	return ok && rest == ""
}

func hfsIgnored(r rune) bool {
	return r >= 0x200c && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x206a && r <= 0x206f || r == 0xfeff
}

// cutPrefixFold is strings.CutPrefix for an ASCII prefix in any case.
func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) {
		return s, false
	}
	for i := range len(prefix) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != prefix[i] {
			return s, false
		}
	}
	return s[len(prefix):], true
}
