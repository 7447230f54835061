package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Resolver answers for names; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	maxAnswers = 16                     // of one name that are looked at
	stagger    = 300 * time.Millisecond // before the next address is tried beside the last
)

// query is what a resolver is asked for a name: rooted, so that no search list is tried.
func query(h Host) string { return h.name + "." }

// allowed says whether a rule lets the target through.
func (p *Proxy) allowed(h Host, port uint16) error {
	if h.thisMachine() {
		return forbidden("it names this machine, which no sandbox reaches")
	}
	if !slices.ContainsFunc(p.opt.Rules, func(r Rule) bool { return r.Matches(h, port) }) {
		return forbidden("it is not in the sandbox's list of allowed hosts")
	}
	return nil
}

// addresses are those of the target that may be dialled. A name is resolved here, and nowhere else.
func (p *Proxy) addresses(ctx context.Context, h Host) ([]netip.Addr, error) {
	answers := []netip.Addr{h.addr}
	if _, literal := h.Addr(); !literal {
		ctx, done := context.WithTimeout(ctx, p.opt.DialTimeout)
		defer done()
		var err error
		if answers, err = p.opt.Resolver.LookupNetIP(ctx, "ip", query(h)); err != nil {
			return nil, failed("the name could not be resolved", err)
		}
	}
	own, err := p.opt.Own()
	if err != nil {
		return nil, failed("this machine's own addresses are not known", err)
	}
	var vetted []netip.Addr
	why := "the name has no address"
	for _, a := range answers[:min(len(answers), maxAnswers)] {
		a = a.Unmap()
		bad := p.vet(a, own)
		switch {
		case bad == "" && !slices.Contains(vetted, a):
			vetted = append(vetted, a)
		case bad != "":
			why = fmt.Sprintf("%s is %s", a.WithZone(""), bad)
		}
	}
	if len(vetted) == 0 {
		return nil, forbidden("%s", why)
	}
	return vetted, nil
}

// vet says why an address is not dialled, or "".
func (p *Proxy) vet(a netip.Addr, own []netip.Addr) string {
	if !a.IsValid() || a.Zone() != "" {
		return whyLinkLocal
	}
	why := classify(a)
	if why == whyPrivate && p.opt.Private {
		why = ""
	}
	if why == "" && slices.Contains(own, a) {
		why = whyOwn
	}
	return why
}

// ownAddresses are those of this machine's interfaces, with the broadcast addresses of their networks.
func ownAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list interface addresses: %w", err)
	}
	var own []netip.Addr
	for _, a := range list {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, ok := netip.AddrFromSlice(n.IP)
		if !ok {
			continue
		}
		addr = addr.Unmap().WithZone("")
		own = append(own, addr)
		if four := n.IP.To4(); four != nil && len(n.Mask) == net.IPv4len {
			var last [4]byte
			for i := range last {
				last[i] = four[i] | ^n.Mask[i]
			}
			own = append(own, netip.AddrFrom4(last))
		}
	}
	return own, nil
}

// dialled is a connection and the address it goes to, or why there is none.
type dialled struct {
	conn net.Conn
	addr netip.AddrPort
	err  error
}

// dial connects to the first address that answers. The next one is tried beside it after a moment, so
// that one black hole does not cost its whole timeout.
func (p *Proxy) dial(ctx context.Context, addrs []netip.Addr, port uint16) (net.Conn, netip.AddrPort, error) {
	ctx, done := context.WithTimeout(ctx, p.opt.DialTimeout)
	defer done()
	results := make(chan dialled, len(addrs))
	try := func(a netip.Addr) {
		to := netip.AddrPortFrom(a, port)
		conn, err := p.opt.Dial(ctx, to)
		results <- dialled{conn, to, err}
	}
	next, running := 0, 0
	var first error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next < len(addrs) || running > 0 {
		tick := timer.C
		if next == len(addrs) {
			tick = nil
		}
		select {
		case <-tick:
			go try(addrs[next])
			next++
			running++
			timer.Reset(stagger)
		case r := <-results:
			running--
			if r.err == nil {
				done()
				closeRest(results, running)
				return r.conn, r.addr, nil
			}
			if first == nil {
				first = r.err
			}
			timer.Reset(0)
		}
	}
	return nil, netip.AddrPort{}, failed("the host could not be reached", first)
}

// closeRest waits for the dials that lost; their context is done.
func closeRest(results <-chan dialled, running int) {
	for range running {
		if r := <-results; r.conn != nil {
			_ = r.conn.Close() // nobody has seen it
		}
	}
}

// failure is a request that the policy allowed and the network did not serve.
type failure struct {
	reason string
	err    error
}

// Error tells the sandbox nothing of this machine: no resolver's address, no route.
func (f *failure) Error() string {
	if why := brief(f.err); why != "" {
		return f.reason + ": " + why
	}
	return f.reason
}

func (f *failure) Unwrap() error { return f.err }

func failed(reason string, err error) error { return &failure{reason, err} }

// brief is the part of a network's error that is about the other side.
func brief(err error) string {
	var dns *net.DNSError
	var errno syscall.Errno
	var timed net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timed) && timed.Timeout():
		return "timed out"
	}
	return ""
}

// statusOf is the status that answers an error.
func statusOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	if brief(err) == "timed out" {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}
