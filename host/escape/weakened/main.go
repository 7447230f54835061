// Command weakened is the launcher with layers left out, to show what gets through then. It is never shipped.
// The layers are named behind the program, in its own file, because the daemon starts a launcher without
// arguments and variables.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/launcher"
)

// mark is in front of the names; host/escape writes the same.
const mark = "\nwithout: "

func main() {
	layers, err := leftOut()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(launcher.RunWithout(layers))
}

// leftOut reads without package os, which would open descriptors of its own: the launcher closes what it does
// not know.
func leftOut() ([]string, error) {
	fd, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	size, err := unix.Seek(fd, 0, unix.SEEK_END)
	if err != nil {
		return nil, err
	}
	end := make([]byte, min(size, 512))
	if _, err := unix.Pread(fd, end, size-int64(len(end))); err != nil {
		return nil, err
	}
	at := bytes.LastIndex(end, []byte(mark))
	if at < 0 {
		return nil, errors.New("the program says nothing of layers")
	}
	return strings.Split(string(end[at+len(mark):]), ","), nil
}
