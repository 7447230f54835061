// Command drawspan is the daemon and its command line.
//
// It hands arguments and streams to host/internal/cli and exits with its code; it must not know
// anything else.
package main

import (
	"context"
	"os"

	"github.com/drawspan/drawspan/host/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), cli.Program(), os.Args[1:]))
}
