package httpapi

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/drawspan/drawspan/host/fault"
)

// MinToken is the least length of the loopback port's token.
const MinToken = 32

// Loopback opens a port of this machine, behind the token. The address is 127.0.0.1 or ::1, written
// out: a name may come to mean another place, and no other address is ever served.
func (s *Server) Loopback(addr string) (*Listener, error) {
	if err := checkLoopback(addr); err != nil {
		return nil, err
	}
	if len(s.opts.Token) < MinToken {
		return nil, fault.New(fault.ConfigInvalid, "the loopback port needs a token of at least %d bytes", MinToken).At(addr)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the port cannot be opened").At(addr)
	}
	g := newPortGate(s.opts.Token, append([]string{ln.Addr().String()}, s.opts.Hosts...))
	return &Listener{
		Listener: ln,
		admit:    func(*caller) gate { return g },
		close:    func() error { return nil },
	}, nil
}

func checkLoopback(addr string) error {
	ap, err := netip.ParseAddrPort(addr)
	if err == nil && (ap.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || ap.Addr() == netip.IPv6Loopback()) {
		return nil
	}
	return fault.New(fault.ConfigInvalid, "the API listens on this machine only").At(addr).
		Fix("write 127.0.0.1:PORT or [::1]:PORT")
}

// checkHost accepts names of this machine in a Host header and nothing else.
func checkHost(h string) error {
	host, port, err := net.SplitHostPort(h)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || (host != "127.0.0.1" && host != "::1" && host != "localhost") {
		return fault.New(fault.ConfigInvalid, "a further host must be 127.0.0.1, [::1] or localhost with a port").At(h)
	}
	return nil
}
