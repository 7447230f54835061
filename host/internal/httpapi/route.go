package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// route is a row of the table, ready to be matched. There is no mux of the standard library here: it
// answers a path with dots by a redirect that keeps the method, and so leads to routes that were not
// asked for.
type route struct {
	row      api.Operation
	handler  Handler
	segments []string // a segment in braces is a parameter
}

func routesOf(h Handlers) []route {
	var routes []route
	for _, o := range api.Operations() {
		if o.Surfaces.Has(api.Local) {
			routes = append(routes, route{row: o, handler: h[o.Name], segments: strings.Split(api.Prefix+o.Path, "/")})
		}
	}
	return routes
}

// find matches a request. Only the one spelling of a path is known: nothing is decoded, cleaned or
// redirected.
func (s *Server) find(method string, u *url.URL) (route, map[string]string, error) {
	path := u.EscapedPath()
	parts := strings.Split(path, "/")
	var allowed []string
	for _, rt := range s.routes {
		params, ok := rt.match(parts)
		if ok && rt.row.Method == method {
			return rt, params, nil
		}
		if ok && !slices.Contains(allowed, rt.row.Method) {
			allowed = append(allowed, rt.row.Method)
		}
	}
	if len(allowed) > 0 {
		return route{}, nil, fault.New(fault.MethodNotAllowed, "the method is not one of this path").At(shown(path)).
			Fix("use %s", strings.Join(allowed, " or "))
	}
	return route{}, nil, fault.New(fault.NotFound, "there is no such path").At(shown(path)).
		Fix("the paths are listed by %s %s", http.MethodGet, openAPIPath)
}

// match compares segment by segment. A parameter is any text that needs no escape; its rule is checked
// when it is bound.
func (rt route) match(parts []string) (map[string]string, bool) {
	if len(parts) != len(rt.segments) {
		return nil, false
	}
	params := map[string]string{}
	for i, want := range rt.segments {
		switch {
		case strings.HasPrefix(want, "{"):
			if parts[i] == "" || strings.Contains(parts[i], "%") {
				return nil, false
			}
			params[strings.Trim(want, "{}")] = parts[i]
		case want != parts[i]:
			return nil, false
		}
	}
	return params, true
}
