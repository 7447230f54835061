package sdk

import (
	"errors"
	"slices"
)

// Failure is an error of Run that says more than its text. Any other error is a failure of class
// "unknown" that may not be retried.
type Failure struct {
	Class     string // one of ErrorClasses
	Message   string
	Retryable bool
	Denied    bool // the executor was refused something that it needed
	Err       error
}

// Error is the message and, where there is one, the cause.
func (f *Failure) Error() string {
	if f.Err == nil {
		return f.Message
	}
	return f.Message + ": " + f.Err.Error()
}

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Err }

// ErrorClasses is the closed list of error classes.
func ErrorClasses() []string {
	return []string{"auth", "rate_limit", "quota", "overloaded", "context", "budget", "policy", "sandbox",
		"network", "protocol", "crash", "unknown"}
}

// ResultOf is the result that stands for what Run returned: with an error it is a failed one, and the
// error's class and message take the place of the result's own.
func ResultOf(r Result, err error) Result {
	if err == nil {
		return r
	}
	r.Failed = true
	r.Message = err.Error()
	r.Class = "unknown"
	if r.StopReason == "" || r.StopReason == "end_turn" {
		r.StopReason = "error"
	}
	var f *Failure
	if errors.As(err, &f) {
		r.Retryable, r.Denied = f.Retryable, f.Denied
		if slices.Contains(ErrorClasses(), f.Class) {
			r.Class = f.Class
		}
	}
	return r
}

// Outcomes lists the outcomes of a check.
func Outcomes() []Outcome { return []Outcome{Pass, Warn, Fail, Skip, Error} }
