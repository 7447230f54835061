// Package gateway is the one way to a model that keeps the real credential out of a sandbox: a server on
// a listener that lies inside one launch's network namespace. It takes the calls of one declared wire with
// a key that is worth nothing elsewhere, puts the real credential in, and forwards them to exactly one
// upstream.
//
// Guarantees: nothing but the wire's own methods and paths is forwarded, and to nowhere else; redirects
// are not followed; no credential of the caller goes out and the real one does not come in, in whatever
// form the upstream repeats it; a model outside the allowlist is not called. Every call is counted, with
// the tokens that the upstream reports, and estimated from above where it reports none; a call beyond the
// budget is refused in the wire's own form, as an error that is not worth a retry. Sizes, times and counts
// are bounded, whatever either side sends. Bodies pass and are digested, never kept.
//
// It forwards: it never asks a model anything by itself.
//
// Known limit: an upstream whose tools reach the network on the caller's behalf is a way out for what the
// sandbox can read.
//
// It must not know runs, steps, plugins or who asked.
package gateway
