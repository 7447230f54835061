package worktree

import (
	"bufio"
	"errors"
	"io"
	"path/filepath"

	"github.com/drawspan/drawspan/host/fault"
)

// exportScript says where HEAD is and packs what came since $1 in the git directory $2. It runs in a
// sandbox of its own, over a git directory that an executor could write to: nothing it says is believed.
// Large files are not made deltas, so that the host need not hold them in memory.
const exportScript = `set -eu
export GIT_DIR="$2" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1
export GIT_NO_REPLACE_OBJECTS=1 GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 LC_ALL=C
head=$(git rev-parse --verify --quiet --end-of-options 'HEAD^{commit}')
printf '%s\n' "$head"
if [ "$head" = "$1" ]; then exit 0; fi
printf '%s\n^%s\n' "$head" "$1" | git -c core.bigFileThreshold=32m pack-objects --revs --stdout -q \
  --delta-base-offset --no-sparse --no-use-bitmap-index
`

// Export is the command that writes, inside a sandbox that has the tree's git directory, the stream that
// ReadExport takes apart: HEAD's commit on a line, then a pack of what it adds to Start; no pack where it is
// Start.
func (t *Tree) Export() []string {
	return []string{"sh", "-c", exportScript, "export", t.rec.Start, filepath.Join(t.home, shadowName)}
}

// ReadExport takes the stream of Export apart. The pack is still to be read from r; Import does it.
func ReadExport(r io.Reader) (head string, pack io.Reader, err error) {
	in := bufio.NewReader(r)
	line := make([]byte, 0, 65)
	for {
		c, err := in.ReadByte()
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return "", nil, fault.New(fault.TreeRefused, "git inside does not say where HEAD is")
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", nil, err
		}
		if err != nil || len(line) == cap(line) {
			return "", nil, fault.New(fault.TreeRefused, "what git inside says of HEAD is not one commit id")
		}
		if c == '\n' {
			break
		}
		line = append(line, c)
	}
	if head = string(line); !fullHex(head) {
		return "", nil, fault.New(fault.TreeRefused, "what git inside says of HEAD is not one commit id")
	}
	return head, in, nil
}
