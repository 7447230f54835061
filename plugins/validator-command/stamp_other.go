//go:build !linux

package main

import "io/fs"

// stamp tells a file from what it was before the program ran.
type stamp struct {
	size    int64
	changed int64
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime().UnixNano()} }
