package catalogue

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// foreign are the processor's other ways into the kernel.
func foreign() []Probe {
	list := []Probe{
		{ID: "58", Title: "x32: make a call with another number", try: x32},
		{ID: "58b", Title: "i386: make a call by int 0x80", try: int80},
		{ID: "58c", Where: OursOnly, Title: "i386: a user namespace by int 0x80", try: int80Unshare},
		{ID: "58d", Title: "iopl", try: simple(unix.SYS_IOPL, 3), Note: "it asks for a privilege of the first user namespace"},
		{ID: "58e", Title: "ioperm", try: simple(unix.SYS_IOPERM, 0x3f8, 8, 1), Note: "it asks for a privilege of the first user namespace"},
		{ID: "58f", Where: OursOnly, Title: "modify_ldt: a 16-bit segment", try: ldt},
		{ID: "58g", Title: "vm86 by int 0x80", try: int80VM86},
	}
	for i := range list {
		list[i].Layer, list[i].Level, list[i].Walls = Seccomp, guarded, []string{Seccomp}
	}
	return list
}

func x32(*Target) Outcome {
	_, err := sys(unix.SYS_GETPID | 0x40000000)
	return unless(err, "the kernel has x32, and it answers")
}

// legacy calls the kernel as a 32-bit program would. Where the filter is, it never returns.
func legacy(number, argument uint32) (int32, error) {
	// mov eax, number; mov ebx, argument; int 0x80; ret. rbx is the caller's to keep in Go.
	code := []byte{0xb8, 0, 0, 0, 0, 0xbb, 0, 0, 0, 0, 0xcd, 0x80, 0xc3}
	*(*uint32)(unsafe.Pointer(&code[1])) = number
	*(*uint32)(unsafe.Pointer(&code[6])) = argument
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return 0, err
	}
	copy(page, code)
	entry := &struct{ at uintptr }{uintptr(unsafe.Pointer(&page[0]))}
	call := *(*func() uintptr)(unsafe.Pointer(&entry))
	return int32(call()), nil
}

func int80(*Target) Outcome {
	const getpid = 20
	r, err := legacy(getpid, 0)
	if err != nil {
		return refused(err)
	}
	if r <= 0 {
		return refused(unix.Errno(-r))
	}
	return through("it answered %d", r)
}

func int80Unshare(*Target) Outcome {
	const unshare = 310
	r, err := legacy(unshare, unix.CLONE_FS)
	if err != nil {
		return refused(err)
	}
	if r < 0 {
		return refused(unix.Errno(-r))
	}
	return through("it answered %d", r)
}

func int80VM86(*Target) Outcome {
	const vm86 = 166
	r, err := legacy(vm86, 0)
	if err != nil {
		return refused(err)
	}
	if r < 0 && unix.Errno(-r) == unix.ENOSYS {
		return no("ENOSYS")
	}
	return through("it answered %d", r)
}

func ldt(*Target) Outcome {
	entry := [4]uint32{0, 0, 0xfff, 0x51} // 32 bit, writable, useable
	_, err := sys(unix.SYS_MODIFY_LDT, 0x11, uintptr(unsafe.Pointer(&entry[0])), 16)
	return unless(err, "written")
}
