// Command probe runs inside a sandbox and tries one way out: probe ID TARGET. It prints what happened as one
// line of JSON. With a name for ID that starts with a colon it is a helper of a probe.
package main

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/drawspan/drawspan/host/escape/catalogue"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		return 2
	}
	if helper, ok := strings.CutPrefix(args[0], ":"); ok {
		return catalogue.Help(helper, args[1:])
	}
	if len(args) != 2 {
		return 2
	}
	var t catalogue.Target
	if err := json.Unmarshal([]byte(args[1]), &t); err != nil {
		return 2
	}
	line, err := json.Marshal(catalogue.Try(args[0], &t))
	if err != nil {
		return 1
	}
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		return 1
	}
	return 0
}
