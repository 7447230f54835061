package egress

import (
	"bufio"
	"net/netip"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

// badHosts are spellings that another program could read as something else. Each is refused in rules
// and in requests alike.
var badHosts = map[string]string{
	"empty":                 "",
	"dot":                   ".",
	"two trailing dots":     "example.org..",
	"empty label":           "api..example.org",
	"leading dot":           ".example.org",
	"leading hyphen":        "-api.example.org",
	"trailing hyphen":       "api-.example.org",
	"underscore":            "a_b.example.org",
	"space":                 "api.example.org ",
	"tab":                   "api\t.example.org",
	"null byte":             "api.example.org\x00.evil.example",
	"newline":               "api.example.org\n",
	"percent":               "api%2eexample.org",
	"slash":                 "api.example.org/x",
	"backslash":             `api.example.org\x`,
	"at":                    "user@example.org",
	"hash":                  "api.example.org#x",
	"ideographic full stop": "api。example.org",
	"fullwidth full stop":   "api．example.org",
	"halfwidth full stop":   "api｡example.org",
	"Kelvin sign":           "to\u212aen.example.org",
	"dotted capital I":      "ap\u0130.example.org",
	"IDN in UTF-8":          "bücher.example.org",
	"soft hyphen":           "a\u00adpi.example.org",
	"invalid UTF-8":         "api\xff.example.org",
	"decimal address":       "2130706433",
	"hexadecimal address":   "0x7f000001",
	"hexadecimal upper":     "0X7F.0.0.1",
	"hexadecimal last":      "127.0.0.0x1",
	"octal address":         "0177.0.0.1",
	"leading zero":          "127.0.0.01",
	"short address":         "127.1",
	"three parts":           "10.0.1",
	"five parts":            "1.2.3.4.5",
	"too large":             "1.2.3.256",
	"address with dot":      "1.2.3.4.",
	"name ending in number": "example.1",
	"only 0x":               "example.0x",
	"bare IPv6":             "2606:4700::1",
	"IPv6 with zone":        "[fe80::1%eth0]",
	"mapped IPv4":           "[::ffff:1.2.3.4]",
	"bracketed IPv4":        "[1.2.3.4]",
	"bracketed name":        "[example.org]",
	"unclosed bracket":      "[2606:4700::1",
	"bracket and more":      "[2606:4700::1]x",
	"long label":            strings.Repeat("a", 64) + ".org",
	"long name":             strings.Repeat("abcdefg.", 32) + "org",
}

func TestHostGrammarRefuses(t *testing.T) {
	for name, text := range badHosts {
		t.Run(name, func(t *testing.T) {
			if h, err := ParseHost(text); err == nil {
				t.Errorf("ParseHost(%q) = %v, want an error", text, h)
			}
			if r, err := ParseRule(text); err == nil {
				t.Errorf("ParseRule(%q) = %v, want an error", text, r)
			} else if !fault.Is(err, fault.ConfigInvalid) {
				t.Errorf("ParseRule(%q): %v, want %s", text, err, fault.ConfigInvalid)
			}
		})
	}
}

func TestHostIsCanonical(t *testing.T) {
	for text, want := range map[string]string{
		"example.org":                  "example.org",
		"API.Example.ORG":              "api.example.org",
		"api.example.org.":             "api.example.org",
		"xn--bcher-kva.example":        "xn--bcher-kva.example",
		"registry":                     "registry",
		"1.1.1.1":                      "1.1.1.1",
		"[2606:4700:0:0::1]":           "[2606:4700::1]",
		"[2606:4700::ABCD]":            "[2606:4700::abcd]",
		"3com.example":                 "3com.example",
		strings.Repeat("a", 63) + ".b": strings.Repeat("a", 63) + ".b",
		strings.Repeat("abcdefg.", 31) + "abcde.": strings.Repeat("abcdefg.", 31) + "abcde",
	} {
		h, err := ParseHost(text)
		if err != nil || h.String() != want {
			t.Errorf("ParseHost(%q) = %v, %v; want %s", text, h, err, want)
		}
	}
}

func TestRuleMatches(t *testing.T) {
	for _, row := range []struct {
		rule, host string
		port       uint16
		want       bool
	}{
		{"api.example.org", "api.example.org", 443, true},
		{"api.example.org", "API.EXAMPLE.ORG.", 443, true},
		{"api.example.org", "api.example.org", 80, false},
		{"api.example.org", "api.example.org", 0, false},
		{"api.example.org:80", "api.example.org", 80, true},
		{"api.example.org:80", "api.example.org", 443, false},
		{"api.example.org", "x.api.example.org", 443, false},
		{"api.example.org", "example.org", 443, false},
		{"api.example.org", "api.example.org.evil.example", 443, false},
		{"api.example.org", "evilapi.example.org", 443, false},
		{"*.example.org", "api.example.org", 443, true},
		{"*.example.org", "a.b.example.org", 443, true},
		{"*.example.org", "example.org", 443, false},
		{"*.example.org", "evilexample.org", 443, false},
		{"*.example.org", "api.example.org.evil.example", 443, false},
		{"*.example.org:8443", "api.example.org", 8443, true},
		{"*.example.org:8443", "api.example.org", 443, false},
		{"1.1.1.1", "1.1.1.1", 443, true},
		{"1.1.1.1", "1.1.1.2", 443, false},
		{"[2606:4700::1]:80", "[2606:4700:0::1]", 80, true},
		{"[2606:4700::1]", "[2606:4700::2]", 443, false},
	} {
		rule, err := ParseRule(row.rule)
		if err != nil {
			t.Fatal(err)
		}
		host, err := ParseHost(row.host)
		if err != nil {
			t.Fatal(err)
		}
		if got := rule.Matches(host, row.port); got != row.want {
			t.Errorf("%s matches %s:%d = %v, want %v", rule, row.host, row.port, got, row.want)
		}
	}
}

func TestRuleIsRefused(t *testing.T) {
	for _, text := range []string{
		"*", "*.", "*.com", "*.*.example.org", "a.*.example.org", "*example.org", "*.1.1.1.1", "*.[2606:4700::1]",
		"example.org:", "example.org:0", "example.org:65536", "example.org:0443", "example.org:+443", "example.org:https",
		"example.org:*", "example.org:443:443", "https://example.org", "example.org/path", "user@example.org",
		"localhost", "localhost:8080", "LOCALHOST.", "*.app.localhost", "db.localhost", "127.0.0.1", "127.9.9.9:80", "0.0.0.0", "[::1]", "[::]",
		"169.254.169.254:80", "[fd00:ec2::254]:80", "[fe80::1]", "224.0.0.1", "255.255.255.255", "100.100.100.200", "168.63.129.16:80",
		"[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]",
	} {
		if r, err := ParseRule(text); err == nil {
			t.Errorf("ParseRule(%q) = %v, want an error", text, r)
		}
	}
}

func TestRuleOfAPrivateAddressSaysSo(t *testing.T) {
	for text, want := range map[string]bool{
		"10.1.2.3:80": true, "192.168.1.1": true, "[fd12::1]": true, "100.64.0.1": true, "[64:ff9b::a00:1]": true,
		"1.1.1.1": false, "example.org": false, "[2606:4700::1]": false,
	} {
		r, err := ParseRule(text)
		if err != nil || r.Private() != want {
			t.Errorf("ParseRule(%q).Private() = %v, %v; want %v", text, r.Private(), err, want)
		}
	}
}

func TestRuleErrorIsPrintable(t *testing.T) {
	_, err := ParseRule("\x1b[31m\x00" + strings.Repeat("\xff", 1<<16))
	if err == nil {
		t.Fatal("no error")
	}
	if text := err.Error(); len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the error is not printable or %d bytes long: %q", len(text), text)
	}
}

func TestAddressesAreClassified(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1": whyLoopback, "127.255.255.254": whyLoopback, "::1": whyLoopback, "::ffff:127.0.0.1": whyLoopback,
		"64:ff9b::7f00:1": whyLoopback, "2002:7f00:1::1": whyLoopback, "::7f00:1": whyLoopback, "::ffff:0:7f00:1": whyLoopback,
		"fe80::5efe:7f00:1": whyLinkLocal, "2606:4700::5efe:7f00:1": whyLoopback, "2606:4700::200:5efe:a00:1": whyPrivate,
		"2001:0:1:2:3:4:80ff:fffe": whyLoopback, // Teredo: 127.0.0.1 inverted
		"169.254.169.254":          whyMetadata, "::ffff:169.254.169.254": whyMetadata, "fd00:ec2::254": whyMetadata, "fd20:ce::254": whyMetadata,
		"64:ff9b::a9fe:a9fe": whyMetadata, "168.63.129.16": whyMetadata, "100.100.100.200": whyMetadata, "192.0.0.192": whyMetadata,
		"169.254.1.1": whyLinkLocal, "fe80::1": whyLinkLocal, "fe80::1%lo": whyLinkLocal,
		"0.0.0.0": whyNobody, "0.1.2.3": whyNobody, "::": whyNobody, "224.0.0.251": whyNobody, "255.255.255.255": whyNobody, "ff02::1": whyNobody,
		"10.0.0.1": whyPrivate, "172.31.255.255": whyPrivate, "192.168.0.1": whyPrivate, "100.64.0.1": whyPrivate, "100.127.255.255": whyPrivate,
		"fd12::1": whyPrivate, "fc00::1": whyPrivate, "fec0::1": whyPrivate, "64:ff9b::c0a8:1": whyPrivate, "64:ff9b:1::1": whyPrivate, "2002:a00:1::": whyPrivate,
		"192.0.2.1": whyReserved, "198.51.100.7": whyReserved, "203.0.113.9": whyReserved, "198.19.0.1": whyReserved, "240.0.0.1": whyReserved, "2001:db8::1": whyReserved,
		"1.1.1.1": "", "8.8.8.8": "", "172.32.0.1": "", "100.128.0.1": "", "2606:4700::1": "", "64:ff9b::101:101": "", "2002:101:101::": "",
	} {
		if got := classify(netip.MustParseAddr(text)); got != want {
			t.Errorf("classify(%s) = %q, want %q", text, got, want)
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range badHosts {
		f.Add(s)
	}
	for _, s := range []string{"example.org", "API.example.org.", "1.1.1.1", "[2606:4700::1]", "xn--bcher-kva.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHost(s)
		if err != nil {
			return
		}
		again, err := ParseHost(h.String())
		if err != nil || again != h {
			t.Fatalf("%q reads as %v and that as %v, %v", s, h, again, err)
		}
		if _, literal := h.Addr(); literal {
			return
		}
		// What the matcher saw is what the resolver is asked: the text itself but for case and one dot.
		if want := strings.ToLower(strings.TrimSuffix(s, ".")); h.String() != want || query(h) != want+"." {
			t.Fatalf("%q is matched as %q and asked for as %q", s, h, query(h))
		}
		if _, err := netip.ParseAddr(h.String()); err == nil {
			t.Fatalf("%q is an address and was taken for a name", s)
		}
	})
}

func FuzzRule(f *testing.F) {
	for _, s := range badHosts {
		f.Add(s, s)
		f.Add("*."+s, "a."+s)
	}
	f.Add("*.example.org:8443", "api.example.org")
	f.Add("[2606:4700::1]:80", "[2606:4700::1]")
	f.Add("1.1.1.1", "1.1.1.1")
	f.Fuzz(func(t *testing.T, text, host string) {
		r, err := ParseRule(text)
		if err != nil {
			return
		}
		again, err := ParseRule(r.String())
		if err != nil || again != r {
			t.Fatalf("%q reads as %v and that as %v, %v", text, r, again, err)
		}
		h, err := ParseHost(host)
		if err != nil {
			return
		}
		for _, port := range []uint16{0, 22, 25, 80, 443, r.port} {
			if !r.Matches(h, port) {
				continue
			}
			if port != r.port || port == 0 {
				t.Fatalf("%v matches port %d", r, port)
			}
			if h != r.host && !(r.sub && strings.HasSuffix(h.String(), "."+r.host.String())) {
				t.Fatalf("%v matches %v", r, h)
			}
			if h.thisMachine() {
				t.Fatalf("%v matches this machine's name %v", r, h)
			}
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
	f.Add("GET http://example.com/a?b HTTP/1.1\r\nHost: example.com\r\nX: y\r\n\r\n")
	f.Add("POST http://[2606:4700::1]:80/ HTTP/1.1\r\nHost: [2606:4700::1]\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		h, err := readHead(bufio.NewReaderSize(strings.NewReader(raw), maxHead))
		if err != nil {
			return
		}
		if h.port == 0 || h.host == (Host{}) || h.length < -1 {
			t.Fatalf("%q is accepted with host %v, port %d, length %d", raw, h.host, h.port, h.length)
		}
		// Whatever was accepted names one host, in the target and in Host.
		if !strings.Contains(lower(h.target), strings.Trim(h.host.String(), "[]")) && h.host.addr.Is4() {
			t.Fatalf("%q is accepted for %v", h.target, h.host)
		}
		if _, err := ParseHost(h.host.String()); err != nil {
			t.Fatalf("%q is accepted for %v: %v", raw, h.host, err)
		}
		if h.minor == 1 && len(h.header["Host"]) != 1 || strings.ContainsAny(h.method+h.target, "\r\n\x00 \t@") && h.path == "" {
			t.Fatalf("%q is accepted", raw)
		}
	})
}
