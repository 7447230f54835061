package egress

import (
	"net/netip"
)

// Why an address is not dialled. Each is a phrase that follows "it is".
const (
	whyLoopback  = "a loopback address"
	whyLinkLocal = "a link-local address"
	whyMetadata  = "a cloud metadata address"
	whyNobody    = "no single host's address"
	whyReserved  = "a reserved address"
	whyOwn       = "this machine's own address"
	whyPrivate   = "a private address"
)

// span is a range of addresses with one answer.
type span struct {
	prefix netip.Prefix
	why    string
}

// spans are ranges that are refused, the first that contains an address decides. Sources: the IANA
// special-purpose registries for IPv4 and IPv6, and the metadata services of the large clouds.
var spans = []span{
	{netip.MustParsePrefix("169.254.169.254/32"), whyMetadata},
	{netip.MustParsePrefix("169.254.170.2/32"), whyMetadata},   // ECS
	{netip.MustParsePrefix("169.254.170.23/32"), whyMetadata},  // EKS
	{netip.MustParsePrefix("100.100.100.200/32"), whyMetadata}, // Alibaba
	{netip.MustParsePrefix("168.63.129.16/32"), whyMetadata},   // Azure, a public address
	{netip.MustParsePrefix("192.0.0.192/32"), whyMetadata},     // Oracle
	{netip.MustParsePrefix("fd00:ec2::/32"), whyMetadata},
	{netip.MustParsePrefix("fd20:ce::254/128"), whyMetadata}, // Google
	{netip.MustParsePrefix("fd00:42::42/128"), whyMetadata},  // Scaleway

	{netip.MustParsePrefix("127.0.0.0/8"), whyLoopback},
	{netip.MustParsePrefix("::1/128"), whyLoopback},
	{netip.MustParsePrefix("169.254.0.0/16"), whyLinkLocal},
	{netip.MustParsePrefix("fe80::/10"), whyLinkLocal},

	{netip.MustParsePrefix("0.0.0.0/8"), whyNobody}, // "this network": Linux connects 0.0.0.0 to itself
	{netip.MustParsePrefix("224.0.0.0/4"), whyNobody},
	{netip.MustParsePrefix("255.255.255.255/32"), whyNobody},
	{netip.MustParsePrefix("::/128"), whyNobody},
	{netip.MustParsePrefix("ff00::/8"), whyNobody},

	{netip.MustParsePrefix("10.0.0.0/8"), whyPrivate},
	{netip.MustParsePrefix("172.16.0.0/12"), whyPrivate},
	{netip.MustParsePrefix("192.168.0.0/16"), whyPrivate},
	{netip.MustParsePrefix("100.64.0.0/10"), whyPrivate}, // shared by a provider's customers, and by overlay networks
	{netip.MustParsePrefix("fc00::/7"), whyPrivate},
	{netip.MustParsePrefix("fec0::/10"), whyPrivate},      // site-local, deprecated and still routed by some
	{netip.MustParsePrefix("64:ff9b:1::/48"), whyPrivate}, // local NAT64: only its operator knows where the address is

	{netip.MustParsePrefix("192.0.0.0/24"), whyReserved},
	{netip.MustParsePrefix("192.0.2.0/24"), whyReserved},
	{netip.MustParsePrefix("192.88.99.0/24"), whyReserved},
	{netip.MustParsePrefix("198.18.0.0/15"), whyReserved},
	{netip.MustParsePrefix("198.51.100.0/24"), whyReserved},
	{netip.MustParsePrefix("203.0.113.0/24"), whyReserved},
	{netip.MustParsePrefix("240.0.0.0/4"), whyReserved},
	{netip.MustParsePrefix("100::/64"), whyReserved},
	{netip.MustParsePrefix("2001:2::/48"), whyReserved},
	{netip.MustParsePrefix("2001:db8::/32"), whyReserved},
	{netip.MustParsePrefix("3fff::/20"), whyReserved},
	{netip.MustParsePrefix("5f00::/16"), whyReserved},
}

// carriers are IPv6 ranges whose addresses carry an IPv4 address that a gateway, or this machine, would
// connect to; at is where its four bytes begin.
var carriers = []struct {
	prefix netip.Prefix
	at     int
	flip   byte // Teredo writes the client's address inverted
}{
	{netip.MustParsePrefix("::/96"), 12, 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 12, 0},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, 0},
	{netip.MustParsePrefix("64:ff9b::/96"), 12, 0},
	{netip.MustParsePrefix("2002::/16"), 2, 0},
	{netip.MustParsePrefix("2001::/32"), 12, 0xff},
}

// classify says why an address is not dialled, or "". Of whyPrivate the caller decides.
func classify(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	for _, s := range spans {
		if s.prefix.Contains(a) {
			return s.why
		}
	}
	if four, ok := carried(a); ok {
		return classify(four)
	}
	return ""
}

// carried is the IPv4 address that an IPv6 address stands for.
func carried(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return netip.Addr{}, false
	}
	bytes := a.As16()
	for _, c := range carriers {
		if c.prefix.Contains(a) {
			var four [4]byte
			for i := range four {
				four[i] = bytes[c.at+i] ^ c.flip
			}
			return netip.AddrFrom4(four), true
		}
	}
	// ISATAP: ::0:5efe:a.b.c.d and ::200:5efe:a.b.c.d in any network.
	isatap := bytes[8]&0xfd == 0 && [3]byte(bytes[9:12]) == [3]byte{0, 0x5e, 0xfe}
	return netip.AddrFrom4([4]byte(bytes[12:])), isatap
}
