package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds of a name, as in the DNS.
const (
	maxName  = 253
	maxLabel = 63
)

// Host is a name or an address in its one canonical form: a lower-case name of letters, digits, hyphens
// and dots without a trailing dot, or an address as netip writes it. Hosts are comparable.
type Host struct {
	name string
	addr netip.Addr
}

// ParseHost reads a host as a client may write it: a name, with at most one trailing dot, a canonical
// dotted quad, or an IPv6 address in brackets. Everything that another program could read differently
// is an error.
func ParseHost(s string) (Host, error) {
	if s == "" {
		return Host{}, errors.New("the host is empty")
	}
	if s[0] == '[' {
		return parseSix(s)
	}
	if len(s) > maxName+1 {
		return Host{}, fmt.Errorf("the host has %d bytes, at most %d are allowed", len(s), maxName)
	}
	name := lower(strings.TrimSuffix(s, "."))
	if err := checkName(name); err != nil {
		return Host{}, err
	}
	if !numeric(name[strings.LastIndexByte(name, '.')+1:]) {
		return Host{name: name}, nil
	}
	// Resolvers read 127.1, 0x7f.1 and 2130706433 as addresses; only the dotted quad is one here.
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is4() {
		return Host{}, errors.New("the host looks like an address and is not four decimal numbers without leading zeros")
	}
	return Host{addr: addr}, nil
}

func parseSix(s string) (Host, error) {
	text, closed := strings.CutSuffix(s[1:], "]")
	if !closed {
		return Host{}, errors.New("the IPv6 address is not closed by a bracket")
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil || !addr.Is6():
		return Host{}, errors.New("what is in brackets is not an IPv6 address")
	case addr.Zone() != "":
		return Host{}, errors.New("the IPv6 address has a zone")
	case addr.Is4In6():
		return Host{}, errors.New("the IPv6 address is an IPv4 address in disguise")
	}
	return Host{addr: addr}, nil
}

// checkName holds the grammar of a lower-cased name without its trailing dot.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("the host has %d bytes, 1 to %d are allowed", len(name), maxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return errors.New("the host has an empty label")
	case len(label) > maxLabel:
		return fmt.Errorf("the host has a label of %d bytes, at most %d are allowed", len(label), maxLabel)
	}
	for _, c := range []byte(label) {
		if !nameByte(c) {
			return errors.New("the host has a character other than letters, digits, hyphens and dots (international names are written as xn--)")
		}
	}
	if label[0] == '-' || label[len(label)-1] == '-' {
		return errors.New("the host has a label that begins or ends with a hyphen")
	}
	return nil
}

// lower is for ASCII only: strings.ToLower would turn the Kelvin sign into a k.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
}

// numeric says whether a last label makes resolvers read the host as an IPv4 address.
func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// String is the canonical form, an IPv6 address in brackets.
func (h Host) String() string {
	if h.addr.Is6() {
		return "[" + h.addr.String() + "]"
	}
	if h.addr.IsValid() {
		return h.addr.String()
	}
	return h.name
}

// Addr is the address of a literal, and whether h is one.
func (h Host) Addr() (netip.Addr, bool) { return h.addr, h.addr.IsValid() }

// thisMachine says whether a name means the machine that asks, whatever a resolver answers.
func (h Host) thisMachine() bool {
	return h.name == "localhost" || strings.HasSuffix(h.name, ".localhost") ||
		h.name == "localhost.localdomain" || h.name == "ip6-localhost" || h.name == "ip6-loopback"
}

// splitPort cuts host[:port]; port is 0 where none is written.
func splitPort(s string) (host string, port uint16, err error) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || s[0] == '[' && s[len(s)-1] == ']' {
		return s, 0, nil
	}
	n, err := parsePort(s[colon+1:])
	return s[:colon], n, err
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s != strconv.FormatUint(n, 10) {
		return 0, errors.New("the port is not a number from 1 to 65535")
	}
	return uint16(n), nil
}
