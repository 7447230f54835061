package catalogue

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where the gateway listens inside, the key that the launch has for it, and the one model and the upstream's
// text that it leads to.
const (
	gatewayPort  = 3129
	GatewayKey   = "key-of-the-attempt"
	AllowedModel = "allowed-model"
	AllowedCall  = "POST /v1/messages"
)

// modelled are ways to use the gateway for other than calls of its wire, with the key of the launch.
func modelled() []Probe {
	own := "127.0.0.1:" + itoa(gatewayPort)
	list := []Probe{
		{ID: "44", Title: "gateway: without the launch's key", try: declined(
			post(AllowedCall, own, ""), post(AllowedCall, own, "X-Api-Key: "), post(AllowedCall, own, "X-Api-Key: "+GatewayKey[:8]),
			post(AllowedCall, own, "X-Api-Key: "+GatewayKey+"x"), post(AllowedCall, own, "X-Api-Key: "+strings.ToUpper(GatewayKey)), post(AllowedCall, own, "X-Goog-Api-Key: "+GatewayKey),
			post(AllowedCall, own, "Cookie: "+keyed), post(AllowedCall, own, "Authorization: Basic "+GatewayKey), post(AllowedCall+"?key="+GatewayKey, own, ""))},
		{ID: "44b", Title: "gateway: other methods", try: declined(post("PUT /v1/messages", own, keyed), post("GET /v1/messages", own, keyed), post("DELETE /v1/messages", own, keyed),
			post("PATCH /v1/messages", own, keyed), post("TRACE /v1/messages", own, keyed), post("OPTIONS *", own, keyed), post("post /v1/messages", own, keyed), post("POST /v1/models", own, keyed))},
		{ID: "44c", Title: "gateway: other paths", try: declined(post("POST /v1/files", own, keyed), post("GET /v1/files", own, keyed), post("POST /v1/messages/batches", own, keyed),
			post("GET /v1/organizations/api_keys", own, keyed), post("POST /v1/chat/completions", own, keyed), post("POST /", own, keyed), post("GET /v1/models/x", own, keyed))},
		{ID: "44d", Title: "gateway: spellings of a path", try: declined(post("POST /v1/messages/../files", own, keyed), post("POST /v1/messages/%2e%2e/files", own, keyed),
			post("POST /v1/messages/..%2ffiles", own, keyed), post("POST /v1//messages", own, keyed), post("POST //other.example.net/v1/messages", own, keyed), post("POST /v1/messages;x", own, keyed),
			post(`POST /v1/messages\..\files`, own, keyed), post("POST /v1/messages#x", own, keyed), post("POST /v1/messages%3fbeta=1", own, keyed), post("POST /v1/%6dessages", own, keyed))},
		{ID: "44e", Title: "gateway: as a proxy", try: declined(connect("other.example.net:443"), connect("127.0.0.1:22"), connect(own), post("POST http://other.example.net/v1/messages", own, keyed),
			post("POST http://"+own+"/v1/messages", own, keyed), post("POST https://"+own+"/v1/messages", own, keyed), post("GET http://127.0.0.1:22/", own, keyed))},
		{ID: "44f", Title: "gateway: another host", try: declined(post(AllowedCall, "other.example.net", keyed), post(AllowedCall, "127.0.0.1:22", keyed), post(AllowedCall, "[::1]:"+itoa(gatewayPort), keyed),
			post(AllowedCall, "", keyed), post(AllowedCall, own+"\r\nHost: other.example.net", keyed), post(AllowedCall, own+"@other.example.net", keyed), post(AllowedCall, "other.example.net:"+itoa(gatewayPort), keyed))},
		{ID: "44g", Title: "gateway: parameters, encodings, other protocols", try: declined(post(AllowedCall+"?key=x", own, keyed), post(AllowedCall+"?upstream=http://other.example.net", own, keyed),
			post(AllowedCall+"?beta=1&beta=2", own, keyed), post(AllowedCall, own, keyed+"\r\nContent-Encoding: gzip"), post(AllowedCall, own, keyed+"\r\nConnection: Upgrade\r\nUpgrade: websocket"))},
		{ID: "44h", Title: "gateway: a model outside of the list", try: declined(asks(`{"model":"other"}`), asks(`{}`), asks(`{"model":"`+AllowedModel+`","model":"other"}`),
			asks(`{"model":"`+AllowedModel+`","Model":"other"}`), asks(`{"model":"`+AllowedModel+`","models":["other"]}`), asks(`{"model":["other"]}`), asks(`[{"model":"`+AllowedModel+`"}]`),
			asks(`{"model":"`+AllowedModel+`"}{"model":"other"}`), asks(`{"model":"`+AllowedModel+`","background":true}`))},
		{ID: "44i", Title: "gateway: a second request behind an allowed one", try: mayBeServed(
			post(AllowedCall, own, keyed)+post("POST /v1/files", own, keyed), hidden("Content-Length: 4\r\nTransfer-Encoding: chunked"),
			hidden("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), hidden("Transfer-Encoding : chunked"), hidden("Transfer-Encoding: x\r\nContent-Length: 0"))},
		{ID: "44j", Title: "gateway: headers that make another call of this one", try: mayBeServed(post(AllowedCall, own, closing+"\r\nX-HTTP-Method-Override: DELETE"),
			post(AllowedCall, own, closing+"\r\nX-Original-URL: /v1/files"), post(AllowedCall, own, closing+"\r\nX-Rewrite-URL: /v1/files"), post(AllowedCall, own, closing+"\r\nX-Forwarded-Host: other.example.net"),
			post(AllowedCall, own, closing+"\r\nOpenAI-Organization: other"), post(AllowedCall, own, closing+"\r\nCookie: session=other"), post(AllowedCall, own, closing+"\r\nConnection: X-Api-Key"))},
		{ID: "44k", Title: "gateway: the real credential in what the service says", try: mayBeServed(post(AllowedCall, own, closing), post(AllowedCall, own, closing+"\r\nRange: bytes=0-20"),
			post("GET /v1/models", own, closing), post("HEAD /v1/models", own, closing))},
		{ID: "44l", Layer: Listener, Title: "gateway: take its port", Walls: []string{Listener}, try: takePort(gatewayPort)},
		{ID: "44m", Layer: Caps, Title: "gateway: take the interface away below it", Walls: []string{Caps}, try: takeInterface},
		{ID: "44n", Layer: NetNS, Title: "gateway: anything else on loopback", Walls: []string{NetNS}, try: scanLoopback},
	}
	for i := range list {
		p := &list[i]
		p.Level, p.Under, p.Where = isolated, Modelled, OursOnly
		if p.Layer == "" {
			p.Layer, p.Walls = Models, []string{Models}
		}
	}
	return list
}

const (
	keyed   = "X-Api-Key: " + GatewayKey
	closing = keyed + "\r\nConnection: close" // so that nobody waits for another answer
)

// post is a request with a header, or several of them, and the body of an allowed one.
func post(what, host, header string) string {
	return request(what, host, header, `{"model":"`+AllowedModel+`"}`)
}

func request(what, host, header, body string) string {
	if header != "" {
		header += "\r\n"
	}
	return what + " HTTP/1.1\r\nHost: " + host + "\r\n" + header + "Content-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

// asks is a call with this body.
func asks(body string) string {
	return request(AllowedCall, "127.0.0.1:"+itoa(gatewayPort), keyed, body)
}

// hidden is a call whose body is another one for who reads its length the other way.
func hidden(lengths string) string {
	own := "127.0.0.1:" + itoa(gatewayPort)
	return AllowedCall + " HTTP/1.1\r\nHost: " + own + "\r\n" + keyed + "\r\n" + lengths + "\r\n\r\n0\r\n\r\n" + post("POST /v1/files", own, keyed)
}

// declined calls must all be refused by the gateway itself, after one that it must serve.
func declined(requests ...string) func(*Target) Outcome { return callsAt(false, requests) }

// mayBeServed may be served, as long as neither the credential comes nor anything else goes on.
func mayBeServed(requests ...string) func(*Target) Outcome { return callsAt(true, requests) }

func callsAt(served bool, requests []string) func(*Target) Outcome {
	return func(*Target) Outcome {
		if _, answer, err := askAt(gatewayPort, post(AllowedCall, "127.0.0.1:"+itoa(gatewayPort), closing)); !strings.Contains(answer, AllowedSite) {
			return broken("the gateway does not serve what is allowed: %q %v", answer, err)
		}
		o := Outcome{Claim: Refused, Detail: itoa(len(requests)) + " refused"}
		for _, text := range requests {
			status, answer, err := askAt(gatewayPort, text)
			if err != nil && served {
				continue // the connection was closed on it
			}
			if err != nil {
				return broken("%q: %v", text, err)
			}
			o.Loot += answer
			if !served && (status[0] != '4' && status != "501" || strings.Contains(answer, AllowedSite)) {
				o.Claim, o.Detail = Through, fmt.Sprintf("%.60q is answered %s", text, status)
				return o
			}
		}
		if served {
			o.Claim, o.Detail = Attempted, itoa(len(requests))+" tried"
		}
		return o
	}
}

// scanLoopback tries every port of loopback, the host's server's first, and the gateway's own in other places.
func scanLoopback(t *Target) Outcome {
	for _, address := range []string{port("127.0.0.1", t.TCP4), port("127.0.0.2", gatewayPort), port("::1", gatewayPort), port("::1", t.TCP6)} {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = c.Close() // it was never written to
			return through("somebody answers at %s", address)
		}
	}
	refusals := 0
	for number := 1; number < 1<<16; number++ {
		if number == gatewayPort {
			continue
		}
		err := knock(number)
		if err == nil {
			return through("somebody answers at port %d", number)
		}
		if errors.Is(err, unix.ECONNREFUSED) {
			refusals++
		}
	}
	return no("%d ports tried, at %d of them nobody is", 1<<16-2, refusals)
}

// knock connects to a port. A socket that the kernel gave that very port meets itself, and nobody else.
func knock(number int) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.Connect(s, &unix.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if own, err := unix.Getsockname(s); err == nil && own.(*unix.SockaddrInet4).Port == number {
		return unix.ECONNREFUSED
	}
	return nil
}
