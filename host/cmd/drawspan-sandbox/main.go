// Command drawspan-sandbox is the launcher: PID 1 of one confined process. The daemon starts it; it is
// of no use by hand.
package main

import (
	"os"

	"github.com/drawspan/drawspan/host/internal/launcher"
)

func main() {
	os.Exit(launcher.Run())
}
