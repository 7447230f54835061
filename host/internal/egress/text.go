package egress

import (
	"strconv"
	"strings"
)

// maxShown bounds how much of what a client wrote is repeated anywhere.
const maxShown = 256

// printable is s with everything but printable ASCII escaped, at most about limit bytes of it.
func printable(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	quoted := strconv.QuoteToASCII(s)
	out := strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	if cut {
		out += "..."
	}
	return out
}
