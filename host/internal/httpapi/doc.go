// Package httpapi is the daemon's API on the machine: routes, decoding, caller identity, streams.
//
// It guarantees: the routes are exactly the operations of host/api's table that have a local surface;
// nothing reaches a handler that is not one JSON object (or query) of known fields, exact types and
// bounded size; every failure is answered as an api.ErrorBody with a request id, and the text of an
// internal one stays in the log; the actor is what the connection proves, never what a body says; the
// listeners are a unix socket that only the same uid may use and, when asked for, a loopback address
// behind a token.
//
// It must not know storage, states or what an operation does: the daemon brings one Handler for each.
package httpapi
