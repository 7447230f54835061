package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// launcherFD keeps the descriptor away from the numbers that a child gets, which would replace it
	// before it is executed.
	launcherFD  = 64
	maxLauncher = 64 << 20
)

// pinned is the launcher as it was when the daemon started: a sealed copy in memory, hashed while it was
// filled. What happens to the file later changes nothing.
type pinned struct {
	file   *os.File
	digest string
}

// path names the copy in this process, and in a child before it executes.
func (p *pinned) path() string { return "/proc/self/fd/" + strconv.Itoa(int(p.file.Fd())) }

func (p *pinned) close() error { return p.file.Close() }

func pin(name string) (*pinned, error) {
	source, err := openLauncher(name)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	copied, digest, err := sealedCopy(source)
	if err != nil {
		return nil, unavailable("the launcher %s could not be sealed: %v", name, err).
			Fix("allow executable memory files: sysctl vm.memfd_noexec=1 or lower")
	}
	return &pinned{file: copied, digest: digest}, nil
}

// openLauncher refuses a launcher that somebody else could have written.
func openLauncher(name string) (*os.File, error) {
	const fix = "install the programs again: scripts/install"
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, unavailable("the sandbox launcher cannot be opened: %v", err).At(name).Fix(fix)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(fmt.Errorf("stat the launcher: %w", err), f.Close())
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = unavailable("the sandbox launcher is not a regular file").At(name).Fix(fix)
	case st.Mode&0o002 != 0 || st.Uid != 0 && st.Uid != uint32(os.Geteuid()):
		err = unavailable("the sandbox launcher could have been written by another user").At(name).Fix(fix)
	case st.Size > maxLauncher:
		err = unavailable("the sandbox launcher is larger than %d bytes", maxLauncher).At(name).Fix(fix)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func sealedCopy(source io.Reader) (*os.File, string, error) {
	fd, err := unix.MemfdCreate("drawspan-sandbox", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // before 6.3
		fd, err = unix.MemfdCreate("drawspan-sandbox", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, "", fmt.Errorf("make a memory file: %w", err)
	}
	memory := os.NewFile(uintptr(fd), "drawspan-sandbox")
	defer memory.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(memory, sum), io.LimitReader(source, maxLauncher)); err != nil {
		return nil, "", fmt.Errorf("copy: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(memory.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, "", fmt.Errorf("seal: %w", err)
	}
	readOnly, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, "", fmt.Errorf("open the sealed copy: %w", err)
	}
	defer readOnly.Close()
	high, err := unix.FcntlInt(readOnly.Fd(), unix.F_DUPFD_CLOEXEC, launcherFD)
	if err != nil {
		return nil, "", fmt.Errorf("move the descriptor: %w", err)
	}
	return os.NewFile(uintptr(high), "drawspan-sandbox"), hex.EncodeToString(sum.Sum(nil)), nil
}
