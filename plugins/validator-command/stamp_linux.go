package main

import (
	"io/fs"
	"syscall"
)

// stamp tells a file from what it was before the program ran. The time of its last change of any kind is the
// kernel's, so that no program sets it back.
type stamp struct {
	inode   uint64
	changed syscall.Timespec
}

func stampOf(info fs.FileInfo) stamp {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stamp{stat.Ino, stat.Ctim}
	}
	return stamp{}
}
