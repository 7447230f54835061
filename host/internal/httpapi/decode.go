package httpapi

import (
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

const bodyTimeout = 30 * time.Second

// decode makes the request value of an operation from path, query and body. What it returns has been
// checked against the field rules of host/api.
func decode(w http.ResponseWriter, r *http.Request, row api.Operation, params map[string]string) (any, error) {
	v := reflect.New(reflect.TypeOf(row.Request)).Elem()
	taken := map[string]bool{}
	for name := range params {
		taken[name] = true
	}
	if row.Class == api.Read {
		if err := bindQuery(v, r.URL.RawQuery, taken); err != nil {
			return nil, err
		}
		if r.ContentLength != 0 {
			return nil, fault.New(fault.InvalidRequest, "%s takes no body", row.Name).At("body")
		}
	} else if err := bindBody(w, r, v, row, taken); err != nil {
		return nil, err
	}
	for _, f := range fieldsOf(v.Type()) {
		if s, ok := params[f.Name]; ok {
			if err := f.bindText(v.FieldByIndex(f.Index), s); err != nil {
				return nil, err
			}
		}
	}
	return v.Interface(), nil
}

// bindQuery reads the fields of a read. Each may be given once.
func bindQuery(v reflect.Value, raw string, taken map[string]bool) error {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return fault.Wrap(err, fault.InvalidRequest, "the query cannot be read").At("query")
	}
	fields := fieldsOf(v.Type())
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if taken[name] || !slices.ContainsFunc(fields, func(f field) bool { return f.Name == name }) {
			return unknown(name, fields)
		}
	}
	for _, f := range fields {
		values := q[f.Name]
		switch {
		case taken[f.Name]:
			continue
		case len(values) > 1:
			return f.refuse(f.Name, "the parameter is given twice")
		case len(values) == 0 && f.Required:
			return f.refuse(f.Name, "the parameter is required")
		case len(values) == 0:
			continue
		case !utf8.ValidString(values[0]):
			return f.refuse(f.Name, "is not UTF-8")
		}
		if err := f.bindText(v.FieldByIndex(f.Index), values[0]); err != nil {
			return err
		}
	}
	return nil
}

// bindBody reads the fields of any other operation. The content type must be JSON: a page in a browser
// cannot send that elsewhere without asking first.
func bindBody(w http.ResponseWriter, r *http.Request, v reflect.Value, row api.Operation, taken map[string]bool) error {
	if r.URL.RawQuery != "" {
		return fault.New(fault.InvalidRequest, "%s takes no query; its fields go into the body", row.Name).At("query")
	}
	if err := checkMedia(r.Header); err != nil {
		return err
	}
	data, err := readBody(w, r, row.MaxBody)
	if err != nil {
		return err
	}
	o, err := parseObject(data)
	if err != nil {
		return err
	}
	return bindObject(v, o, "", taken)
}

func checkMedia(h http.Header) error {
	refuse := func(what string) error {
		return fault.New(fault.UnsupportedMedia, "%s", what).At("Content-Type").Fix("send: Content-Type: application/json")
	}
	given := h.Values("Content-Type")
	if len(given) != 1 {
		return refuse("the body's content type is missing or given twice")
	}
	media, params, err := mime.ParseMediaType(given[0])
	if err != nil || media != "application/json" {
		return refuse("the body must be application/json")
	}
	if c, ok := params["charset"]; ok && !strings.EqualFold(c, "utf-8") {
		return refuse("the body must be UTF-8")
	}
	if h.Get("Content-Encoding") != "" {
		return fault.New(fault.UnsupportedMedia, "the body must not be compressed").At("Content-Encoding")
	}
	return nil
}

// readBody reads at most max bytes, in bounded time.
func readBody(w http.ResponseWriter, r *http.Request, max int64) ([]byte, error) {
	tooLarge := func() error {
		return fault.New(fault.TooLarge, "the body is larger than %d bytes", max).At("body")
	}
	if r.ContentLength > max {
		return nil, tooLarge()
	}
	c := http.NewResponseController(w)
	if err := c.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no deadline can be set")
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return nil, tooLarge()
	case err != nil:
		return nil, fault.Wrap(err, fault.InvalidRequest, "the body broke off").At("body")
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no deadline can be set")
	}
	return data, nil
}
