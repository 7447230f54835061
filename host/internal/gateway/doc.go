// Package gateway will hand credentials to executors by reference: the secret stays on the host's side
// and is put into a request on its way out. The room is empty until its issue; until then no secret
// reaches a sandbox.
//
// A secret will never be in an executor's environment, in a log, in an event or in an artifact, and
// every use of one will be recorded by its name.
//
// It must not know runs, steps or which planner asked.
package gateway
