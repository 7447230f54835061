package gateway

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// wire is how one vendor's protocol names what the gateway has to know.
type wire struct {
	name       string
	keys       []header // where a caller puts its key
	usage      map[string]field
	cacheApart bool // the input that is reported leaves the cache out
	refuse     func(status int, code, text string) any
	routes     []route
	queries    []string // names of parameters that go on
}

// header is one that carries a key.
type header struct{ name, prefix string }

// kind is what a call is for.
type kind uint8

const (
	generate kind = iota // a model answers: counted, metered, bounded by the budget
	lookUp               // the service answers: tokens are counted, models are listed
	greet                // answered here
)

// route is one method and path of a wire.
type route struct {
	method string
	path   string // "*" stands for a model's name
	after  string // what follows the name
	kind   kind
}

var (
	bearer    = header{"Authorization", "Bearer "}
	modelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

// both puts the names below each of the prefixes.
func both(prefixes []string, names map[string]field) map[string]field {
	all := map[string]field{}
	for _, p := range prefixes {
		for name, f := range names {
			all[p+name] = f
		}
	}
	return all
}

// wireOf is the wire of that name, nil for none.
func wireOf(name string) *wire {
	switch name {
	case "responses":
		return responsesWire()
	case "messages":
		return messagesWire()
	case "chat":
		return chatWire()
	case "gemini":
		return geminiWire()
	}
	return nil
}

func responsesWire() *wire {
	return &wire{
		name: "responses", keys: []header{bearer}, refuse: refuseOpenAI, queries: []string{"client_version"},
		routes: []route{{http.MethodPost, "/v1/responses", "", generate}, {http.MethodGet, "/v1/models", "", lookUp}},
		usage: both([]string{"", "response."}, map[string]field{
			"usage.input_tokens": fInput, "usage.input_tokens_details.cached_tokens": fCachedRead,
			"usage.output_tokens": fOutput, "usage.output_tokens_details.reasoning_tokens": fReasoning, "model": fModel,
		}),
	}
}

// messagesWire: what a stream says at its beginning is the input and an output that goes on.
func messagesWire() *wire {
	w := &wire{
		name: "messages", keys: []header{{"X-Api-Key", ""}, bearer}, refuse: refuseAnthropic, queries: []string{"beta"}, cacheApart: true,
		routes: []route{
			{http.MethodPost, "/v1/messages", "", generate}, {http.MethodPost, "/v1/messages/count_tokens", "", lookUp},
			{http.MethodGet, "/v1/models", "", lookUp}, {http.MethodHead, "/", "", greet},
		},
		usage: both([]string{"", "message."}, map[string]field{
			"usage.input_tokens": fInput, "usage.cache_creation_input_tokens": fCachedWrite, "usage.cache_read_input_tokens": fCachedRead,
			"usage.output_tokens": fOutput, "model": fModel,
		}),
	}
	w.usage["message.usage.output_tokens"] = fOutputSoFar
	return w
}

func chatWire() *wire {
	return &wire{
		name: "chat", keys: []header{bearer}, refuse: refuseOpenAI,
		routes: []route{{http.MethodPost, "/v1/chat/completions", "", generate}, {http.MethodGet, "/v1/models", "", lookUp}},
		usage: map[string]field{
			"usage.prompt_tokens": fInput, "usage.prompt_tokens_details.cached_tokens": fCachedRead,
			"usage.completion_tokens": fOutput, "usage.completion_tokens_details.reasoning_tokens": fReasoning, "model": fModel,
		},
	}
}

func geminiWire() *wire {
	return &wire{
		name: "gemini", keys: []header{{"X-Goog-Api-Key", ""}, bearer}, refuse: refuseGoogle, queries: []string{"alt"},
		routes: []route{
			{http.MethodPost, "/v1beta/models/*", ":streamGenerateContent", generate}, {http.MethodPost, "/v1beta/models/*", ":generateContent", generate},
			{http.MethodPost, "/v1beta/models/*", ":countTokens", lookUp},
		},
		usage: map[string]field{
			"usageMetadata.promptTokenCount": fInput, "usageMetadata.toolUsePromptTokenCount": fInputToo,
			"usageMetadata.cachedContentTokenCount": fCachedRead, "usageMetadata.candidatesTokenCount": fOutput,
			"usageMetadata.thoughtsTokenCount": fOutputToo, "usageMetadata.totalTokenCount": fTotal, "modelVersion": fModel,
		},
	}
}

// find is the route of a call and, where the path names it, the model. A path that some other route has is
// of the wrong method.
func (w *wire) find(method, path string) (r route, model string, status int) {
	status = http.StatusNotFound
	for _, r := range w.routes {
		model, ok := r.match(path)
		switch {
		case ok && r.method == method:
			return r, model, 0
		case ok:
			status = http.StatusMethodNotAllowed
		}
	}
	return route{}, "", status
}

func (r route) match(path string) (model string, ok bool) {
	before, named := strings.CutSuffix(r.path, "*")
	if !named {
		return "", path == r.path
	}
	rest, below := strings.CutPrefix(path, before)
	model, ends := strings.CutSuffix(rest, r.after)
	return model, below && ends && modelName.MatchString(model)
}

// presents reports whether the call carries the key where this wire has it.
func (w *wire) presents(h http.Header, same func(string) bool) bool {
	held := false
	for _, k := range w.keys {
		for _, v := range h.Values(k.name) {
			if len(v) < len(k.prefix) || !strings.EqualFold(v[:len(k.prefix)], k.prefix) {
				continue
			}
			held = same(v[len(k.prefix):]) || held
		}
	}
	return held
}

// present puts the real credential where this wire has it.
func (w *wire) present(h http.Header, credential string) {
	if credential != "" {
		h.Set(w.keys[0].name, w.keys[0].prefix+credential)
	}
}

// known reports a parameter of a query that goes on.
func (w *wire) known(name string) bool { return slices.Contains(w.queries, name) }

func refuseOpenAI(_ int, code, text string) any {
	return map[string]any{"error": map[string]any{"message": text, "type": "invalid_request_error", "param": nil, "code": code}}
}

func refuseAnthropic(status int, _, text string) any {
	name := "invalid_request_error"
	switch status {
	case http.StatusUnauthorized:
		name = "authentication_error"
	case http.StatusNotFound:
		name = "not_found_error"
	case http.StatusRequestEntityTooLarge:
		name = "request_too_large"
	case http.StatusTooManyRequests:
		name = "rate_limit_error"
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		name = "api_error"
	}
	return map[string]any{"type": "error", "error": map[string]any{"type": name, "message": text}}
}

func refuseGoogle(status int, _, text string) any {
	name := "FAILED_PRECONDITION"
	switch status {
	case http.StatusUnauthorized:
		name = "UNAUTHENTICATED"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		name = "NOT_FOUND"
	case http.StatusTooManyRequests:
		name = "RESOURCE_EXHAUSTED"
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		name = "UNAVAILABLE"
	}
	return map[string]any{"error": map[string]any{"code": status, "message": text, "status": name}}
}

// encode writes plain data of this package.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("{}")
	}
	return b
}
