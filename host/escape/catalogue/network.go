package catalogue

import (
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// network are ways to other machines, and to the servers of this one.
func network() []Probe {
	alone := []string{NetNS}
	list := []Probe{
		{ID: "36", Title: "TCP to the host's loopback", try: dial("tcp", loopback4)},
		{ID: "36b", Title: "TCP to the host's loopback over IPv6", try: dial("tcp", loopback6)},
		{ID: "36c", Title: "TCP to the host's own address", try: dialLAN},
		{ID: "36d", Title: "TCP to the outside", try: dial("tcp", fixed("192.0.2.1:443"))},
		{ID: "36e", Title: "TCP with data in the SYN (MSG_FASTOPEN)", try: fastOpen},
		{ID: "36f", Title: "TCP by 0.0.0.0", try: dial("tcp", func(t *Target) string { return port("0.0.0.0", t.TCP4) })},
		{ID: "36g", Title: "TCP over an IPv4-mapped address", try: dial("tcp6", func(t *Target) string { return port("::ffff:127.0.0.1", t.TCP4) })},
		{ID: "37", Title: "UDP to the host's loopback", try: udpLoopback},
		{ID: "37b", Title: "UDP to a public resolver", try: dial("udp", fixed("192.0.2.1:53"))},
		{ID: "37c", Title: "UDP to the outside over IPv6", try: dial("udp", fixed("[2001:db8::1]:53"))},
		{ID: "37d", Title: "UDP without connecting", try: udpUnconnected},
		{ID: "37e", Title: "resolve a name", try: resolve},
		{ID: "37f", Title: "ping the host", try: ping},
		{ID: "37g", Title: "multicast", try: multicast},
		{ID: "41", Title: "see the host's interfaces and addresses", try: interfaces},
		{ID: "41b", Title: "add an address or a route", try: addAddress, Walls: []string{Caps, NetNS}},
		{ID: "41c", Title: "listen where the host's network would answer", try: listenOutside},
	}
	for i := range list {
		list[i].Layer, list[i].Level = NetNS, isolated
		if list[i].Walls == nil {
			list[i].Walls = alone
		}
	}
	return append(list, unixSockets()...)
}

func unixSockets() []Probe {
	return []Probe{
		{ID: "38", Title: "an abstract unix socket of the host", Layer: NetNS, Level: isolated, Walls: []string{NetNS, Landlock},
			try: dial("unix", func(t *Target) string { return "@" + t.Abstract })},
		{ID: "38b", Title: "a datagram to an abstract unix socket of the host", Layer: NetNS, Level: isolated,
			Walls: []string{NetNS, Landlock}, try: dial("unixgram", func(t *Target) string { return "@" + t.Abstract + ".dgram" })},
		{ID: "39", Title: "the key agent's socket", Layer: View, Level: isolated, Walls: []string{View, Landlock},
			try: dial("unix", func(t *Target) string { return t.Agent })},
		{ID: "39b", Title: "the daemon's socket", Layer: View, Level: isolated, Walls: []string{View, Landlock},
			try: dial("unix", func(t *Target) string { return t.API })},
		{ID: "39c", Title: "well-known sockets (docker, D-Bus, systemd)", Layer: View, Level: isolated, Walls: []string{View, Landlock},
			try: wellKnown, Note: "no such server runs on this machine"},
		{ID: "39d", Title: "the daemon's socket by a link of the tree", Layer: View, Level: isolated, Walls: []string{View, Landlock},
			try: dialThroughLink},
	}
}

func fixed(address string) path { return func(*Target) string { return address } }

func port(host string, n int) string { return net.JoinHostPort(host, strconv.Itoa(n)) }

func loopback4(t *Target) string { return port("127.0.0.1", t.TCP4) }
func loopback6(t *Target) string { return port("::1", t.TCP6) }

// dial is an escape when a connection is made; one to the outside may take its time, which is one as well.
func dial(network string, to path) func(*Target) Outcome {
	return func(t *Target) Outcome {
		c, err := net.DialTimeout(network, to(t), 2*time.Second)
		if err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				return through("no answer, but nobody refused")
			}
			return refused(err)
		}
		_, err = c.Write([]byte(t.Mark))
		if cerr := c.Close(); err == nil {
			err = cerr
		}
		return unless(err, "connected")
	}
}

func dialLAN(t *Target) Outcome {
	if t.LAN == "" {
		return broken("this machine has no address but loopback")
	}
	return dial("tcp", fixed(port(t.LAN, t.TCP4)))(t)
}

func dialThroughLink(t *Target) Outcome {
	link, err := plant(t, "sock", t.API)
	if err != nil {
		return broken("plant: %v", err)
	}
	return dial("unix", fixed(link))(t)
}

func inet(t *Target, kind, proto int, use func(s int) error) Outcome {
	s, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(s)
	return unless(use(s), "sent")
}

func home4(n int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: n, Addr: [4]byte{127, 0, 0, 1}}
}

func fastOpen(t *Target) Outcome {
	return inet(t, unix.SOCK_STREAM, 0, func(s int) error {
		return unix.Sendto(s, []byte(t.Mark), unix.MSG_FASTOPEN, home4(t.TCP4))
	})
}

// udpLoopback sends to a server whose packets are counted outside: inside there is a loopback as well, which
// takes everything.
func udpLoopback(t *Target) Outcome {
	o := dial("udp", func(t *Target) string { return port("127.0.0.1", t.UDP) })(t)
	if o.Claim == Through {
		return attempted("sent")
	}
	return o
}

func udpUnconnected(t *Target) Outcome {
	return inet(t, unix.SOCK_DGRAM, 0, func(s int) error {
		return unix.Sendto(s, []byte(t.Mark), 0, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{192, 0, 2, 1}})
	})
}

func resolve(*Target) Outcome {
	// One resolver after the other is named by the C library and by Go; both read a file that is empty here.
	c, err := net.DialTimeout("udp", "127.0.0.53:53", time.Second)
	if err != nil {
		return refused(err)
	}
	defer c.Close()
	query := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'c', 'o', 'm', 0, 0, 1, 0, 1}
	if _, err := c.Write(query); err != nil {
		return refused(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return broken("%v", err)
	}
	if _, err := c.Read(make([]byte, 512)); err != nil {
		return refused(err)
	}
	return through("an answer came")
}

// ping sends an echo request; who answers tells nothing, so an address that is nobody's is asked.
func ping(t *Target) Outcome {
	o := inet(t, unix.SOCK_DGRAM, unix.IPPROTO_ICMP, func(s int) error {
		return unix.Sendto(s, []byte{8, 0, 0, 0, 0, 0, 0, 1}, 0, &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 1}})
	})
	return o
}

func multicast(t *Target) Outcome {
	return inet(t, unix.SOCK_DGRAM, 0, func(s int) error {
		return unix.Sendto(s, []byte(t.Mark), 0, &unix.SockaddrInet4{Port: 5353, Addr: [4]byte{224, 0, 0, 251}})
	})
}

func interfaces(*Target) Outcome {
	all, err := net.Interfaces()
	if err != nil {
		return refused(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 {
			return through("saw %s", i.Name)
		}
	}
	return no("%d, loopback only", len(all))
}

// addAddress sets an address of lo, as a first step to answer for somebody else.
func addAddress(*Target) Outcome {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return broken("%v", err)
	}
	ifr.SetUint32(65536)
	return unless(unix.IoctlIfreq(s, unix.SIOCSIFMTU, ifr), "changed the interface")
}

// listenOutside takes a port; the driver then finds out whether it is the host's.
func listenOutside(t *Target) Outcome {
	l, err := net.Listen("tcp4", port("0.0.0.0", t.TCP4))
	if err != nil {
		if name(err) != "EADDRINUSE" {
			return refused(err)
		}
		return through("the port is taken: it is the host's network")
	}
	if err := l.Close(); err != nil {
		return broken("%v", err)
	}
	return no("a network of its own")
}

func wellKnown(t *Target) Outcome {
	var all []Outcome
	for _, p := range []string{"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket",
		"/run/systemd/private", "/run/user/0/bus", "/tmp/.X11-unix/X0", "/run/podman/podman.sock", "/run/snapd.socket"} {
		all = append(all, dial("unix", fixed(p))(t))
	}
	return first(all...)
}
