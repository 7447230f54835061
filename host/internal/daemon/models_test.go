package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Calls are told up to a bound; what an attempt had of its model counts those that nobody was told of, too.
func TestWhatAModelWasUsedForCountsCallsThatAreNotTold(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"type":"message","model":"m-1","usage":{"input_tokens":100,"cache_read_input_tokens":20,"output_tokens":7}}`)
	}))
	defer upstream.Close()
	port := pluginsPort{
		log: hclog.NewNullLogger(), vault: openVault(t, nil), record: func(context.Context, ...work.Mutation) error { return nil },
	}
	m, err := port.models(t.Context(), dispatch.Launch{Gateway: &work.GatewayPolicy{Name: "g", Upstream: upstream.URL, Wire: "messages"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.serve(l)
	for range 3 {
		ask(t, l.Addr().String(), m.given())
	}
	m.end()
	want := sdk.Usage{Input: 360, CachedRead: 60, Output: 21, Calls: 3, Scope: "session", Basis: "gateway"}
	if got := (pluginPort{ways: ways{model: m}}).ModelUse(); got == nil || *got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := (pluginPort{}).ModelUse(); got != nil {
		t.Errorf("without a gateway: %+v", got)
	}
}

// ask calls a model through a gateway, as it is given to an executor.
func ask(t *testing.T, addr string, given *sdk.Gateway) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/messages", strings.NewReader(`{"model":"m-1","messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = strings.TrimPrefix(given.URL, "http://")
	req.Header.Set("X-Api-Key", given.Key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s", resp.Status)
	}
}
