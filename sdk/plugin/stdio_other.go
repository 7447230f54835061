//go:build !linux

package plugin

import "os"

// divertStdout lets prints through os.Stdout go to standard error only after the handshake.
func divertStdout() (stderr *os.File, err error) { return os.Stderr, nil }

func restoreStdio(stderr *os.File) { os.Stdout, os.Stderr = stderr, stderr }

func hideMemory() {}
