// Package wire will be the link between a daemon's connector and the relay: frames, limits, versions
// and the transcript of the enrolment challenge.
//
// A frame is a routing header (stream, operation number, instance, sizes, deadline, operation id) and
// an opaque payload. Sealing replaces the payload and nothing else, so that the relay routes what it
// cannot read. The room is empty until the relay's issue.
//
// It must not know sockets, storage or who is speaking.
package wire
