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

// runBase holds a plugin to what every plugin must do. start is a call of the plugin's own service.
func runBase(t *testing.T, kind string, m sdk.Manifest, fresh func() any, config json.RawMessage,
	start func(*wire.Client) error,
) {
	t.Run("it describes itself, the same each time", func(t *testing.T) {
		h := Serve(t, m, fresh())
		first, err := h.Client.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second, err := h.Client.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first, second) || first.Name != m.Name || first.Version != m.Version {
			t.Errorf("Describe = %+v, then %+v, want %+v", first, second, m)
		}
		if !slices.Contains(first.Kinds, kind) {
			t.Errorf("kinds = %v, want %s among them", first.Kinds, kind)
		}
	})
	t.Run("it does nothing for who does not know the session secret", func(t *testing.T) {
		h := Serve(t, m, fresh())
		_, err := h.Stranger.Hello(t.Context(), wire.Greeting{})
		Refused(t, err, wire.CodeSession)
		Refused(t, h.Stranger.Configure(t.Context(), config), wire.CodeSession)
		Refused(t, start(h.Stranger), wire.CodeSession)
	})
	t.Run("it refuses an attribute that its manifest does not declare, by name", func(t *testing.T) {
		h := Serve(t, m, fresh())
		err := h.Client.Configure(t.Context(), with(t, config, "no_such_attribute", true))
		refusal := Refused(t, err, wire.CodeConfig)
		if len(refusal.Config) != 1 || refusal.Config[0].Attribute != "no_such_attribute" {
			t.Errorf("diagnostics = %+v, want one for no_such_attribute", refusal.Config)
		}
	})
	t.Run("it refuses a config block without a required attribute, by name", func(t *testing.T) {
		for _, a := range m.Config {
			if !a.Required {
				continue
			}
			h := Serve(t, m, fresh())
			refusal := Refused(t, h.Client.Configure(t.Context(), with(t, config, a.Name, nil)), wire.CodeConfig)
			if refusal.Config[0].Attribute != a.Name {
				t.Errorf("diagnostics = %+v, want one for %s", refusal.Config, a.Name)
			}
		}
	})
	t.Run("it refuses what is not a JSON object", func(t *testing.T) {
		h := Serve(t, m, fresh())
		for _, config := range []string{`[]`, `"x"`, `{`, `1`, "{\"a\":\xff"} {
			Refused(t, h.Client.Configure(t.Context(), json.RawMessage(config)), wire.CodeConfig)
		}
	})
	t.Run("it refuses to work before it is configured", func(t *testing.T) {
		Refused(t, start(Serve(t, m, fresh()).Client), wire.CodeNotConfigured)
	})
	t.Run("it refuses to work after Shutdown", func(t *testing.T) {
		h := Serve(t, m, fresh())
		h.Configure(t, config)
		if err := h.Client.Shutdown(t.Context(), "test"); err != nil {
			t.Fatal(err)
		}
		// The server is on its way out: either it still answers, and refuses, or it is gone.
		if err := start(h.Client); !errors.Is(err, wire.ErrBroken) {
			Refused(t, err, wire.CodeShuttingDown)
		}
	})
	t.Run("it takes its configuration, twice too", func(t *testing.T) {
		h := Serve(t, m, fresh())
		h.Configure(t, config)
		h.Configure(t, config)
	})
}

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
