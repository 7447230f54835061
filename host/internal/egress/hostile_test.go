package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connectTo is a CONNECT request to a target as it is written.
func connectTo(target string) string {
	return "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"
}

// TestS73_ProxyRefusesHostTricks is probe 43: each spelling is refused with one recorded reason, nothing
// is resolved and nothing is dialled.
func TestS73_ProxyRefusesHostTricks(t *testing.T) {
	type trick struct {
		raw  string
		want int
	}
	tricks := map[string]trick{
		"not listed":                     {connectTo("evil.example:443"), 403},
		"sub-domain of a listed host":    {connectTo("x.example.com:443"), 403},
		"listed host as a sub-domain":    {connectTo("example.com.evil.example:443"), 403},
		"listed host as a suffix":        {connectTo("evilexample.com:443"), 403},
		"apex of a star":                 {connectTo("star.example:443"), 403},
		"suffix of a star":               {connectTo("evilstar.example:443"), 403},
		"localhost":                      {connectTo("localhost:443"), 403},
		"localhost with a dot":           {connectTo("localhost.:443"), 403},
		"localhost under a star":         {connectTo("localhost.star.example.:80"), 403},
		"loopback":                       {connectTo("127.0.0.1:443"), 403},
		"decimal loopback":               {connectTo("2130706433:443"), 403},
		"hexadecimal loopback":           {connectTo("0x7f000001:443"), 403},
		"octal loopback":                 {connectTo("0177.0.0.1:443"), 403},
		"short loopback":                 {connectTo("127.1:443"), 403},
		"IPv6 loopback":                  {connectTo("[::1]:443"), 403},
		"mapped loopback":                {connectTo("[::ffff:127.0.0.1]:443"), 403},
		"unbracketed IPv6":               {connectTo("::1:443"), 403},
		"IPv6 with a zone":               {connectTo("[fe80::1%25lo]:443"), 403},
		"metadata":                       {connectTo("169.254.169.254:80"), 403},
		"userinfo":                       {connectTo("example.com@evil.example:443"), 403},
		"userinfo, listed host last":     {connectTo("evil@example.com:443"), 403},
		"two trailing dots":              {connectTo("example.com..:443"), 403},
		"empty label":                    {connectTo("a..star.example:443"), 403},
		"percent-encoded dot":            {connectTo("example%2ecom:443"), 403},
		"percent-encoded null":           {connectTo("example.com%00.evil.example:443"), 403},
		"underscore":                     {connectTo("_x.star.example:443"), 403},
		"no port":                        {connectTo("example.com"), 400},
		"port 0":                         {connectTo("example.com:0"), 403},
		"port with a zero":               {connectTo("example.com:0443"), 403},
		"port too large":                 {connectTo("example.com:65979"), 403},
		"port by name":                   {connectTo("example.com:https"), 403},
		"path after the port":            {connectTo("example.com:443/x"), 400},
		"CONNECT to a URL":               {connectTo("https://example.com:443"), 400},
		"null byte":                      {connectTo("example.com\x00.evil.example:443"), 400},
		"ideographic full stop":          {connectTo("example。com:443"), 400},
		"Kelvin sign":                    {connectTo("\u212aexample.com:443"), 400},
		"tab in the request line":        {"CONNECT example.com:443\tHTTP/1.1\r\n\r\n", 400},
		"two spaces":                     {"CONNECT  example.com:443 HTTP/1.1\r\n\r\n", 400},
		"Host is another":                {"CONNECT example.com:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 403},
		"Host has another port":          {"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:22\r\n\r\n", 403},
		"two Hosts":                      {"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nHost: evil.example\r\n\r\n", 400},
		"no Host":                        {"CONNECT example.com:443 HTTP/1.1\r\n\r\n", 400},
		"absolute URI against Host":      {"GET http://example.com/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
		"absolute URI, listed Host":      {"GET http://evil.example/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 403},
		"absolute URI, Host with a port": {"GET http://example.com/ HTTP/1.1\r\nHost: example.com:8080\r\n\r\n", 403},
		"absolute URI with userinfo":     {"GET http://example.com@evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
		"absolute URI with a backslash":  {"GET http://evil.example\\@example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 403},
		"absolute URI with a fragment":   {"GET http://example.com#@evil.example/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 400},
		"absolute https":                 {"GET https://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 400},
		"scheme in capitals":             {"GET HTTP://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 400},
		"other scheme":                   {"GET ftp://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 400},
		"origin form":                    {"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 400},
		"asterisk form":                  {"OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n", 400},
		"scheme-relative":                {"GET //example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 400},
		"plain on the TLS port's rule":   {"GET http://tls.example/ HTTP/1.1\r\nHost: tls.example\r\n\r\n", 403},
		"HTTP/2 preface":                 {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		"HTTP/0.9":                       {"GET http://example.com/\r\n\r\n", 400},
		"SOCKS 5":                        {"\x05\x01\x00\r\n\r\n", 400},
		"TLS to the proxy":               {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
	}
	for name, trick := range tricks {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "example.com", "example.com:80", "*.star.example", "tls.example").start()
			answer := w.say(trick.raw)
			if got := status(t, answer); got != trick.want {
				t.Errorf("status %d, want %d: %q", got, trick.want, answer)
			}
			told := w.requests(1)
			if len(told) != 1 || told[0].Allowed || told[0].Reason == "" || told[0].Address != "" || told[0].Up+told[0].Down != 0 {
				t.Errorf("told %+v", told)
			}
			if strings.ContainsFunc(told[0].Host+told[0].Method+told[0].Reason, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("told what is not printable: %+v", told[0])
			}
			if asked, dialed := w.names.questions(), w.dials(); len(asked)+len(dialed) != 0 {
				t.Errorf("asked for %q and dialled %q", asked, dialed)
			}
		})
	}
}

// machineAddresses are the addresses of this machine that are not loopback.
func machineAddresses(t *testing.T) []string {
	t.Helper()
	own, err := ownAddresses()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range own {
		if !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			out = append(out, a.String())
		}
	}
	return out
}

// TestS73_ProxyRefusesAddresses is probe 45: an allowed name that leads to an address which no sandbox
// reaches. Private ranges are granted here, so that what is refused is refused in spite of that.
func TestS73_ProxyRefusesAddresses(t *testing.T) {
	answers := []string{
		"127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.169.254", "169.254.10.10", "fe80::1", "fe80::1%lo",
		"fd00:ec2::254", "100.100.100.200", "168.63.129.16", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::127.0.0.1",
		"2001:0:1:2:3:4:80ff:fffe", "224.0.0.1", "255.255.255.255", "ff02::1", "192.0.2.1", "240.0.0.1", "127.0.0.1 ::1 169.254.169.254",
	}
	for _, list := range append(answers, machineAddresses(t)...) {
		t.Run(list, func(t *testing.T) {
			w := newWorld(t, "example.com", "example.com:80")
			w.opt.Private = true
			w.names.answers["example.com."] = []string{list}
			w.start()
			for _, raw := range []string{connectTo("example.com:443"), "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n"} {
				if answer := w.say(raw); status(t, answer) != http.StatusForbidden {
					t.Errorf("answer %q", answer)
				}
			}
			for _, r := range w.requests(2) {
				if r.Allowed || r.Host != "example.com" || !strings.Contains(r.Reason, " is ") {
					t.Errorf("told %+v", r)
				}
			}
			if d := w.dials(); len(d) != 0 {
				t.Errorf("dialled %q", d)
			}
		})
	}
}

func TestS73_ProxyRefusesPrivateAddressesUnlessGranted(t *testing.T) {
	for _, addr := range []string{"10.99.98.97", "172.20.255.1", "192.168.255.253", "100.64.99.98", "fd99::1", "64:ff9b::a63:6261"} {
		for _, granted := range []bool{false, true} {
			w := newWorld(t, "example.com")
			w.opt.Private = granted
			w.names.answers["example.com."] = []string{addr}
			w.opt.Own = func() ([]netip.Addr, error) { return nil, nil }
			w.start()
			answer, dials := w.say(connectTo("example.com:443")), w.dials()
			if granted && (status(t, answer) != http.StatusBadGateway || len(dials) != 1) {
				t.Errorf("%s, granted: dialled %q, answer %q", addr, dials, answer)
			}
			if !granted && (status(t, answer) != http.StatusForbidden || len(dials) != 0) {
				t.Errorf("%s: dialled %q, answer %q", addr, dials, answer)
			}
		}
	}
}

// TestS73_ProxyResolvesOnce is the second half of probe 45: the name leads elsewhere the second time.
func TestS73_ProxyResolvesOnce(t *testing.T) {
	w := newWorld(t, "example.com")
	conns := w.listener()
	w.names.answers["example.com."] = []string{public, "127.0.0.1"}
	w.start()
	near, far := w.tunnel(conns)
	if err := errors.Join(near.Close(), far.Close()); err != nil {
		t.Fatal(err)
	}
	if r := w.requests(1)[0]; r.Address != public+":443" {
		t.Errorf("told %+v", r)
	}
	if asked, dialed := w.names.questions(), w.dials(); len(asked) != 1 || len(dialed) != 1 || dialed[0] != public+":443" {
		t.Errorf("asked %q, dialled %q", asked, dialed)
	}
	if answer := w.say(connectTo("example.com:443")); status(t, answer) != http.StatusForbidden {
		t.Errorf("the next request, with the new answer: %q", answer)
	}
	if dialed := w.dials(); len(dialed) != 1 {
		t.Errorf("dialled %q", dialed)
	}
}

func TestS73_ProxyDropsTheBadAnswersOnly(t *testing.T) {
	w := newWorld(t, "example.com")
	conns := w.listener()
	w.names.answers["example.com."] = []string{"127.0.0.1 10.0.0.1 " + public + " " + public}
	w.start()
	w.tunnel(conns)
	if dialed := w.dials(); len(dialed) != 1 || dialed[0] != public+":443" {
		t.Errorf("dialled %q", dialed)
	}
}

func TestProxyThatDoesNotKnowItsMachineDialsNothing(t *testing.T) {
	w := newWorld(t, "example.com")
	w.opt.Own = func() ([]netip.Addr, error) { return nil, errors.New("no netlink") }
	w.start()
	if answer := w.say(connectTo("example.com:443")); status(t, answer) != http.StatusBadGateway || len(w.dials()) != 0 {
		t.Errorf("answer %q, dialled %q", answer, w.dials())
	}
}

// TestS73_ProxyRefusesOtherPorts is probe 46: the host is allowed, the port is not.
func TestS73_ProxyRefusesOtherPorts(t *testing.T) {
	for _, port := range []int{22, 25, 80, 465, 587, 8443, 1, 65535} {
		w := newWorld(t, "example.com").start()
		answer := w.say(connectTo(fmt.Sprintf("example.com:%d", port)))
		r := w.requests(1)[0]
		if status(t, answer) != http.StatusForbidden || r.Allowed || int(r.Port) != port || len(w.names.questions()) != 0 {
			t.Errorf("port %d: answer %q, told %+v", port, answer, r)
		}
	}
}

// TestS73_ProxyRefusesSmuggling is probe 46 for heads that two readers could cut differently.
func TestS73_ProxyRefusesSmuggling(t *testing.T) {
	get, post := "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n", "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\n"
	con := "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n"
	for name, raw := range map[string]string{
		"body of CONNECT":              con + "Content-Length: 5\r\n\r\nhello",
		"chunked CONNECT":              con + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"second request after CONNECT": con + "\r\nCONNECT example.com:22 HTTP/1.1\r\n\r\n",
		"TLS before the tunnel":        con + "\r\n\x16\x03\x01",
		"length and coding":            post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":                  post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"two equal lengths":            post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"list of lengths":              post + "Content-Length: 5, 5\r\n\r\nhello",
		"signed length":                post + "Content-Length: +5\r\n\r\nhello",
		"negative length":              post + "Content-Length: -1\r\n\r\n",
		"huge length":                  post + "Content-Length: 99999999999999999999\r\n\r\n",
		"coding in a list":             post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"two codings":                  post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"coding with a vertical tab":   post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
		"coding of HTTP/1.0":           "POST http://example.com/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"space before the colon":       get + "Content-Length : 5\r\n\r\nhello",
		"folded line":                  get + "X-A: 1\r\n Content-Length: 5\r\n\r\n",
		"folded first line":            "GET http://example.com/ HTTP/1.1\r\n Host: example.com\r\n\r\n",
		"bare LF":                      "GET http://example.com/ HTTP/1.1\nHost: example.com\n\n",
		"bare CR":                      get + "X-A: 1\rX-B: 2\r\n\r\n",
		"null byte in a value":         get + "X-A: \x00\r\n\r\n",
		"empty name":                   get + ": x\r\n\r\n",
		"name with a space":            get + "X A: x\r\n\r\n",
		"no colon":                     get + "nothing\r\n\r\n",
		"Host in a list":               "GET http://example.com/ HTTP/1.1\r\nHost: example.com, evil.example\r\n\r\n",
		"method with a control":        "G\x01T http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"long method":                  strings.Repeat("A", maxMethod+1) + " http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"bad escape in the path":       "GET http://example.com/%zz HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"unknown expectation":          post + "Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx",
		"many headers":                 get + strings.Repeat("X: y\r\n", maxHeaders+1) + "\r\n",
		"large header":                 get + "X: " + strings.Repeat("y", maxHead) + "\r\n\r\n",
		"large head":                   get + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 40) + "\r\n",
		"large request line":           "GET http://example.com/" + strings.Repeat("y", maxHead) + " HTTP/1.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "example.com", "example.com:80")
			conns := w.listener()
			w.start()
			if got := status(t, w.say(raw)); got < 400 || got >= 500 {
				t.Errorf("status %d", got)
			}
			if r := w.requests(1); len(r) != 1 || r[0].Allowed || r[0].Reason == "" {
				t.Errorf("told %+v", r)
			}
			select {
			case c := <-conns: // only what follows CONNECT may have been dialled, and it got nothing
				if got, err := io.ReadAll(c); len(got) != 0 || !strings.Contains(raw, "CONNECT") {
					t.Errorf("the server got %q, %v", got, err)
				}
			default:
			}
		})
	}
}

// TestS73_ProxyRefusesBytesWhileDialling holds that the client is silent until it knows of the tunnel,
// also when its bytes come late.
func TestS73_ProxyRefusesBytesWhileDialling(t *testing.T) {
	w := newWorld(t, "example.com")
	dialling := make(chan struct{})
	w.opt.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		close(dialling)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	w.start()
	c := w.connect()
	if _, err := io.WriteString(c, connectTo("example.com:443")); err != nil {
		t.Fatal(err)
	}
	<-dialling
	if _, err := io.WriteString(c, "early"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || status(t, string(answer)) != http.StatusBadRequest {
		t.Errorf("answer %q, %v", answer, err)
	}
	if r := w.requests(1)[0]; r.Allowed || !strings.Contains(r.Reason, "before the tunnel") {
		t.Errorf("told %+v", r)
	}
}

func TestClientThatLeavesEndsTheDial(t *testing.T) {
	w := newWorld(t, "example.com")
	dialling, ended := make(chan struct{}), make(chan struct{})
	w.opt.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		close(dialling)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}
	w.start()
	c := w.connect()
	if _, err := io.WriteString(c, connectTo("example.com:443")); err != nil {
		t.Fatal(err)
	}
	<-dialling
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the dial goes on")
	}
	if r := w.requests(1)[0]; !strings.Contains(r.Reason, "client went away") {
		t.Errorf("told %+v", r)
	}
}

// TestS73_ProxyPortCannotBeTakenOver is probe 47: while the listener is open, nobody binds its port
// beside it, whatever options a socket has; and one who is there first makes the listener fail, which
// is before a payload exists.
func TestS73_ProxyPortCannotBeTakenOver(t *testing.T) {
	w := newWorld(t).start()
	to := netip.MustParseAddrPort(w.addr)
	for _, addr := range []netip.Addr{to.Addr(), netip.IPv4Unspecified()} {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
				t.Fatal(err)
			}
		}
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: addr.As4()})
		if err == nil {
			err = unix.Listen(fd, 1)
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("bind beside the proxy on %s: %v, want %v", addr, err, syscall.EADDRINUSE)
		}
		if err := unix.Close(fd); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := net.Listen("tcp", w.addr); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listen beside the proxy: %v", err)
	}
}

func TestS73_EmptyListAllowsNothing(t *testing.T) {
	w := newWorld(t).start()
	for _, raw := range []string{connectTo("example.com:443"), connectTo("1.1.1.1:443"), "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n"} {
		if answer := w.say(raw); status(t, answer) != http.StatusForbidden {
			t.Errorf("answer %q", answer)
		}
	}
	if len(w.names.questions())+len(w.dials()) != 0 {
		t.Errorf("asked %q, dialled %q", w.names.questions(), w.dials())
	}
}

func TestLiteralsOnlyWhereListed(t *testing.T) {
	w := newWorld(t, public+":443")
	conns := w.listener()
	w.start()
	c := w.connect()
	if _, err := io.WriteString(c, connectTo(public+":443")); err != nil {
		t.Fatal(err)
	}
	far := <-conns
	if err := errors.Join(c.Close(), far.Close()); err != nil {
		t.Fatal(err)
	}
	if answer := w.say(connectTo("9.9.9.9:443")); status(t, answer) != http.StatusForbidden {
		t.Errorf("answer %q", answer)
	}
	if asked := w.names.questions(); len(asked) != 0 {
		t.Errorf("asked for %q", asked)
	}
}
