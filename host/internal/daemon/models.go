package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/gateway"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// models is the way from one launch to a model: a gateway that lives as long as the launch, with a key that
// nobody else has.
type models struct {
	launch  dispatch.Launch
	handle  sdk.Gateway
	gateway *gateway.Gateway
	note    func(kind string, body any) // writes a fact
	log     hclog.Logger
	serve   func(net.Listener)
	stop    context.CancelFunc
	served  sync.WaitGroup
	once    sync.Once
}

// models makes the gateway of a launch, nil where its executor has none. The real credential is read here,
// and known to the vault before anybody else has it.
func (p pluginsPort) models(ctx context.Context, l dispatch.Launch) (*models, error) {
	g := l.Gateway
	if g == nil {
		return nil, nil
	}
	credential, err := p.vault.unlock(g.Credential)
	if err != nil {
		return nil, err
	}
	key, err := attemptKey()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	port := strconv.Itoa(spec.GatewayPort)
	m := &models{
		launch: l, stop: stop, log: p.log.With("attempt", l.AttemptID, "gateway", g.Name), note: p.noter(ctx, l),
		handle: sdk.Gateway{URL: "http://127.0.0.1:" + port, Key: key, Wire: g.Wire},
	}
	m.gateway, err = gateway.New(gateway.Options{
		Wire: g.Wire, Upstream: g.Upstream, Credential: credential, Key: key, Port: port, Models: g.Models,
		Budget: gateway.Budget{Calls: g.Budget.Calls, InputTokens: g.Budget.InputTokens, OutputTokens: g.Budget.OutputTokens},
		Mask:   p.vault.exactly, OnCall: m.called, OnExcess: m.exceeded,
	})
	if err != nil {
		stop()
		return nil, fault.Wrap(err, fault.ConfigInvalid, "gateway %q cannot be made: %v", g.Name, err).At(g.Declared).
			Fix("a credential is one word of printable characters; see what %s holds", sourceText(g))
	}
	m.serve = func(listener net.Listener) {
		m.served.Go(func() {
			if err := m.gateway.Serve(ctx, listener); err != nil {
				m.log.Error("the gateway ended", "error", err)
			}
		})
	}
	return m, nil
}

func sourceText(g *work.GatewayPolicy) string {
	if g.Credential == nil {
		return "the gateway"
	}
	return sourceOf(*g.Credential)
}

// attemptKey is what the attempt has in place of a credential.
func attemptKey() (string, error) {
	b := make([]byte, 24)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make the attempt's key: %w", err)
	}
	return "drawspan-" + hex.EncodeToString(b), nil
}

// onListener is what the loader calls, nil without a gateway.
func (m *models) onListener() func(net.Listener) {
	if m == nil {
		return nil
	}
	return m.serve
}

// given is what the executor is told, nil without a gateway.
func (m *models) given() *sdk.Gateway {
	if m == nil {
		return nil
	}
	g := m.handle
	return &g
}

// called takes one call to the stream.
func (m *models) called(c gateway.Call) {
	if m.launch.OnModelCall == nil {
		return
	}
	out := dispatch.ModelCall{
		Usage:  usageOf(c.Usage, "call"),
		Status: c.Status, Refused: c.Refused, Failed: c.Failed, LookUp: c.LookUp, Request: c.Digest,
		Up: c.Up, Down: c.Down, FirstMS: c.First.Milliseconds(), Millis: c.Duration.Milliseconds(),
	}
	out.Model = c.Model
	if c.Refused == "" && !c.LookUp {
		out.Calls = 1
	}
	m.launch.OnModelCall(out)
}

// used is what all calls together had from the model, told or not; nil without a gateway.
func (m *models) used() *sdk.Usage {
	if m == nil {
		return nil
	}
	t := m.gateway.Totals()
	u := usageOf(t.Usage, "session")
	u.Calls = t.Calls
	return &u
}

// usageOf is what the gateway counted, in everybody's words.
func usageOf(u gateway.Usage, scope string) sdk.Usage {
	out := sdk.Usage{
		Input: u.Input, CachedRead: u.CachedRead, CachedWrite: u.CachedWrite, Output: u.Output, Reasoning: u.Reasoning, Scope: scope, Basis: "gateway",
	}
	if u.Estimated {
		out.Basis = "computed"
	}
	return out
}

// exceeded stops the attempt.
func (m *models) exceeded(x gateway.Excess) {
	if m.launch.OnExceeded != nil {
		m.launch.OnExceeded(dispatch.Excess{Limit: "model_" + x.Limit, Used: x.Used, Cap: x.Cap})
	}
}

// end cuts every call, waits until all are told and records the totals. It may be called again, and on nil.
func (m *models) end() {
	if m == nil {
		return
	}
	m.once.Do(func() {
		m.stop()
		m.served.Wait()
		t := m.gateway.Totals()
		if t.Calls+t.LookUps+t.Refused == 0 {
			return
		}
		m.note("gateway.used", map[string]any{
			"plugin": m.launch.Name, "kind": m.launch.Kind, "gateway": m.launch.Gateway.Name, "wire": m.handle.Wire,
			"calls": t.Calls, "look_ups": t.LookUps, "refused": t.Refused, "usage": usageOf(t.Usage, "session"), "bytes_up": t.Up, "bytes_down": t.Down,
			"models": t.Models, "refusals": t.Refusals, "others": t.Others, "requests_sha256": t.Digest, "not_in_stream": t.Untold,
		})
	})
}

// noter writes facts of a launch, though it is over.
func (p pluginsPort) noter(ctx context.Context, l dispatch.Launch) func(kind string, body any) {
	log := p.log.With("attempt", l.AttemptID, "plugin", l.Kind+" "+l.Name)
	return func(kind string, body any) {
		err := p.record(context.WithoutCancel(ctx), work.Fact{
			Kind: kind, Actor: work.Actor{Kind: "daemon", ID: "drawspan"}, AttemptID: l.AttemptID, At: time.Now().UTC(), Body: body,
		})
		if err != nil {
			log.Error("fact of a launch not recorded", "fact", kind, "error", err)
		}
	}
}

// ways are a launch's ways out: to the network and to a model.
type ways struct {
	network *outlet
	model   *models
}

func (p pluginsPort) ways(ctx context.Context, l dispatch.Launch) (w ways, err error) {
	if w.network, err = p.outlet(ctx, l); err != nil {
		return w, err
	}
	if w.model, err = p.models(ctx, l); err != nil {
		w.end()
	}
	return w, err
}

// end closes both. It may be called again.
func (w ways) end() {
	w.model.end()
	w.network.end()
}
