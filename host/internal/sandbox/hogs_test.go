package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const megabyte = 1 << 20

// hogs are payloads that take more and more of something, each in its own way.
func hogs() map[string]func(bytes int) error {
	return map[string]func(int) error{
		"anonymous":    func(n int) error { return mapped(n, unix.MAP_PRIVATE, false) },
		"shared":       func(n int) error { return mapped(n, unix.MAP_SHARED, false) },
		"shared-gone":  func(n int) error { return mapped(n, unix.MAP_SHARED, true) },
		"children":     memoryInChildren,
		"memfd":        func(n int) error { return memoryFile(n, false) },
		"memfd-closed": func(n int) error { return memoryFile(n, true) },
		"memfd-hidden": func(n int) error {
			if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
				return err
			}
			return memoryFile(n, false)
		},
		"sysv":      systemV,
		"tmp":       func(n int) error { return fill("/tmp/fill", n, false) },
		"tmp-gone":  func(n int) error { return fill("/dev/shm/fill", n, true) },
		"pages":     pageTablesOnly,
		"disk":      func(n int) error { return fill("fill", n, false) },
		"disk-gone": func(n int) error { return fill("gone", n, true) },
		"disk-closed": func(n int) error {
			if err := os.Mkdir("closed", 0o700); err != nil {
				return err
			}
			f, err := os.Create("closed/fill")
			if err != nil {
				return err
			}
			if err := os.Chmod("closed", 0); err != nil {
				return err
			}
			return write4(f, n)
		},
		"disk-files": manyFiles,
		"disk-deep":  deepFiles,
		"cpu":        func(int) error { spin(); return nil },
		"cpu-unreaped": func(int) error {
			return spinUnreaped()
		},
	}
}

// runHog takes, and then waits for its end: args are the hog's name and an amount.
func runHog(args []string) int {
	n, err := strconv.Atoi(args[1])
	if err == nil {
		err = hogs()[args[0]](n)
	}
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("taken")
	if len(args) > 2 { // stay for so many milliseconds only
		ms, err := strconv.Atoi(args[2])
		if err != nil {
			return 1
		}
		<-time.After(time.Duration(ms) * time.Millisecond)
		return 0
	}
	select {}
}

func mapped(n, kind int, forget bool) error {
	for left := n; left > 0; left -= megabyte {
		p, err := unix.Mmap(-1, 0, megabyte, unix.PROT_READ|unix.PROT_WRITE, kind|unix.MAP_ANONYMOUS)
		if err != nil {
			return err
		}
		for i := 0; i < len(p); i += 4096 {
			p[i] = 1
		}
		if forget {
			if err := unix.Madvise(p, unix.MADV_DONTNEED); err != nil {
				return err
			}
		}
	}
	return nil
}

// memoryInChildren makes processes that are small each.
func memoryInChildren(n int) error {
	const each = 4 * megabyte
	for ; n > 0; n -= each {
		cmd := exec.Command("/proc/self/exe", payloadArg, "hog", "anonymous", strconv.Itoa(each))
		cmd.Env = []string{"GOMAXPROCS=1"}
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	return nil
}

func memoryFile(n int, closed bool) error {
	chunk := make([]byte, megabyte)
	fd, err := unix.MemfdCreate("hidden", 0)
	if err != nil {
		return err
	}
	for at := 0; at < n; at += megabyte {
		if _, err := unix.Pwrite(fd, chunk, int64(at)); err != nil {
			return err
		}
	}
	if closed {
		if _, err := unix.Mmap(fd, 0, n, unix.PROT_READ, unix.MAP_SHARED); err != nil {
			return err
		}
		return unix.Close(fd)
	}
	return nil
}

// systemV makes segments that nobody is attached to.
func systemV(n int) error {
	const each = 8 * megabyte
	for ; n > 0; n -= each {
		id, err := unix.SysvShmGet(unix.IPC_PRIVATE, each, unix.IPC_CREAT|0o600)
		if err != nil {
			return err
		}
		p, err := unix.SysvShmAttach(id, 0, 0)
		if err != nil {
			return err
		}
		for i := 0; i < len(p); i += 4096 {
			p[i] = 1
		}
		if err := unix.SysvShmDetach(p); err != nil {
			return err
		}
	}
	return nil
}

// pageTablesOnly reads memory that was never written: it stays one page of zeros, in many page tables.
func pageTablesOnly(n int) error {
	const each = 1 << 30
	for left := n * 512; left > 0; left -= each {
		p, err := unix.Mmap(-1, 0, each, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			return err
		}
		if err := unix.Madvise(p, unix.MADV_NOHUGEPAGE); err != nil {
			return err
		}
		if err := unix.Madvise(p, unix.MADV_POPULATE_READ); err != nil {
			return err
		}
	}
	return nil
}

func write4(f *os.File, n int) error {
	chunk := make([]byte, 4*megabyte)
	for ; n > 0; n -= len(chunk) {
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

func fill(name string, n int, gone bool) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if gone {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return write4(f, n)
}

// manyFiles makes small files: n bytes of blocks of 4 KiB.
func manyFiles(n int) error {
	for i := range n / 4096 {
		dir := filepath.Join("many", strconv.Itoa(i/1000))
		if i%1000 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// deepFiles hides a file below more directories than a path can name.
func deepFiles(n int) error {
	for range 1500 {
		if err := os.Mkdir("deep", 0o755); err != nil {
			return err
		}
		if err := os.Chdir("deep"); err != nil {
			return err
		}
	}
	return fill("fill", n, false)
}

func spin() {
	for n := uint64(1); n != 0; n += 2 {
	}
}

// spinUnreaped burns time in short processes that the kernel reaps, so that nobody is told of their time.
func spinUnreaped() error {
	signal.Ignore(unix.SIGCHLD)
	for {
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done"},
			&syscall.ProcAttr{Env: []string{}})
		if err != nil {
			return err
		}
		for syscall.Kill(pid, 0) == nil {
			<-time.After(time.Millisecond)
		}
	}
}

// forkSharing takes n bytes and forks children that share them, for some time.
func forkSharing(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 1
	}
	if err := mapped(n, unix.MAP_PRIVATE, false); err != nil {
		return 1
	}
	for range 6 {
		pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return 2
		}
		for pid == 0 { // the child of a threaded program: it may only wait
			_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0) // for ever
		}
	}
	<-time.After(1500 * time.Millisecond)
	fmt.Println("shared")
	return 0
}

// manyNames writes one file, links it often, and makes a sparse one.
func manyNames(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 1
	}
	if err := fill("one", n, false); err != nil {
		return 2
	}
	for i := range 20 {
		if err := os.Link("one", "link"+strconv.Itoa(i)); err != nil {
			return 3
		}
	}
	if err := os.WriteFile("sparse", nil, 0o644); err != nil {
		return 4
	}
	if err := os.Truncate("sparse", 1<<30); err != nil {
		return 5
	}
	<-time.After(1500 * time.Millisecond)
	fmt.Println("kept")
	return 0
}
