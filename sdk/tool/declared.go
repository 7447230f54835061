package tool

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
)

// CheckArgv refuses a program of a config block that could not be run: one without a name, or with zero bytes.
func CheckArgv(attribute string, argv []string) error {
	switch {
	case len(argv) == 0 || argv[0] == "":
		return &sdk.ConfigError{Attribute: attribute, Message: "must name a program"}
	case slices.ContainsFunc(argv, func(arg string) bool { return strings.ContainsRune(arg, 0) }):
		return &sdk.ConfigError{Attribute: attribute, Message: "must not hold zero bytes"}
	}
	return nil
}

// CheckDir refuses a directory of a config block that is not in the tree; "" is its top.
func CheckDir(attribute, dir string) error {
	if dir != "" && (!filepath.IsLocal(dir) || strings.ContainsRune(dir, 0)) {
		return &sdk.ConfigError{Attribute: attribute, Message: "must be a path inside the tree"}
	}
	return nil
}

// CheckEnv refuses variables of a config block that no program can be given.
func CheckEnv(attribute string, set map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.ContainsRune(set[key], 0) {
			return &sdk.ConfigError{Attribute: attribute, Message: fmt.Sprintf("%q cannot be set", key)}
		}
	}
	return nil
}

// Ran is the result as the evidence of a validator.
func (r Result) Ran(argv []string) *sdk.Ran {
	return &sdk.Ran{Argv: argv, ExitCode: r.ExitCode, Signal: r.Signal, Duration: r.Duration}
}
