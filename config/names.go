package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	variablePattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]{0,62}$`)
	pluginPattern   = regexp.MustCompile(`^(executor|validator)-[a-z0-9][a-z0-9_-]{0,62}$`)
	programPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$`)
	envPattern      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	userPattern     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._-]{0,31}$`)
)

// nearest is the candidate that someone who typed given most likely meant, or "".
func nearest(given string, candidates []string) string {
	if len(given) > 64 {
		return ""
	}
	best, at := "", 3
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		limit := min(at, (len(c)+1)/2+1)
		if d := distance(strings.ToLower(given), strings.ToLower(c)); d < limit {
			best, at = c, d
		}
	}
	return best
}

// distance counts the edits (insert, delete, replace, swap neighbours) between two short strings.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	var two []int
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		two, before, row = before, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, before[j]+1, before[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// meant is the hint for an unknown name: a guess, else what there is.
func meant(given string, candidates []string, what string) string {
	if n := nearest(given, candidates); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if len(candidates) == 0 {
		return "declare it first; no other " + what + " is declared"
	}
	if strings.HasSuffix(what, "x") {
		what += "e"
	}
	return what + "s here: " + listed(candidates)
}

// listed joins names for a message, at most sixteen.
func listed(names []string) string {
	names = slices.Sorted(slices.Values(names))
	if len(names) > 16 {
		return strings.Join(names[:16], ", ") + fmt.Sprintf(" and %d more", len(names)-16)
	}
	return strings.Join(names, ", ")
}
