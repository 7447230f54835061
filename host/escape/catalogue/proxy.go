package catalogue

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where the proxy listens inside, and the one host that its rules allow at ports 80 and 443; the world's
// resolver knows it and the others.
const (
	proxyPort   = 3128
	AllowedHost = "allowed.example.com"
	AllowedSite = "the allowed site" // what it serves
)

// Names that the rules allow as well, and what the world's resolver answers for them.
const (
	NameLoopback = "loopback.example.com"
	NameOwn      = "own.example.com"
	NameMetadata = "metadata.example.com"
	NamePrivate  = "private.example.com"
	NameDisguise = "disguise.example.com" // this machine in IPv6
	NameChanges  = "changes.example.com"  // every second answer is loopback
	NameMixed    = "mixed.example.com"    // loopback beside a good address
	NameWild     = "wild.example.com"     // only what is below it is allowed
)

// proxied are ways to use the proxy for what its list does not hold.
func proxied() []Probe {
	list := []Probe{
		{ID: "43", Title: "proxy: a host that is not in the list", try: tunnels("other.example.net:443", "example.com:443", "other.example.net:80")},
		{ID: "43b", Title: "proxy: names around an allowed one", try: tunnels("sub."+AllowedHost+":443", "evil"+AllowedHost+":443",
			AllowedHost+".evil.example:443", AllowedHost+"..:443", "."+AllowedHost+":443", NameWild+":443", "x"+NameWild+":443", "*."+NameWild+":443")},
		{ID: "43c", Title: "proxy: spellings of localhost", try: tunnels("localhost:443", "localhost.:443", "LOCALHOST.:443", "a.localhost:443",
			"localhost.localdomain:443", "ip6-localhost:443")},
		{ID: "43d", Title: "proxy: spellings of an address", try: tunnels("127.0.0.1:443", "127.1:443", "2130706433:443", "0x7f000001:443", "0x7f.1:443",
			"0177.0.0.1:443", "127.0.0.1.:443", "0.0.0.0:443", "0:443", "169.254.169.254:80", "127.000.000.001:443")},
		{ID: "43e", Title: "proxy: spellings of an address in IPv6", try: tunnels("[::1]:443", "[::]:443", "[::ffff:127.0.0.1]:443", "[::ffff:7f00:1]:443",
			"[0:0:0:0:0:0:0:1]:443", "::1:443", "[::127.0.0.1]:443", "[64:ff9b::7f00:1]:443", "[2002:7f00:1::]:443", "[fe80::1%25lo]:443", "[::1%lo]:443")},
		{ID: "43f", Title: "proxy: user information", try: raws(connect(AllowedHost+"@other.example.net:443"), connect("other.example.net:443@"+AllowedHost+":443"),
			connect(AllowedHost+":443@127.0.0.1:443"), get("http://"+AllowedHost+"@other.example.net/", AllowedHost),
			get("http://"+AllowedHost+":80@127.0.0.1/", AllowedHost), get(`http://other.example.net\@`+AllowedHost+"/", AllowedHost))},
		{ID: "43g", Title: "proxy: a Host that is not the target's", try: raws(get("http://"+AllowedHost+"/", "other.example.net"),
			get("http://"+AllowedHost+"/", AllowedHost+"\r\nHost: other.example.net"), get("http://"+AllowedHost+"/", AllowedHost+", other.example.net"),
			get("http://other.example.net/", AllowedHost), get("http://"+AllowedHost+"/", AllowedHost+":8080"), get("/", "other.example.net"))},
		{ID: "43h", Title: "proxy: escapes, zero bytes, other alphabets", try: raws(connect(AllowedHost+"%00.evil.example:443"), connect("%6ther.example.net:443"),
			connect(AllowedHost+"\x00.evil.example:443"), connect("other.example.net:443#."+AllowedHost+":443"), connect("other.example.net:443/"+AllowedHost),
			connect("\uff4f\uff54her.example.net:443"), connect("other\u3002example\u3002net:443"), connect("other.example.net\t"+AllowedHost+":443"))},
		{ID: "43i", Title: "proxy: a second request behind an allowed one", try: mayServe(get("http://"+AllowedHost+"/", AllowedHost)+get("http://other.example.net/", "other.example.net"),
			smuggled("Content-Length: 4\r\nTransfer-Encoding: chunked"), smuggled("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
			smuggled("Transfer-Encoding : chunked"))},
		{ID: "45", Title: "proxy: an allowed name is loopback", try: named(NameLoopback)},
		{ID: "45b", Title: "proxy: an allowed name is this machine's address", try: named(NameOwn)},
		{ID: "45c", Title: "proxy: an allowed name is cloud metadata", try: named(NameMetadata)},
		{ID: "45d", Title: "proxy: the second answer for a name is another", try: mayServe(repeated(6, get("http://"+NameChanges+"/", NameChanges))...)},
		{ID: "45e", Title: "proxy: a good and a bad address in one answer", try: mayServe(repeated(6, get("http://"+NameMixed+"/", NameMixed))...)},
		{ID: "45f", Title: "proxy: an allowed name is a private address", try: named(NamePrivate)},
		{ID: "45g", Title: "proxy: an allowed name is loopback in IPv6 disguise", try: named(NameDisguise)},
		{ID: "46", Title: "proxy: a tunnel to SSH of an allowed host", try: tunnels(AllowedHost + ":22")},
		{ID: "46b", Title: "proxy: a tunnel to mail of an allowed host", try: tunnels(AllowedHost+":25", AllowedHost+":465", AllowedHost+":587")},
		{ID: "46c", Title: "proxy: spellings of a port", try: raws(connect(AllowedHost+":022"), connect(AllowedHost+":+22"), connect(AllowedHost+":65558"),
			connect(AllowedHost+":443:22"), connect(AllowedHost+":0"), connect(AllowedHost+":22%20"), connect(AllowedHost))},
		{ID: "47", Layer: Listener, Title: "proxy: take its port", Walls: []string{Listener}, try: takePort(proxyPort)},
		{ID: "47b", Layer: Caps, Title: "proxy: take the interface away below it", Walls: []string{Caps}, try: takeInterface},
	}
	for i := range list {
		p := &list[i]
		p.Level, p.Under, p.Where = isolated, Proxied, OursOnly
		if p.Layer == "" {
			p.Layer, p.Walls = Egress, []string{Egress}
		}
	}
	return list
}

func connect(target string) string {
	return "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"
}

func get(target, host string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
}

// smuggled is a request whose body is another request for who reads its length the other way.
func smuggled(lengths string) string {
	return "POST http://" + AllowedHost + "/ HTTP/1.1\r\nHost: " + AllowedHost + "\r\n" + lengths + "\r\n\r\n0\r\n\r\n" +
		get("http://other.example.net/", "other.example.net")
}

func repeated(n int, request string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = request
	}
	return list
}

// tunnels asks for each of these hosts, by a tunnel and by a plain request.
func tunnels(targets ...string) func(*Target) Outcome {
	var list []string
	for _, t := range targets {
		list = append(list, connect(t), get("http://"+t+"/", t))
	}
	return raws(list...)
}

// named asks for an allowed name.
func named(host string) func(*Target) Outcome {
	return raws(connect(host+":443"), get("http://"+host+"/", host))
}

// raws makes requests that all must be refused by the proxy itself, after one that it must serve.
func raws(requests ...string) func(*Target) Outcome { return asking(false, requests) }

// mayServe makes requests that may be served, as long as nobody else's answer comes.
func mayServe(requests ...string) func(*Target) Outcome { return asking(true, requests) }

func asking(served bool, requests []string) func(*Target) Outcome {
	return func(*Target) Outcome {
		for _, request := range []string{connect(AllowedHost + ":443"), get("http://"+AllowedHost+"/", AllowedHost)} {
			if _, answer, err := ask(request); !strings.Contains(answer, AllowedSite) {
				return broken("the proxy does not serve what is allowed: %q %v", answer, err)
			}
		}
		o := Outcome{Claim: Refused}
		count := make(map[string]int)
		for _, request := range requests {
			status, answer, err := ask(request)
			if err != nil {
				return broken("%q: %v", request, err)
			}
			o.Loot += answer
			count[status]++
			if status == "403" || status == "400" || served && status == "200" {
				continue
			}
			o.Claim, o.Detail = Through, fmt.Sprintf("%.60q is answered %s", request, status)
			return o
		}
		for _, status := range []string{"403", "400", "200"} {
			if n := count[status]; n > 0 {
				o.Detail = strings.TrimPrefix(o.Detail+", "+status+" to "+itoa(n), ", ")
			}
		}
		if served {
			o.Claim = Attempted
		}
		return o
	}
}

// ask makes one request, and one more through the tunnel where one was opened. The status is the first one.
func ask(request string) (status, answer string, err error) { return askAt(proxyPort, request) }

func askAt(number int, request string) (status, answer string, err error) {
	c, err := net.DialTimeout("tcp4", port("127.0.0.1", number), 2*time.Second)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(4 * time.Second)); err != nil {
		return "", "", err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return "", "", err
	}
	in := bufio.NewReader(c)
	first, err := in.ReadString('\n')
	if err != nil || len(first) < len("HTTP/1.1 200") {
		return "", first, fmt.Errorf("no answer: %q %w", first, err)
	}
	status = first[len("HTTP/1.1 "):len("HTTP/1.1 200")]
	if strings.HasPrefix(request, "CONNECT ") && status == "200" {
		if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			return status, first, err
		}
	}
	// A connection that is reset after the answer has been told all the same.
	rest, _ := io.ReadAll(io.LimitReader(in, 64<<10))
	return status, first + string(rest), nil
}

// takePort binds where somebody of the host listens, in every way that sharing a port knows.
func takePort(number int) func(*Target) Outcome {
	return func(*Target) Outcome {
		var all []Outcome
		for _, at := range []unix.Sockaddr{
			&unix.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}}, &unix.SockaddrInet4{Port: number}, &unix.SockaddrInet6{Port: number},
		} {
			for _, options := range [][]int{nil, {unix.SO_REUSEADDR}, {unix.SO_REUSEPORT}, {unix.SO_REUSEADDR, unix.SO_REUSEPORT}} {
				all = append(all, takeAddress(at, options))
			}
		}
		return first(all...)
	}
}

func takeAddress(at unix.Sockaddr, options []int) Outcome {
	family := unix.AF_INET
	if _, six := at.(*unix.SockaddrInet6); six {
		family = unix.AF_INET6
	}
	s, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(s)
	for _, option := range options {
		if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, option, 1); err != nil {
			return broken("%v", err)
		}
	}
	if err := unix.Bind(s, at); err != nil {
		return refused(err)
	}
	return unless(unix.Listen(s, 1), "listens in the host's place")
}

// takeInterface sets lo down, so that whoever it is set up again for starts anew.
func takeInterface(*Target) Outcome {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return broken("%v", err)
	}
	ifr.SetUint16(0)
	return unless(unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr), "lo is down")
}
