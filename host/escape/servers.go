package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// server is a socket of the host. It is asked, not waited for: the kernel makes connections by itself, so what
// came is known without a goroutine.
type server struct {
	name   string
	fd     int
	stream bool
}

func (w *world) listen(name string, domain, kind int, at unix.Sockaddr) (unix.Sockaddr, error) {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	w.servers = append(w.servers, &server{name: name, fd: fd, stream: kind == unix.SOCK_STREAM})
	if err := unix.Bind(fd, at); err != nil {
		return nil, fmt.Errorf("bind %s: %w", name, err)
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.Listen(fd, 64); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", name, err)
		}
	}
	return unix.Getsockname(fd)
}

func (w *world) makeServers() error {
	t := &w.target
	at, err := w.listen("TCP", unix.AF_INET, unix.SOCK_STREAM, &unix.SockaddrInet4{})
	if err != nil {
		return err
	}
	t.TCP4 = at.(*unix.SockaddrInet4).Port
	if at, err = w.listen("UDP", unix.AF_INET, unix.SOCK_DGRAM, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	t.UDP = at.(*unix.SockaddrInet4).Port
	t.TCP6 = t.TCP4
	if at, err = w.listen("TCP over IPv6", unix.AF_INET6, unix.SOCK_STREAM, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}); err == nil {
		t.TCP6 = at.(*unix.SockaddrInet6).Port
	} else if !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.EAFNOSUPPORT) {
		return err
	}
	for _, s := range []struct {
		name, path string
		kind       int
	}{
		{"abstract socket", "@" + t.Abstract, unix.SOCK_STREAM}, {"abstract datagram socket", "@" + t.Abstract + ".dgram", unix.SOCK_DGRAM},
		{"agent's socket", t.Agent, unix.SOCK_STREAM}, {"daemon's socket", t.API, unix.SOCK_STREAM},
	} {
		if _, err := w.listen(s.name, unix.AF_UNIX, s.kind, &unix.SockaddrUnix{Name: s.path}); err != nil {
			return err
		}
	}
	return nil
}

// visitors takes what came and says so.
func (w *world) visitors() []string {
	var list []string
	buf := make([]byte, 4096)
	for _, s := range w.servers {
		for {
			var err error
			if s.stream {
				var c int
				if c, _, err = unix.Accept4(s.fd, unix.SOCK_CLOEXEC); err == nil {
					err = unix.Close(c)
				}
			} else {
				_, _, err = unix.Recvfrom(s.fd, buf, 0)
			}
			if err != nil {
				break // nobody more
			}
			list = append(list, "somebody came to the "+s.name)
		}
	}
	return list
}

// object is something in the kernel that has no path.
type object struct {
	name   string
	intact func() error
	remove func() error
}

func (w *world) makeObjects() error {
	return errors.Join(w.makeShm(), w.makeMessages(), w.makeSemaphore(), w.makeQueue())
}

func (w *world) makeShm() error {
	id, err := unix.SysvShmGet(w.target.Key, 4096, unix.IPC_CREAT|unix.IPC_EXCL|0o600)
	if err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	mem, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	copy(mem, w.secret)
	w.kernel = append(w.kernel, object{"shared memory", func() error {
		if now, err := unix.SysvShmGet(w.target.Key, 0, 0); err != nil || now != id {
			return fmt.Errorf("it has gone: %w", errors.Join(err, unix.EIDRM))
		}
		if !strings.HasPrefix(string(mem), w.secret) {
			return errors.New("it was written")
		}
		return nil
	}, func() error {
		_, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		return errors.Join(ignore(err, unix.EINVAL, unix.EIDRM), unix.SysvShmDetach(mem))
	}})
	return nil
}

func ignore(err error, these ...error) error {
	for _, e := range these {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

func raw(number uintptr, args ...uintptr) (uintptr, error) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return 0, errno
	}
	return r, nil
}

func (w *world) makeMessages() error {
	id, err := raw(unix.SYS_MSGGET, uintptr(w.target.Key), unix.IPC_CREAT|unix.IPC_EXCL|0o600)
	if err != nil {
		return fmt.Errorf("message queue: %w", err)
	}
	w.kernel = append(w.kernel, object{"message queue", func() error {
		var st [120]byte
		if _, err := raw(unix.SYS_MSGCTL, id, unix.IPC_STAT, uintptr(unsafe.Pointer(&st[0]))); err != nil {
			return err
		}
		const messages = 80 // the offset of msg_qnum
		if n := *(*uint64)(unsafe.Pointer(&st[messages])); n != 1 {
			return fmt.Errorf("it holds %d messages", n)
		}
		return nil
	}, func() error {
		_, err := raw(unix.SYS_MSGCTL, id, unix.IPC_RMID, 0)
		return err
	}})
	return w.post(id)
}

func (w *world) post(id uintptr) error {
	message := make([]byte, 8+len(w.secret))
	message[0] = 1
	copy(message[8:], w.secret)
	_, err := raw(unix.SYS_MSGSND, id, uintptr(unsafe.Pointer(&message[0])), uintptr(len(w.secret)), 0o4000)
	return err
}

func (w *world) makeSemaphore() error {
	const setValue, getValue, value = 16, 12, 5
	id, err := raw(unix.SYS_SEMGET, uintptr(w.target.Key), 1, unix.IPC_CREAT|unix.IPC_EXCL|0o600)
	if err != nil {
		return fmt.Errorf("semaphore: %w", err)
	}
	if _, err := raw(unix.SYS_SEMCTL, id, 0, setValue, value); err != nil {
		return fmt.Errorf("semaphore: %w", err)
	}
	w.kernel = append(w.kernel, object{"semaphore", func() error {
		n, err := raw(unix.SYS_SEMCTL, id, 0, getValue)
		if err == nil && n != value {
			err = fmt.Errorf("it is %d", n)
		}
		return err
	}, func() error {
		_, err := raw(unix.SYS_SEMCTL, id, 0, unix.IPC_RMID)
		return err
	}})
	return nil
}

func (w *world) makeQueue() error {
	name, err := unix.BytePtrFromString(w.target.Queue)
	if err != nil {
		return err
	}
	attr := [8]int64{0, 4, 512}
	fd, err := raw(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NONBLOCK,
		0o600, uintptr(unsafe.Pointer(&attr[0])))
	if errors.Is(err, unix.ENOSYS) {
		return nil // this kernel has none
	}
	if err != nil {
		return fmt.Errorf("POSIX queue: %w", err)
	}
	text := []byte(w.secret)
	if _, err := raw(unix.SYS_MQ_TIMEDSEND, fd, uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)), 0, 0); err != nil {
		return fmt.Errorf("POSIX queue: %w", err)
	}
	w.kernel = append(w.kernel, object{"POSIX queue", func() error {
		var now [8]int64
		if _, err := raw(unix.SYS_MQ_GETSETATTR, fd, 0, uintptr(unsafe.Pointer(&now[0]))); err != nil {
			return err
		}
		if now[3] != 1 {
			return fmt.Errorf("it holds %d messages", now[3])
		}
		return nil
	}, func() error {
		_, err := raw(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)))
		return errors.Join(err, unix.Close(int(fd)))
	}})
	return nil
}

// remake puts kernel objects back that a probe has spoilt.
func (w *world) remake() error {
	var all []error
	for _, o := range w.kernel {
		_ = o.remove() // it may be what was spoilt
	}
	w.kernel = nil
	all = append(all, w.makeObjects())
	return errors.Join(all...)
}

// hurt says what was done to the host's process.
func (w *world) hurt() []string {
	pid := fmt.Sprint(w.target.Victim)
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return []string{"the host's process is gone"}
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch {
		case f[0] == "State:" && strings.ContainsAny(f[1], "ZXTt"):
			list = append(list, "the host's process is in state "+f[1])
		case f[0] == "TracerPid:" && f[1] != "0":
			list = append(list, "the host's process is traced")
		case (f[0] == "SigPnd:" || f[0] == "ShdPnd:") && strings.Trim(f[1], "0") != "":
			list = append(list, "the host's process has a signal")
		}
	}
	return list
}
