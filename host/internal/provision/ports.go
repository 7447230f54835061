package provision

import (
	"net"
	"strconv"
	"sync"

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
	if p.held == nil {
		p.held = map[int]bool{}
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

// free reports whether the port can be listened on now.
func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
