package egress

import (
	"errors"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

// defaultPort is the port of a rule that names none.
const defaultPort = 443

// Rule is one entry of an allowlist. Rules are comparable.
type Rule struct {
	host Host
	sub  bool // the sub-domains of host at any depth, and not host itself
	port uint16
}

// ParseRule reads host, host:port or *.host, with *.host:port. Without a port it means 443, so plain
// HTTP needs :80 written. A host is a name (international ones as xn--), a dotted quad, or an IPv6
// address in brackets. *.host needs two labels after the star: *.com is no allowlist. What no sandbox
// ever reaches, such as localhost or 169.254.169.254, is an error here already.
func ParseRule(s string) (Rule, error) {
	r, err := parseRule(s)
	if err != nil {
		return Rule{}, fault.New(fault.ConfigInvalid, "%q is no host to allow: %v", printable(s, maxShown), err).
			Fix("write host, host:port or *.host, as in %q or %q", "api.example.org", "*.example.org:8443")
	}
	return r, nil
}

func parseRule(s string) (Rule, error) {
	if s == "" {
		return Rule{}, errors.New("it is empty")
	}
	text, port, err := splitPort(s)
	if err != nil {
		return Rule{}, err
	}
	if port == 0 {
		port = defaultPort
	}
	text, sub := strings.CutPrefix(text, "*.")
	host, err := ParseHost(text)
	if err != nil {
		return Rule{}, err
	}
	if err := checkRule(host, sub); err != nil {
		return Rule{}, err
	}
	return Rule{host: host, sub: sub, port: port}, nil
}

func checkRule(host Host, sub bool) error {
	addr, literal := host.Addr()
	switch {
	case host.thisMachine():
		return errors.New("it names this machine, which no sandbox reaches")
	case sub && literal:
		return errors.New("an address has no sub-domains")
	case sub && !strings.Contains(host.name, "."):
		return errors.New("the star would allow a whole top-level domain")
	case literal:
		if why := classify(addr); why != "" && why != whyPrivate {
			return errors.New("no sandbox reaches it: it is " + why)
		}
	}
	return nil
}

// Matches reports whether the rule allows the host on the port.
func (r Rule) Matches(h Host, port uint16) bool {
	if port != r.port || port == 0 {
		return false
	}
	if !r.sub {
		return h == r.host
	}
	return strings.HasSuffix(h.name, "."+r.host.name)
}

// Private says whether the rule is an address that is only reached where private addresses are granted.
func (r Rule) Private() bool {
	addr, literal := r.host.Addr()
	return literal && classify(addr) == whyPrivate
}

// String is the canonical form, always with the port; ParseRule reads it back to an equal rule.
func (r Rule) String() string {
	s := r.host.String() + ":" + strconv.Itoa(int(r.port))
	if r.sub {
		return "*." + s
	}
	return s
}
