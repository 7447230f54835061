package agent

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tool"
)

// phrases are words of vendors' errors and what they mean, the first that is found counts.
var phrases = []struct {
	class     string
	retryable bool
	words     []string
}{
	{"context", false, []string{"prompt is too long", "context window", "context length", "context_length", "too many tokens", "maximum context", "request_too_large"}},
	{"quota", false, []string{"insufficient_quota", "credit balance", "quota", "billing", "usage limit"}},
	{"rate_limit", true, []string{"rate limit", "rate_limit", "ratelimit", "too many requests", "resource_exhausted"}},
	{"overloaded", true, []string{"overloaded", "service unavailable", "internal server error", "bad gateway"}},
	{"auth", false, []string{"unauthorized", "unauthenticated", "authentication", "invalid api key", "invalid x-api-key", "incorrect api key", "api key not", "not logged in", "/login", "permission_error"}},
	{"overloaded", true, []string{"high demand", "server_error", "api_error"}}, // as vendors call a failure of their own
	{"budget", false, []string{"budget"}},
	{"network", true, []string{
		"econnre", "enotfound", "eai_again", "etimedout", "connection", "network", "timed out", "timeout",
		"stream disconnected", "stream closed", "socket hang up", "fetch failed", "terminated", "unable to connect",
	}},
}

// Class is the error class of an HTTP status, where there was one, and the words of an agent's own error
// message, and whether it makes sense to try again. Words of the model must not be given.
func Class(status int, text string) (class string, retryable bool) {
	said, again := said(text)
	known, ok := statuses[status]
	switch {
	case ok && known.class == "rate_limit" && said == "quota":
		return "quota", false
	case ok:
		return known.class, known.retryable
	case status >= 500:
		return "overloaded", true
	case status >= 400 && again:
		return "unknown", false // the words are about something else: the request itself was refused
	}
	return said, again
}

// statuses are the HTTP statuses that mean one thing.
var statuses = map[int]struct {
	class     string
	retryable bool
}{
	http.StatusUnauthorized: {"auth", false}, http.StatusForbidden: {"auth", false}, http.StatusPaymentRequired: {"quota", false},
	http.StatusRequestEntityTooLarge: {"context", false}, http.StatusTooManyRequests: {"rate_limit", true}, http.StatusRequestTimeout: {"network", true},
}

func said(text string) (string, bool) {
	text = strings.ToLower(text)
	for _, p := range phrases {
		for _, w := range p.words {
			if strings.Contains(text, w) {
				return p.class, p.retryable
			}
		}
	}
	return "unknown", false
}

// Judge completes a claim by how the program ended. Told says that it told its terminal record. An exit
// without one is never a success, and neither is a success that is followed by a failing exit; a program
// that had to be stopped after its record is none the worse for it.
func Judge(claim sdk.Result, told bool, ran tool.Result, stderr string) sdk.Result {
	setExit(&claim, ran)
	how := howItEnded(ran, stderr)
	well := ran.ExitCode == 0 && ran.Signal == ""
	switch {
	case claim.Failed || claim.StopReason == "cancelled":
	case told && (ran.Stopped || well):
	case told:
		fail(&claim, "crash", "the agent called itself done and then "+how)
	case well:
		fail(&claim, "protocol", "the agent ended without a terminal record; it "+how)
	default:
		class, again := said(stderr)
		if class == "unknown" {
			class = "crash"
		}
		fail(&claim, class, "the agent ended without a terminal record; it "+how)
		claim.Retryable = again
	}
	return claim
}

// setExit leaves out the exit of a program that was stopped: it says nothing of the program.
func setExit(claim *sdk.Result, ran tool.Result) {
	if ran.Stopped {
		return
	}
	claim.Signal = ran.Signal
	if ran.Signal == "" {
		claim.ExitCode = &ran.ExitCode
	}
}

func howItEnded(ran tool.Result, stderr string) string {
	how := fmt.Sprintf("exited with code %d", ran.ExitCode)
	if ran.Signal != "" {
		how = "was ended by " + ran.Signal
	}
	if words := strings.TrimSpace(tool.LastLines(stderr, 5)); words != "" {
		how += ": " + words
	}
	return how
}

func fail(r *sdk.Result, class, message string) {
	r.Failed, r.Class, r.Message, r.StopReason = true, class, Clip(message, sdk.MaxSummary), "error"
}
