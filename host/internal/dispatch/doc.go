// Package dispatch drives steps through attempts to verdicts: it checks requests against the policy,
// runs the steps of each run in order, drives one attempt from its tree to its proof of death, evaluates
// gates, opens and settles approvals, and puts the record right after a crash.
//
// It guarantees that every transition goes through the record before its effect is reported; that
// "cancelled" is written only with a proof of death; that an attempt's final tree is kept before any
// gate looks at it; that nothing a caller sends widens the policy; and that a step is executed by the
// executor that was named or not at all.
//
// It must not know SQLite, go-plugin, git or HTTP: it declares the small interfaces it needs (ports.go),
// and the daemon joins them.
package dispatch
