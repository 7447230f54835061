package cli

import "testing"

func TestWhatAnAgentDoesIsSaidInAFewWords(t *testing.T) {
	for line, want := range map[string]string{
		`{"type":"message","data":{"role":"assistant","text":"first\nall done"}}`:                                            "all done",
		`{"type":"tool.started","data":{"kind":"execute","title":"go test ./...","input":{"command":"go test"}}}`:            "go test ./...",
		`{"type":"tool.ended","data":{"title":"go test","status":"failed","output":"boom"}}`:                                 "go test  failed",
		`{"type":"plan.updated","data":{"entries":[{"text":"a","status":"completed"},{"text":"b","status":"in_progress"}]}}`: "plan: 1 of 2 done, b",
		`{"type":"plan.updated","data":{"entries":[]}}`:                                                                      "",
		`{"type":"usage","data":{"input":1200,"output":34,"basis":"reported"}}`:                                              "1200 tokens in, 34 out (reported)",
		`{"type":"usage","data":{"input":0,"output":0,"basis":"reported"}}`:                                                  "",
		`{"type":"retry","data":{"attempt":2,"max":5,"delay_ms":1500,"http_status":429,"class":"rate_limit"}}`:               "tries again (2 of 5) in 1.5s: rate_limit  429",
		`{"type":"retry","data":{}}`: "tries again: unknown reason",
		`{"type":"permission.requested","data":{"tool":"execute","title":"run","command":"make"}}`:                                "asks leave: run  make",
		`{"type":"permission.resolved","data":{"decision":"deny","state":"denied","decided_by":"policy","rule":"no-push"}}`:       "denied by rule no-push",
		`{"type":"permission.resolved","data":{"decision":"allow","state":"allowed","decided_by":"operator","rule":"ask-first"}}`: "allowed by operator",
		`{"type":"permission.resolved","data":{"decision":"expired","state":"denied","decided_by":"deadline"}}`:                   "expired by deadline",
		`{"type":"question.asked","data":{"text":"which one?"}}`:                                                                  "asks: which one?",
		`{"type":"question.answered","data":{"state":"answered","decided_by":"operator"}}`:                                        "question answered by operator",
		`{"type":"error","data":{"class":"auth","message":"no key"}}`:                                                             "error: auth no key",
		`{"type":"session.started","data":{"model":"m-1"}}`:                                                                       "session started  m-1",
		`{"type":"raw.unparsed","data":{"text":"???"}}`:                                                                           "not understood: ???",
		`{"type":"turn.started","data":{}}`:                                                                                       "",
	} {
		act, ok := activityOf([]byte(line))
		if act.Text != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", line, act.Text, want)
		}
	}
}
