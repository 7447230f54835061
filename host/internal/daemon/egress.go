package daemon

import (
	"context"
	"net"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/egress"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Bounds of what the log keeps of one launch's requests.
const (
	maxRefusals = 20 // different ones, each a fact of its own
	maxHosts    = 50 // rows of the totals
)

// outlet is the way from one launch to the network: a proxy that lives as long as the launch.
type outlet struct {
	launch dispatch.Launch
	proxy  *egress.Proxy
	note   func(kind string, body any) // writes a fact
	log    hclog.Logger
	serve  func(net.Listener)
	stop   context.CancelFunc
	served sync.WaitGroup
	once   sync.Once

	refusals []egress.Row // told already; only the proxy's one caller touches it
}

// outlet makes the proxy of a launch, nil where its policy has none.
func (p pluginsPort) outlet(ctx context.Context, l dispatch.Launch) (*outlet, error) {
	network := l.Policy.Network
	if network.Mode != work.NetworkProxy {
		return nil, nil
	}
	var rules []egress.Rule
	for _, text := range network.Allow {
		r, err := egress.ParseRule(text)
		if err != nil {
			return nil, fault.From(err).At(l.Policy.Declared)
		}
		rules = append(rules, r)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	o := &outlet{launch: l, stop: stop, log: p.log.With("attempt", l.AttemptID, "plugin", l.Kind+" "+l.Name)}
	o.note = p.noter(ctx, l)
	o.proxy = egress.New(egress.Options{Rules: rules, Private: network.Private, OnRequest: o.told, Resolver: p.resolver, Dial: p.dial})
	o.serve = func(listener net.Listener) {
		o.served.Go(func() {
			if err := o.proxy.Serve(ctx, listener); err != nil {
				o.log.Error("the sandbox's proxy ended", "error", err)
			}
		})
	}
	return o, nil
}

// onListener is what the loader calls, nil without a proxy.
func (o *outlet) onListener() func(net.Listener) {
	if o == nil {
		return nil
	}
	return o.serve
}

// told takes one request to the stream, and a refusal that is new to the log.
func (o *outlet) told(r egress.Request) {
	if o.launch.OnTraffic != nil {
		o.launch.OnTraffic(dispatch.Traffic{
			Method: r.Method, Host: r.Host, Port: r.Port, Address: r.Address, Allowed: r.Allowed, Reason: r.Reason,
			Up: r.Up, Down: r.Down, Millis: r.Duration.Milliseconds(),
		})
	}
	if r.Allowed || len(o.refusals) == maxRefusals {
		return
	}
	row := egress.Row{Host: r.Host, Port: r.Port, Reason: r.Reason}
	if slices.Contains(o.refusals, row) {
		return
	}
	o.refusals = append(o.refusals, row)
	o.note("sandbox.violation", map[string]any{
		"layer": "network", "plugin": o.launch.Name, "kind": o.launch.Kind, "method": r.Method, "host": r.Host, "port": r.Port, "reason": r.Reason,
	})
}

// hostRow is one row of the totals in the log.
type hostRow struct {
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	Allowed  bool   `json:"allowed"`
	Reason   string `json:"reason,omitempty"`
	Requests int64  `json:"requests"`
	Up       int64  `json:"bytes_up"`
	Down     int64  `json:"bytes_down"`
}

// end cuts every connection, waits until all requests are told and records the totals. It may be called
// again, and on nil.
func (o *outlet) end() {
	if o == nil {
		return
	}
	o.once.Do(func() {
		o.stop()
		o.served.Wait()
		t := o.proxy.Totals()
		if t.Requests == 0 {
			return
		}
		rows := []hostRow{}
		others := t.Others
		for i, r := range t.Rows {
			if i >= maxHosts {
				others += r.Requests
				continue
			}
			rows = append(rows, hostRow(r))
		}
		o.note("network.used", map[string]any{
			"plugin": o.launch.Name, "kind": o.launch.Kind, "requests": t.Requests, "refused": t.Refused, "bytes_up": t.Up, "bytes_down": t.Down,
			"hosts": rows, "others": others, "not_in_stream": t.Untold,
		})
	})
}
