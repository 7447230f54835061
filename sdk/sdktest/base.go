package sdktest

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

// base is what every plugin has.
type base struct {
	kind   string
	m      sdk.Manifest
	fresh  func() any
	config json.RawMessage
	start  func(*wire.Client) error // a call of the plugin's own service
}

// run holds a plugin to what every plugin must do.
func (b base) run(t *testing.T) {
	b.describes(t)
	b.configures(t)
	b.refuses(t)
}

func (b base) describes(t *testing.T) {
	t.Run("it describes itself, the same each time", func(t *testing.T) {
		h := b.serve(t)
		first, err := h.Client.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second, err := h.Client.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first, second) || first.Name != b.m.Name || first.Version != b.m.Version {
			t.Errorf("Describe = %+v, then %+v, want %+v", first, second, b.m)
		}
		if !slices.Contains(first.Kinds, b.kind) {
			t.Errorf("kinds = %v, want %s among them", first.Kinds, b.kind)
		}
	})
	t.Run("it does nothing for who does not know the session secret", func(t *testing.T) {
		h := b.serve(t)
		_, err := h.Stranger.Hello(t.Context(), wire.Greeting{})
		Refused(t, err, wire.CodeSession)
		Refused(t, h.Stranger.Configure(t.Context(), b.config), wire.CodeSession)
		Refused(t, b.start(h.Stranger), wire.CodeSession)
	})
}

func (b base) configures(t *testing.T) {
	t.Run("it refuses an attribute that its manifest does not declare, by name", func(t *testing.T) {
		h := b.serve(t)
		err := h.Client.Configure(t.Context(), with(t, b.config, "no_such_attribute", true))
		refusal := Refused(t, err, wire.CodeConfig)
		if len(refusal.Config) != 1 || refusal.Config[0].Attribute != "no_such_attribute" {
			t.Errorf("diagnostics = %+v, want one for no_such_attribute", refusal.Config)
		}
	})
	t.Run("it refuses a config block without a required attribute, by name", func(t *testing.T) {
		for _, a := range b.m.Config {
			if !a.Required {
				continue
			}
			h := b.serve(t)
			refusal := Refused(t, h.Client.Configure(t.Context(), with(t, b.config, a.Name, nil)), wire.CodeConfig)
			if refusal.Config[0].Attribute != a.Name {
				t.Errorf("diagnostics = %+v, want one for %s", refusal.Config, a.Name)
			}
		}
	})
	t.Run("it refuses what is not a JSON object", func(t *testing.T) {
		h := b.serve(t)
		for _, config := range []string{`[]`, `"x"`, `{`, `1`, "{\"a\":\xff"} {
			Refused(t, h.Client.Configure(t.Context(), json.RawMessage(config)), wire.CodeConfig)
		}
	})
	t.Run("it takes its configuration, twice too", func(t *testing.T) {
		h := b.serve(t)
		h.Configure(t, b.config)
		h.Configure(t, b.config)
	})
}

func (b base) refuses(t *testing.T) {
	t.Run("it refuses to work before it is configured", func(t *testing.T) {
		Refused(t, b.start(b.serve(t).Client), wire.CodeNotConfigured)
	})
	t.Run("it refuses to work after Shutdown", func(t *testing.T) {
		h := b.serve(t)
		h.Configure(t, b.config)
		if err := h.Client.Shutdown(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
		// The server is on its way out: either it still answers, and refuses, or it is gone.
		if err := b.start(h.Client); !errors.Is(err, wire.ErrBroken) {
			Refused(t, err, wire.CodeShuttingDown)
		}
	})
}

func (b base) serve(t *testing.T) *Harness { return Serve(t, b.m, b.fresh()) }

// with is a config block with one attribute changed; nil removes it.
func with(t *testing.T, config json.RawMessage, name string, value any) json.RawMessage {
	t.Helper()
	values := map[string]any{}
	if len(config) > 0 {
		if err := json.Unmarshal(config, &values); err != nil {
			t.Fatalf("the suite's config: %v", err)
		}
	}
	if value == nil {
		delete(values, name)
	} else {
		values[name] = value
	}
	changed, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}
