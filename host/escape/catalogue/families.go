package catalogue

import "golang.org/x/sys/unix"

// families are kinds of sockets that are kernel code nobody inside needs.
func families() []Probe {
	missing := "this kernel may lack the protocol"
	list := []Probe{
		{ID: "40", Title: "AF_VSOCK: the machine below", try: family(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{ID: "40b", Title: "AF_PACKET: raw frames", try: family(unix.AF_PACKET, unix.SOCK_RAW, 0), Walls: []string{Seccomp, Caps}},
		{ID: "40c", Title: "AF_ALG: kernel crypto (CVE-2026-31431)", try: family(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{ID: "40d", Title: "AF_RXRPC", try: family(unix.AF_RXRPC, unix.SOCK_DGRAM, unix.AF_INET)},
		{ID: "40e", Title: "AF_XDP", try: family(unix.AF_XDP, unix.SOCK_RAW, 0), Walls: []string{Seccomp, Caps}},
		{ID: "40f", Title: "netlink: audit", try: family(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT)},
		{ID: "40g", Title: "netlink: netfilter", try: family(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)},
		{ID: "40h", Where: OursOnly, Title: "netlink: sockets of others (sock_diag)", try: family(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG)},
		{ID: "40i", Where: OursOnly, Title: "netlink: device events", try: family(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT)},
		{ID: "40j", Where: OursOnly, Title: "netlink: generic families", try: family(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)},
		{ID: "40k", Where: OursOnly, Title: "netlink: IPsec (xfrm)", try: family(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM)},
		{ID: "40l", Title: "AF_TIPC", try: family(unix.AF_TIPC, unix.SOCK_STREAM, 0)},
		{ID: "40m", Title: "AF_SMC", try: family(unix.AF_SMC, unix.SOCK_STREAM, 0)},
		{ID: "40n", Title: "AF_CAN", try: family(unix.AF_CAN, unix.SOCK_RAW, 1)},
		{ID: "40o", Title: "AF_BLUETOOTH", try: family(unix.AF_BLUETOOTH, unix.SOCK_RAW, 1)},
		{ID: "40p", Title: "AF_KEY: IPsec keys", try: family(unix.AF_KEY, unix.SOCK_RAW, 2), Walls: []string{Seccomp, Caps}},
		{ID: "40q", Title: "AF_RDS", try: family(unix.AF_RDS, unix.SOCK_SEQPACKET, 0)},
		{ID: "40r", Title: "AF_NFC, AF_QIPCRTR, AF_PHONET", try: family3(unix.AF_NFC, 42, unix.AF_PHONET)},
		{ID: "40s", Title: "multipath TCP (passes Landlock's port rules)", try: family(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)},
		{ID: "40t", Title: "SCTP", try: family(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)},
		{ID: "40u", Where: OursOnly, Title: "DCCP and UDP-Lite", try: family3p(unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE)},
		{ID: "40v", Title: "raw IP", try: family(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP), Walls: []string{Seccomp, Caps}},
		{ID: "40w", Title: "a pair of sockets of another family", try: pairOf(unix.AF_TIPC)},
		{ID: "40x", Where: OursOnly, Title: "a family with high bits set", try: family(unix.AF_VSOCK|1<<32, unix.SOCK_STREAM, 0)},
	}
	for i := range list {
		p := &list[i]
		p.Layer, p.Level, p.Note = Seccomp, guarded, missing
		if p.Walls == nil {
			p.Walls = []string{Seccomp}
		}
	}
	return list
}

func family(domain, kind, proto uint64) func(*Target) Outcome {
	return func(*Target) Outcome {
		fd, err := sys(unix.SYS_SOCKET, uintptr(domain), uintptr(kind|unix.SOCK_CLOEXEC), uintptr(proto))
		if err != nil {
			return refused(err)
		}
		return unless(unix.Close(int(fd)), "a socket was made")
	}
}

func family3(domains ...uint64) func(*Target) Outcome {
	return func(t *Target) Outcome {
		var all []Outcome
		for _, d := range domains {
			for _, kind := range []uint64{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET, unix.SOCK_RAW} {
				all = append(all, family(d, kind, 0)(t))
			}
		}
		return first(all...)
	}
}

func family3p(kind, proto uint64) func(*Target) Outcome {
	return func(t *Target) Outcome {
		const dccp = 6 // SOCK_DCCP
		return first(family(unix.AF_INET, kind, proto)(t), family(unix.AF_INET, dccp, unix.IPPROTO_DCCP)(t),
			family(unix.AF_INET6, kind, proto)(t))
	}
}

func pairOf(domain int) func(*Target) Outcome {
	return func(*Target) Outcome {
		fds, err := unix.Socketpair(domain, unix.SOCK_STREAM, 0)
		if err != nil {
			return refused(err)
		}
		unix.Close(fds[0])
		unix.Close(fds[1])
		return through("a pair was made")
	}
}
