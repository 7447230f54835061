package loader

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// maxProgram bounds what is copied into memory for one plugin.
const maxProgram = 512 << 20

// identity tells whether a file is still the one that was hashed: the kernel moves ctime with every
// change, and no unprivileged call sets it.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
	digest       string
}

func identityOf(f *os.File) (identity, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return identity{}, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return identity{}, errors.New("not a regular file")
	}
	return identity{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}, nil
}

func (i identity) same(o identity) bool {
	o.digest = i.digest
	return i == o
}

// seal is a program's bytes in a sealed memory file: nobody can change them, the daemon included.
type seal struct {
	digest string
	file   *os.File // opened read-only, or the kernel would not execute it
}

// again is the same program with a descriptor of its own.
func (s *seal) again() (*seal, error) {
	fd, err := unix.FcntlInt(s.file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &seal{digest: s.digest, file: os.NewFile(uintptr(fd), s.file.Name())}, nil
}

func (s *seal) release() { closeAll(s.file) }

// sealProgram copies an opened program into a sealed memory file while hashing it.
func sealProgram(name string, src *os.File) (*seal, error) {
	rw, err := memfd(name)
	if err != nil {
		return nil, err
	}
	defer rw.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(rw, h), io.NewSectionReader(src, 0, maxProgram+1))
	if err != nil {
		return nil, fmt.Errorf("copy plugin program: %w", err)
	}
	if n > maxProgram {
		return nil, fault.New(fault.TooLarge, "plugin program is larger than %d MiB", maxProgram>>20)
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(rw.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal plugin program: %w", os.NewSyscallError("fcntl", err))
	}
	ro, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", rw.Fd()))
	if err != nil {
		return nil, fmt.Errorf("reopen sealed plugin program: %w", err)
	}
	return &seal{digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), file: ro}, nil
}

func memfd(name string) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("make memory file: %w", os.NewSyscallError("memfd_create", err))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// machines are the ELF machines by the names of Go's architectures.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV}

// checkFormat tells before a launch what the kernel would refuse less clearly.
func checkFormat(f *os.File) error {
	header, err := elf.NewFile(f)
	if err != nil {
		return &StartError{Reason: BadFormat, Detail: "it is not an executable of this system"}
	}
	if want, ok := machines[runtime.GOARCH]; ok && header.Machine != want {
		return &StartError{Reason: BadFormat, Detail: fmt.Sprintf("it is built for %v, not for %s", header.Machine, runtime.GOARCH)}
	}
	return nil
}
