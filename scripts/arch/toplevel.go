package arch

import (
	"path"
	"slices"
	"strings"
)

// topDirs and topFiles are all that lies at the top level, hidden names apart. What a build leaves there is
// neither.
var (
	topDirs  = []string{"config", "examples", "host", "plugins", "relay", "scripts", "sdk"}
	topFiles = []string{"LICENSE", "README.md", "go.mod", "go.sum"}
)

// checkTop judges the top level by the slash paths of all files that are tracked. A directory's name on a
// file is refused as well: `go build ./host` would leave one.
func checkTop(tracked []string) []string {
	var bad []string
	for _, name := range tracked {
		top, _, below := strings.Cut(path.Clean(name), "/")
		allowed := topFiles
		if below {
			allowed = topDirs
		}
		if strings.HasPrefix(top, ".") || slices.Contains(allowed, top) {
			continue
		}
		said := top + ": not one of the files at the top level; was it built here? git rm --cached it"
		if below {
			said = top + "/: not one of the directories at the top level"
		}
		if !slices.Contains(bad, said) {
			bad = append(bad, said)
		}
	}
	return bad
}
