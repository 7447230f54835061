package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdUpstream is: upstream FILE. A model's service answers on this machine's loopback until the script ends;
// ${UPSTREAM} becomes its address there and in FILE. Each call is a line of upstream.log: method, path and
// what it carried for a credential. The answer repeats that, as a careless service might.
func cmdUpstream(ts *testscript.TestScript, _ bool, args []string) {
	log, err := os.OpenFile(ts.MkAbs("upstream.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what arrived is what there is
		mu.Lock()
		fmt.Fprintf(log, "%s %s %s %s\n", r.Method, r.URL.RequestURI(), r.Header.Get("X-Api-Key"), body)
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"type":"message","model":"m-1","echo":%q,"usage":{"input_tokens":100,"cache_read_input_tokens":20,"output_tokens":7}}`, r.Header.Get("X-Api-Key"))
	}))
	ts.Defer(func() {
		server.Close()
		_ = log.Close() // the script has read it
	})
	ts.Setenv("UPSTREAM", server.URL)
	name := filepath.Clean(ts.MkAbs(args[0]))
	ts.Check(os.WriteFile(name, []byte(strings.ReplaceAll(ts.ReadFile(args[0]), "${UPSTREAM}", server.URL)), 0o644))
}
