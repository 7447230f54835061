package main

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// trouble is what Codex says went wrong.
type trouble struct {
	class     string // "" for nothing
	retryable bool
	status    int
	message   string
	after     time.Duration
	refused   bool // a policy of the vendor's refused the work
}

// ruling is what a code means.
type ruling struct {
	class     string
	retryable bool
}

// rulings are the codes of codexErrorInfo that say by themselves what they mean.
var rulings = map[string]ruling{
	"contextWindowExceeded":       {"context", false},
	"sessionBudgetExceeded":       {"budget", false},
	"usageLimitExceeded":          {"quota", false},
	"rateLimitExceeded":           {"rate_limit", true},
	"flexUnavailable":             {"overloaded", true},
	"serverOverloaded":            {"overloaded", true},
	"policyCapacityUnavailable":   {"overloaded", true},
	"internalServerError":         {"overloaded", true},
	"cyberPolicy":                 {"policy", false},
	"misalignmentPolicyViolation": {"policy", false},
	"inferenceHookDenied":         {"policy", false},
	"tooManyDenials":              {"policy", false},
	"unauthorized":                {"auth", false},
	"sandboxError":                {"sandbox", false},
}

var errorMembers = []string{"message", "codexErrorInfo", "additionalDetails"}

// troubleOf reads a turn's error. Info is a code, or an object whose one key is a code and whose value may
// hold an HTTP status.
func troubleOf(raw []byte) trouble {
	var m [3][]byte
	if !agent.Pick(raw, errorMembers, m[:]) {
		return trouble{}
	}
	t := trouble{message: agent.Text(m[0])}
	if more := agent.Text(m[2]); more != "" {
		t.message += ": " + more
	}
	code, status := codeOf(m[1])
	t.status = status
	if t.status == 0 {
		t.status = statusIn(t.message)
	}
	r, known := rulings[code]
	switch {
	case known:
		t.class, t.retryable = r.class, r.retryable
		t.refused = code == "cyberPolicy" || code == "misalignmentPolicyViolation"
	case code == "badRequest" && t.status == 0:
		t.class, t.retryable = agent.Class(http.StatusBadRequest, t.message)
	case t.status == 0 && (strings.HasPrefix(code, "responseStream") || code == "httpConnectionFailed"):
		t.class, t.retryable = "network", true
	default:
		t.class, t.retryable = agent.Class(t.status, t.message)
	}
	t.after = afterIn(t.message)
	return t
}

func codeOf(info []byte) (code string, status int) {
	if code = agent.Text(info); code != "" {
		return code, 0
	}
	for _, code = range []string{"httpConnectionFailed", "responseStreamConnectionFailed", "responseStreamDisconnected", "responseTooManyFailedAttempts"} {
		var inner, found [1][]byte
		if agent.Pick(info, []string{code}, inner[:]) && inner[0] != nil {
			if agent.Pick(inner[0], []string{"httpStatusCode"}, found[:]) {
				status = int(agent.Int(found[0]))
			}
			return code, status
		}
	}
	return "", 0
}

// said is what an error is that came as words alone.
func said(message string) trouble {
	t := trouble{message: message, status: statusIn(message), after: afterIn(message)}
	t.class, t.retryable = agent.Class(t.status, message)
	if t.class == "unknown" && strings.Contains(message, "high demand") { // the words that codex has for a status 500
		t.class, t.retryable = "overloaded", true
	}
	return t
}

var statusForm = regexp.MustCompile(`\b(?:unexpected status|last status:|status) ([45]\d\d)\b`)

func statusIn(message string) int {
	found := statusForm.FindStringSubmatch(message)
	if found == nil {
		return 0
	}
	status, err := strconv.Atoi(found[1])
	if err != nil {
		return 0 // three digits always are a number
	}
	return status
}

var afterForm = regexp.MustCompile(`try again in (\d{1,6}(?:\.\d{1,6})?) ?(ms|s|m|h|d)`)

var units = map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// maxAfter bounds what a message may put off.
const maxAfter = 7 * 24 * time.Hour

// afterIn is the time that a message says to wait: "Please try again in 11.054s".
func afterIn(message string) time.Duration {
	found := afterForm.FindStringSubmatch(strings.ToLower(message))
	if found == nil {
		return 0
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return 0 // the form lets only numbers through
	}
	return time.Duration(min(n*float64(units[found[2]]), float64(maxAfter)))
}

// claim puts a trouble into a result.
func (t trouble) claim(r *sdk.Result) {
	r.Failed, r.StopReason, r.Class, r.Retryable, r.RetryAfter = true, "error", t.class, t.retryable, t.after
	if t.refused {
		r.StopReason = "refusal"
	}
	r.Message = agent.Clip(t.message, sdk.MaxSummary)
	if r.Message == "" {
		r.Message = "codex called the turn failed and did not say why"
	}
}
