package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestACallBeyondTheBudgetIsRefusedAndToldOnce(t *testing.T) {
	for limit, row := range map[string]struct {
		budget Budget
		let    int // calls that pass: each takes 1200 tokens in and 30 out
		used   int64
		bound  int64
	}{
		"calls":         {Budget{Calls: 2}, 2, 2, 2},
		"input_tokens":  {Budget{InputTokens: 2000}, 2, 2400, 2000},
		"output_tokens": {Budget{OutputTokens: 60, Calls: 100}, 2, 60, 60},
		"none":          {Budget{}, 5, 0, 0},
	} {
		for _, e := range examples {
			t.Run(limit+" "+e.wire, func(t *testing.T) {
				f := newFar(t, says("text/event-stream", e.stream))
				n := newNear(t, f, Options{Wire: e.wire, Budget: row.budget})
				passed := 0
				for range 5 {
					a, got := n.post(e.path, e.body)
					if a.StatusCode == 200 {
						passed++
						continue
					}
					if a.StatusCode != http.StatusBadRequest || a.Header.Get("X-Should-Retry") != "false" || !strings.Contains(got, `"error"`) || !strings.Contains(got, "used up") {
						t.Errorf("%s %v %s", a.Status, a.Header, got)
					}
				}
				if passed != row.let || len(f.requests()) != row.let {
					t.Errorf("%d calls passed, %d arrived", passed, len(f.requests()))
				}
				n.calls()
				if row.let == 5 {
					if len(n.over) != 0 {
						t.Errorf("told %+v", n.over)
					}
				} else if len(n.over) != 1 || n.over[0] != (Excess{limit, row.used, row.bound}) {
					t.Errorf("told %+v", n.over)
				}
				if sum := n.Totals(); sum.Calls != int64(row.let) || sum.Refused != int64(5-row.let) || sum.Usage.Input != int64(1200*row.let) {
					t.Errorf("totals %+v", sum)
				}
			})
		}
	}
}

// Sixteen at once do not slip through a budget for two.
func TestCallsAtOnceDoNotGoBeyondTheBudget(t *testing.T) {
	f := newFar(t, says("application/json", examples[2].json))
	n := newNear(t, f, Options{Wire: "chat", Budget: Budget{Calls: 2}})
	tokens := newNear(t, f, Options{Wire: "chat", Budget: Budget{InputTokens: 1201}})
	body := fmt.Sprintf(`{"model":"m","messages":%q}`, strings.Repeat("x", 4800))
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() { n.post("/v1/chat/completions", body) })
		group.Go(func() { tokens.post("/v1/chat/completions", body) })
	}
	group.Wait()
	n.calls()
	tokens.calls()
	if got := n.Totals().Calls; got != 2 {
		t.Errorf("%d calls of 2", got)
	}
	if got := tokens.Totals().Calls; got != 2 { // the first takes 1200 of 1201, the second begins with one left
		t.Errorf("%d calls of 2", got)
	}
}

// Who does not let the usage be told pays an estimate from above.
func TestWhatIsNotReportedIsEstimatedFromAbove(t *testing.T) {
	long := "data: {\"choices\":[{\"delta\":{\"content\":\"" + strings.Repeat("word ", 400) + "\"}}]}\n\ndata: [DONE]\n\n"
	cut := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, text) // the caller sees it
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	start := strings.SplitAfterN(examples[1].stream, "\r\n\r\n", 2)[0]
	for name, row := range map[string]struct {
		wire, path string
		answer     http.HandlerFunc
		in, out    int64
		failed     string
	}{
		"no usage asked for": {"chat", "/v1/chat/completions", says("text/event-stream", long), 1000, 400, ""},
		"a cut stream":       {"chat", "/v1/chat/completions", cut(long), 1000, 400, "cut"},
		"cut after the head": {"messages", "/v1/messages", cut(start), 1200, 30, "cut"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNear(t, newFar(t, row.answer), Options{Wire: row.wire})
			_, got := n.post(row.path, fmt.Sprintf(`{"model":"m","messages":%q}`, strings.Repeat("word ", 800)))
			if strings.HasSuffix(got, "(cut)") != (row.failed != "") {
				t.Errorf("the agent takes a cut answer for a whole one: %q", got)
			}
			c := n.calls()
			if len(c) != 1 || !c[0].Usage.Estimated || c[0].Usage.Input < row.in || c[0].Usage.Output < row.out || c[0].Failed != row.failed {
				t.Errorf("told %+v", c)
			}
		})
	}
}

func TestWhoLeavesBeforeTheAnswerPaysForTheQuestion(t *testing.T) {
	arrived := make(chan struct{})
	f := newFar(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	n := newNear(t, f, Options{Wire: "chat"})
	body := fmt.Sprintf(`{"model":"m","x":%q}`, strings.Repeat("x", 4000))
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/v1/chat/completions", strings.NewReader(body))
	r.Header.Set(keyHeader("chat"))
	go func() {
		<-arrived
		n.end()
	}()
	if a, err := (&http.Transport{}).RoundTrip(r); err == nil {
		a.Body.Close()
		t.Errorf("answered %s", a.Status)
	}
	if c := n.calls(); len(c) != 1 || c[0].Usage.Input < 1000 || !c[0].Usage.Estimated || c[0].Failed != "cancelled" {
		t.Errorf("told %+v", c)
	}
}

func TestWhatIsToldIsBounded(t *testing.T) {
	told := 0
	l := newLedger(Budget{}, func(Call) { told++ }, nil)
	for i := range 3000 {
		l.add(Call{Model: fmt.Sprint("m", i), Digest: digest([]byte{byte(i)})})
		l.add(Call{Refused: fmt.Sprint("r", i)})
	}
	sum := l.sum()
	if told > maxTold || sum.Calls != 3000 || sum.Refused != 3000 || len(sum.Models) != maxRows || len(sum.Refusals) != maxRows ||
		sum.Untold != int64(6000-told) || sum.Others != 2*(3000-maxRows) {
		t.Errorf("told %d, %+v", told, sum)
	}
	before := l.sum().Digest
	if l.add(Call{Digest: "x"}); l.sum().Digest == before {
		t.Error("a body that went out changed no digest")
	}
}
