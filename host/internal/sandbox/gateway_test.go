package sandbox_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// greets answers every connection with a word, until its listener is closed.
func greets(word string) func(net.Listener) {
	return func(l net.Listener) {
		go func() { // ends with the launch
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, err = io.WriteString(c, word)
				if errors.Join(err, c.Close()) != nil {
					return
				}
			}
		}()
	}
}

func TestTheGatewaysListenerIsInsideWhateverTheNetworkIs(t *testing.T) {
	f := newFixture(t)
	for name, policy := range map[string]func() *work.SandboxPolicy{
		"native": strict, "guarded": func() *work.SandboxPolicy { p := strict(); p.Level = "guarded"; p.Backend = "native"; return p },
		"bwrap": func() *work.SandboxPolicy { return wrapped(t) },
	} {
		t.Run(name, func(t *testing.T) {
			req := sandbox.Request{Policy: policy(), OnGateway: greets("the gateway")}
			if text, end := f.payload(req, "dial", "127.0.0.1:3129"); end.Code != 0 || text != "the gateway" {
				t.Errorf("alone: exit %+v: %q", end, text)
			}
			if _, end := f.payload(req, "dial", "127.0.0.1:3128"); end.Code == 0 {
				t.Error("there is a proxy that nobody asked for")
			}
			if env, _ := f.script(req, "echo $HTTPS_PROXY"); env != "\n" {
				t.Errorf("a proxy is named: %q", env)
			}
			req.Policy.Network = work.NetworkPolicy{Mode: work.NetworkProxy, Allow: []string{"example.org"}}
			req.OnListener = greets("the proxy")
			for port, want := range map[string]string{"3128": "the proxy", "3129": "the gateway"} {
				if text, end := f.payload(req, "dial", "127.0.0.1:"+port); end.Code != 0 || text != want {
					t.Errorf("with the proxy, port %s: exit %+v: %q", port, end, text)
				}
			}
			req.Path = "/bin/true"
			if e := vector(t, f.launch(req)); !e.Net.Gateway || e.Net.Mode != "proxy" || !e.Net.Netns {
				t.Errorf("the record says %+v", e.Net)
			}
		})
	}
}

// The gateway's place belongs to one launch: neither the host nor another launch finds anything there.
func TestTheGatewaysPlaceIsOfOneLaunch(t *testing.T) {
	f := newFixture(t)
	inside := make(chan net.Listener, 1)
	req := sandbox.Request{Policy: strict(), OnGateway: func(l net.Listener) { inside <- l }}
	req.Path = "/bin/sh"
	req.Argv = []string{"sh", "-c", "sleep 60"}
	p := f.launch(req)
	defer (<-inside).Close()
	if c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:3129"); err == nil {
		c.Close()
		t.Error("the host reaches it")
	}
	if _, end := f.payload(sandbox.Request{Policy: strict()}, "dial", "127.0.0.1:3129"); end.Code == 0 {
		t.Error("another launch reaches it")
	}
	if _, err := p.Kill(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAGatewayWithoutANetworkOfItsOwnIsRefused(t *testing.T) {
	f := newFixture(t)
	host := strict()
	host.Level, host.Network.Mode = "guarded", "host"
	for name, policy := range map[string]*work.SandboxPolicy{"landlock": guarded(), "off": off(), "the host's network": host} {
		_, err := f.box.Launch(deadline(t), sandbox.Request{Policy: policy, Path: "/bin/true", OnGateway: greets("x")})
		if !fault.Is(err, fault.SandboxUnavailable) || !strings.Contains(err.Error(), "network of the launch's own") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
