package httpapi

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// Handlers holds one Handler for every operation with a local surface.
type Handlers map[api.Op]Handler

// Handler does an operation. It is made by Handle.
type Handler struct {
	req, resp reflect.Type
	call      func(ctx context.Context, actor api.Actor, req any) (any, error)
}

// Handle makes a Handler of a typed function. Both types are values, and those of the table: New
// checks it. The answer is encoded after f has returned, so it must not share memory with anything that
// still changes.
//
// The context of a read ends when the client goes away or the daemon begins to stop; that of any other
// class when the client goes away or the daemon's grace is over.
func Handle[Req, Resp any](f func(context.Context, api.Actor, Req) (Resp, error)) Handler {
	return Handler{
		req:  reflect.TypeFor[Req](),
		resp: reflect.TypeFor[Resp](),
		call: func(ctx context.Context, actor api.Actor, req any) (any, error) {
			r, ok := req.(Req)
			if !ok {
				return nil, fault.New(fault.Internal, "request is a %T", req)
			}
			return f(ctx, actor, r)
		},
	}
}

// check compares the handlers with the table, both ways, and reports everything that differs.
func (h Handlers) check() error {
	var errs []error
	local := map[api.Op]bool{}
	for _, o := range api.Operations() {
		if !o.Surfaces.Has(api.Local) {
			continue
		}
		local[o.Name] = true
		f, ok := h[o.Name]
		switch {
		case !ok || f.call == nil:
			errs = append(errs, fmt.Errorf("operation %s has no handler", o.Name))
		case f.req != reflect.TypeOf(o.Request):
			errs = append(errs, fmt.Errorf("handler of %s takes %v, the table says %T", o.Name, f.req, o.Request))
		case f.resp != reflect.TypeOf(o.Response):
			errs = append(errs, fmt.Errorf("handler of %s answers %v, the table says %T", o.Name, f.resp, o.Response))
		}
	}
	for op := range h {
		if !local[op] {
			errs = append(errs, fmt.Errorf("handler %s is no operation of the local surface", op))
		}
	}
	return errors.Join(errs...)
}
