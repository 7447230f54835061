package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/escape/catalogue"
	"github.com/drawspan/drawspan/host/internal/egress"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Addresses that names have in the world; nobody connects to them, the dialler leads to its own servers.
var (
	goodAddress  = netip.MustParseAddr("93.184.215.14")
	otherAddress = netip.MustParseAddr("93.184.215.99")
)

// sites are the servers that a proxy leads to: what its rules allow, and everything else, which has the
// secret. It is noted who was led where.
type sites struct {
	good, other net.Listener
	model       *upstream
	mu          sync.Mutex
	led         []string
}

func newSites(secret string) (*sites, error) {
	good, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	other, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, good.Close())
	}
	go answerAll(good, catalogue.AllowedSite)
	go answerAll(other, secret)
	s := &sites{good: good, other: other}
	if s.model, err = newUpstream(secret, s.note); err != nil {
		return nil, errors.Join(err, good.Close(), other.Close())
	}
	return s, nil
}

func (s *sites) close() error { return errors.Join(s.good.Close(), s.other.Close(), s.model.close()) }

// note keeps that somebody was led where nobody may be.
func (s *sites) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.led = append(s.led, what)
}

// answerAll answers until the listener is closed.
func answerAll(l net.Listener, text string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(4 * time.Second)); err != nil {
				return
			}
			if _, err := readHead(bufio.NewReader(c)); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: "+fmt.Sprint(len(text))+"\r\nConnection: close\r\n\r\n"+text) // it may have left
		}()
	}
}

// readHead reads up to an empty line.
func readHead(in *bufio.Reader) ([]string, error) {
	var lines []string
	for len(lines) < 100 {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return lines, nil
		}
		lines = append(lines, line)
	}
	return nil, errors.New("the head is too long")
}

// dial leads to the world's servers instead of to an address.
func (s *sites) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	where := s.good
	if to.Addr() != goodAddress || to.Port() != 80 && to.Port() != 443 {
		where = s.other
		s.note("the proxy led to " + to.String())
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp4", where.Addr().String())
}

// taken is who was led where nobody may be, since the last call.
func (s *sites) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	led := s.led
	s.led = nil
	return led
}

// names is a resolver: for each name its answers, one after the other and from the start again.
type names struct {
	mu      sync.Mutex
	answers map[string][]string
	asked   map[string]int
}

func newNames(own string) *names {
	return &names{asked: make(map[string]int), answers: map[string][]string{
		catalogue.AllowedHost:  {goodAddress.String()},
		catalogue.NameLoopback: {"127.0.0.1", "::1", "127.9.9.9"},
		catalogue.NameOwn:      {own},
		catalogue.NameMetadata: {"169.254.169.254", "fd00:ec2::254"},
		catalogue.NamePrivate:  {"10.1.2.3", "fd12::1", "192.168.1.1"},
		catalogue.NameDisguise: {"::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"},
		catalogue.NameChanges:  {goodAddress.String(), "127.0.0.1"},
		catalogue.NameMixed:    {"127.0.0.1 " + goodAddress.String(), goodAddress.String() + " 127.0.0.1"},
	}}
}

// LookupNetIP knows every name: one that is not in the list is somebody's, too.
func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	host = strings.TrimSuffix(host, ".")
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.answers[host]
	if len(list) == 0 {
		return []netip.Addr{otherAddress}, nil
	}
	var out []netip.Addr
	for text := range strings.FieldsSeq(list[n.asked[host]%len(list)]) {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	n.asked[host]++
	return out, nil
}

// allowList is what the operator's configuration would name.
func allowList() []string {
	list := []string{"*." + catalogue.NameWild}
	for _, host := range []string{catalogue.AllowedHost, catalogue.NameLoopback, catalogue.NameOwn, catalogue.NameMetadata, catalogue.NamePrivate,
		catalogue.NameDisguise, catalogue.NameChanges, catalogue.NameMixed} {
		list = append(list, host, host+":80")
	}
	return list
}

// ways gives a launch the ways out that the probe is about, as far as they are not left out. The returned
// function ends them.
func (g *rig) ways(p *catalogue.Probe, r *sandbox.Request, walls []string) (end func(), err error) {
	switch {
	case slices.Contains(walls, catalogue.Listener) || slices.Contains(walls, catalogue.NetNS):
	case p.Under == catalogue.Proxied:
		return g.outlet(r, slices.Contains(walls, catalogue.Egress))
	case p.Under == catalogue.Modelled:
		return g.models(r, slices.Contains(walls, catalogue.Models))
	}
	return func() {}, nil
}

// outlet gives a launch its network, as the daemon does, or a careless one. The returned function ends it.
func (g *rig) outlet(r *sandbox.Request, careless bool) (end func(), err error) {
	var rules []egress.Rule
	for _, text := range allowList() {
		rule, err := egress.ParseRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	r.Policy.Network = work.NetworkPolicy{Mode: work.NetworkProxy, Allow: allowList()}
	ctx, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	resolver := newNames(g.world.target.LAN)
	r.OnListener = func(l net.Listener) {
		served.Go(func() {
			if careless {
				stopped := context.AfterFunc(ctx, func() { _ = l.Close() }) // it may be closed
				defer stopped()
				carelessProxy(ctx, l, resolver, g.world.sites.dial)
				return
			}
			p := egress.New(egress.Options{Rules: rules, Resolver: resolver, Dial: g.world.sites.dial})
			_ = p.Serve(ctx, l) // what it did is looked at
		})
	}
	return func() { stop(); served.Wait() }, nil
}

type dialler = func(context.Context, netip.AddrPort) (net.Conn, error)

// carelessProxy is the control: it resolves twice and takes the last answer, believes the Host header, and has
// no list.
func carelessProxy(ctx context.Context, l net.Listener, resolver *names, dial dialler) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(4 * time.Second)); err != nil {
				return
			}
			in := bufio.NewReader(c)
			for carelessly(ctx, c, in, resolver, dial) {
				continue
			}
		}()
	}
}

// carelessly serves one request and reports whether there may be another.
func carelessly(ctx context.Context, c net.Conn, in *bufio.Reader, resolver *names, dial dialler) bool {
	lines, err := readHead(in)
	if err != nil || len(lines) == 0 {
		return false
	}
	words := strings.Fields(lines[0])
	if len(words) < 3 {
		return true // what a body is, for who reads no lengths
	}
	target := strings.TrimPrefix(words[1], "http://")
	for _, line := range lines[1:] {
		if host, ok := strings.CutPrefix(line, "Host: "); ok && words[0] != "CONNECT" {
			target = host
		}
	}
	up, err := dial(ctx, carelessAddress(ctx, strings.TrimRight(target, "/"), words[0] == "CONNECT", resolver))
	if err != nil {
		return false
	}
	defer up.Close()
	if words[0] == "CONNECT" {
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			return false
		}
		go func() { _, _ = io.Copy(up, in) }() // until either side ends
		_, _ = io.Copy(c, up)                  // the same
		return false
	}
	if _, err := io.WriteString(up, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		return false
	}
	_, err = io.Copy(c, up)
	return err == nil
}

func carelessAddress(ctx context.Context, target string, tunnel bool, resolver *names) netip.AddrPort {
	host, port := target, uint16(80)
	if tunnel {
		port = 443
	}
	if h, p, err := net.SplitHostPort(target); err == nil {
		var n uint16
		if _, err := fmt.Sscan(p, &n); err != nil || n != 80 && n != 443 {
			return netip.AddrPortFrom(otherAddress, 22)
		}
		host, port = h, n
	}
	addr := otherAddress
	for range 2 {
		if answers, err := resolver.LookupNetIP(ctx, "ip", host); err == nil {
			addr = answers[len(answers)-1]
		}
	}
	return netip.AddrPortFrom(addr, port)
}
