// Command hello is the floor of starting a daemon: a Go program that says one line. With an argument it
// stays until its standard input ends, so that its memory can be looked at.
//
// It must import nothing that makes it heavier.
package main

import (
	"io"
	"os"
)

func main() {
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		os.Exit(1)
	}
	if len(os.Args) > 1 {
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			os.Exit(1)
		}
	}
}
