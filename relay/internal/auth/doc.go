// Package auth will decide who may do what at the relay: bearer tokens and their scopes, enrolment,
// pairing codes, the signed challenge of an instance, and the session token. It is pure over a small
// store that it declares itself. The room is empty until the relay's issue.
//
// The actor of every request comes from here and never from a request's body.
//
// It must not know HTTP, SQL or what an operation does.
package auth
