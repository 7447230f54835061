package provision

import (
	"errors"
	"math/rand/v2"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// Ports are handed out from here: above what services use, below what the kernel gives to clients.
const (
	firstPort = 20000
	lastPort  = 29999
)

// Ports hands out port numbers that no other holder has. Its zero value is ready.
type Ports struct {
	mu   sync.Mutex
	held map[int]bool
	next int // counts up, so that a port that was just given back is not used again at once
}

// Take gives n ports that nobody else has and that nobody listens on at this moment. The release gives
// them back; it may be called more than once.
func (p *Ports) Take(n int) (ports []int, release func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil { // other daemons and runs of this machine begin elsewhere
		p.held, p.next = map[int]bool{}, rand.IntN(lastPort-firstPort+1)
	}
	for tries := 0; len(ports) < n; tries++ {
		if tries > lastPort-firstPort {
			for _, port := range ports {
				delete(p.held, port)
			}
			return nil, nil, fault.New(fault.Unavailable, "there are no %d free ports from %d to %d", n, firstPort, lastPort).
				Fix("let fewer attempts live at once, or stop what listens there")
		}
		port := firstPort + p.next%(lastPort-firstPort+1)
		p.next++
		if p.held[port] || !free(port) {
			continue
		}
		p.held[port] = true
		ports = append(ports, port)
	}
	return ports, sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, port := range ports {
			delete(p.held, port)
		}
	}), nil
}

// free reports whether the port can be listened on now, at every address of this machine. It is only bound,
// so that nobody can come in meanwhile.
func free(port int) bool {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			continue // this machine has no such addresses
		}
		var all unix.Sockaddr = &unix.SockaddrInet4{Port: port}
		if family == unix.AF_INET6 {
			all = &unix.SockaddrInet6{Port: port}
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1) // without it only more is asked
		}
		err = unix.Bind(fd, all)
		_ = unix.Close(fd) // nothing was written to it
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return false
		}
	}
	return true
}
