package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

const maxErrorBody = 64 << 10

// fillPath puts the fields that the path names into it and takes them out of the rest.
func fillPath(row api.Operation, fields map[string]json.RawMessage) (string, error) {
	parts := strings.Split(row.Path, "/")
	for i, p := range parts {
		if !strings.HasPrefix(p, "{") {
			continue
		}
		name := strings.Trim(p, "{}")
		value := text(fields[name])
		// The daemon refuses such ids as well; here the path would have become another one.
		if value == "" || value == "." || value == ".." || url.PathEscape(value) != value {
			return "", fault.New(fault.InvalidRequest, "%q is no id", value).At(name)
		}
		parts[i] = value
		delete(fields, name)
	}
	return strings.Join(parts, "/"), nil
}

// query writes scalar fields as a query, the order fixed.
func query(fields map[string]json.RawMessage) string {
	v := url.Values{}
	for name, raw := range fields {
		v.Set(name, text(raw))
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// text is a JSON scalar as it is written in a path or query.
func text(raw json.RawMessage) string {
	var s string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// refused turns an answer of failure into the fault that the daemon made.
func refused(op api.Op, answer *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxErrorBody))
	var e api.ErrorBody
	if err != nil || json.Unmarshal(data, &e) != nil || e.Error.Code == "" {
		return fault.New(fault.Internal, "%s was answered with status %d by something that is not this daemon's API", op, answer.StatusCode)
	}
	return faultOf(e.Error)
}

func faultOf(e api.Error) *fault.Fault {
	f := fault.New(fault.Code(e.Code), "%s", e.Message).At(e.Where)
	f.Hint = e.Hint
	if f.Code == fault.Internal && f.Where == "" {
		f.Where = e.Request
	}
	return f
}

// undialled says what a request that got no answer means.
func (c *Client) undialled(ctx context.Context, op api.Op, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("call %s: %w", op, cause)
	}
	var f *fault.Fault
	if errors.As(err, &f) {
		return f
	}
	where := c.opts.Socket
	if where == "" {
		where = c.opts.Address
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fault.Wrap(err, fault.Unavailable, "the daemon does not run").At(where).Fix("run: drawspan serve")
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(err, fault.Forbidden, "the daemon's socket belongs to another user").At(where).
			Fix("run the command as the user that runs the daemon")
	}
	if c.opts.Socket != "" && errors.Is(err, syscall.EINVAL) { // the system's word for an address that does not fit
		return fault.Wrap(err, fault.ConfigInvalid, "the socket's path has %d bytes, which is more than the system takes", len(where)).At(where).
			Fix("choose a shorter state_dir, or name a shorter --socket")
	}
	return fault.Wrap(err, fault.Unavailable, "the daemon did not answer %s", op).At(where).Fix("run: drawspan doctor")
}

// broken says what an answer that ended too early means.
func broken(ctx context.Context, op api.Op, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("read answer of %s: %w", op, cause)
	}
	return fault.Wrap(err, fault.Unavailable, "the daemon's answer to %s broke off", op)
}
