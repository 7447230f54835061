// Package server will be the relay as planners see it: the remote HTTP API, the registry of enrolled
// instances, routing and quotas. The room is empty until the relay's issue.
//
// It forwards only operations of the table in host/api whose surface is the relay, to the instance
// that was named, after the actor's scope was checked; everything else is refused and recorded.
//
// It must not know how a step is executed, and nothing that starts a process may be linked with it.
package server
