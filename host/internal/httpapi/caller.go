package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// The kinds of actor that this room can tell apart.
const (
	KindOperator = "operator" // the operator's own command line
	KindClient   = "client"   // any other program of the same user
)

// gate says who sends a request, from what the connection proves, or why it is refused.
type gate func(r *http.Request) (api.Actor, error)

var clientName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// admit asks the gate of the request's connection.
func (s *Server) admit(r *http.Request) (api.Actor, error) {
	c, ok := r.Context().Value(keyCaller).(*caller)
	if !ok {
		return api.Actor{}, fault.New(fault.Internal, "a connection from nowhere")
	}
	return c.gate(r)
}

// socketGate admits processes of the same user. Root is another user: it may read this user's files as
// it is, and a daemon that it drives by mistake would write them as the wrong one.
func socketGate(c net.Conn, uid int) gate {
	peer, err := peerUID(c)
	return func(r *http.Request) (api.Actor, error) {
		if err != nil {
			return api.Actor{}, fault.Wrap(err, fault.Forbidden, "the system does not say who connects")
		}
		if peer != uid {
			return api.Actor{}, fault.New(fault.Forbidden, "the daemon runs for uid %d and answers nobody else; you are uid %d", uid, peer).
				Fix("run the command as the user that runs the daemon")
		}
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			return api.Actor{}, fault.New(fault.Forbidden, "the socket does not answer browsers").At("Origin")
		}
		return socketActor(r.Header, uid)
	}
}

// socketActor is the uid that the kernel vouches for, or the name that another program declares. The
// name separates programs of one user in the record; it is no proof against that user.
func socketActor(h http.Header, uid int) (api.Actor, error) {
	names := h.Values(api.HeaderClient)
	switch {
	case len(names) == 0:
		return api.Actor{Kind: KindClient, ID: "unnamed"}, nil
	case len(names) > 1 || !clientName.MatchString(names[0]):
		return api.Actor{}, fault.New(fault.InvalidRequest, "a client's name is lower-case letters, digits and \"-\", at most 32").At(api.HeaderClient)
	case names[0] == "cli":
		return api.Actor{Kind: KindOperator, ID: "uid:" + strconv.Itoa(uid)}, nil
	}
	return api.Actor{Kind: KindClient, ID: names[0]}, nil
}

// newPortGate admits bearers of the token whose request was meant for this port: the Host is compared
// first, so that a page behind a rebound name learns nothing, not even that there is a token.
func newPortGate(token string, hosts []string) gate {
	want := sha256.Sum256([]byte(token))
	origins := make([]string, len(hosts))
	for i, h := range hosts {
		origins[i] = "http://" + h
	}
	return func(r *http.Request) (api.Actor, error) {
		if !slices.Contains(hosts, r.Host) {
			return api.Actor{}, fault.New(fault.Forbidden, "the request was meant for another host").At("Host")
		}
		if o := r.Header.Values("Origin"); len(o) > 1 || len(o) == 1 && !slices.Contains(origins, o[0]) {
			return api.Actor{}, fault.New(fault.Forbidden, "a page of another origin sent the request").At("Origin")
		}
		if site := r.Header.Values("Sec-Fetch-Site"); len(site) > 1 || len(site) == 1 && site[0] != "same-origin" && site[0] != "none" {
			return api.Actor{}, fault.New(fault.Forbidden, "a page of another site sent the request").At("Sec-Fetch-Site")
		}
		given, ok := bearer(r.Header)
		sum := sha256.Sum256([]byte(given))
		if !ok || subtle.ConstantTimeCompare(sum[:], want[:]) != 1 {
			return api.Actor{}, fault.New(fault.Unauthenticated, "the loopback port needs its token").At("Authorization").
				Fix("send: Authorization: Bearer TOKEN, or use the unix socket")
		}
		return api.Actor{Kind: KindClient, ID: "http"}, nil
	}
}

func bearer(h http.Header) (string, bool) {
	given := h.Values("Authorization")
	if len(given) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(given[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer")
}
