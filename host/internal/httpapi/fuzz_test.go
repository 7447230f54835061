package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// deadlines is a response that can be given deadlines, as a connection can.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetReadDeadline(time.Time) error { return nil }

// FuzzDecode holds, for every operation and any body, query and id: either a typed refusal that says
// where, or a value that keeps every rule and comes out the same when it is sent again.
func FuzzDecode(f *testing.F) {
	rows := routesOf(stubs())
	for i := range rows {
		f.Add(uint8(i), []byte(`{"text":"t","executor":"e","paths":{"write":["a"]},"gates":["g"]}`), "limit=1&state=open", "run_1")
	}
	for _, body := range []string{
		`{}`, `{"decision":"allow","note":"\ud83d\ude42"}`, `{"text":"\ud800"}`, `{"a":{"a":{"a":[[[]]]}}}`, `{"dry_run":true}`, "\xff",
		`{"dir":"/x"}`, `{"text":"a","TEXT":"b"}`, `{"wait":1e3}`, `[`, `{"gates":[null]}`,
	} {
		f.Add(uint8(9), []byte(body), "wait=5", "../x")
	}
	f.Fuzz(func(t *testing.T, i uint8, body []byte, query, id string) {
		row := rows[int(i)%len(rows)].row
		params := map[string]string{}
		for _, seg := range strings.Split(row.Path, "/") {
			if strings.HasPrefix(seg, "{") {
				params[strings.Trim(seg, "{}")] = id
			}
		}
		v, err := decodeOne(row, body, query, params)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if reflect.TypeOf(v) != reflect.TypeOf(row.Request) {
			t.Fatalf("%s: decoded a %T", row.Name, v)
		}
		checkAgain(t, row, v, params)
	})
}

func decodeOne(row api.Operation, body []byte, query string, params map[string]string) (any, error) {
	r := &http.Request{Method: row.Method, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{}, Body: http.NoBody}
	if row.Class != api.Read {
		r.URL.RawQuery = ""
		r.Header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = http.MaxBytesReader(nil, readCloser{bytes.NewReader(body)}, row.MaxBody+1), int64(len(body))
	}
	return decode(deadlines{httptest.NewRecorder()}, r, row, params)
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	f := fault.From(err)
	switch f.Code {
	case fault.InvalidRequest, fault.TooLarge, fault.UnsupportedMedia:
	default:
		t.Fatalf("refused with %v", err)
	}
	if f.Where == "" || f.Message == "" || len(f.Where) > 400 {
		t.Fatalf("refusal %+v says too little or too much", f)
	}
	for _, r := range f.Where {
		if r < ' ' || r > '~' {
			t.Fatalf("refusal carries %q", f.Where)
		}
	}
}

// checkAgain sends a decoded value again, as a client would.
func checkAgain(t *testing.T, row api.Operation, v any, params map[string]string) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	query := url.Values{}
	for name, raw := range fields {
		if row.In(name) == "path" {
			delete(fields, name)
			continue
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			s = string(raw)
		}
		query.Set(name, s)
	}
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeOne(row, body, query.Encode(), params)
	if err != nil {
		t.Fatalf("%s: %+v was taken and is refused when sent again: %v", row.Name, v, err)
	}
	same, err := json.Marshal(again)
	if err != nil || !bytes.Equal(same, data) {
		t.Fatalf("%s: %s became %s, %v", row.Name, data, same, err)
	}
}
