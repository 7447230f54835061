// Package sandbox turns a policy into a confined process, and proves the end of it.
//
// A launch starts the separate launcher program as PID 1 of new namespaces. It builds a view that holds
// only what the policy names, gives up every privilege, verifies by doing that the promised refusals
// happen, and reports. Only when the report reaches the required level is the payload started. What was
// enforced is a value (spec.Enforced) that the caller records.
//
// It guarantees: below the required level nothing of the payload runs; a refusal that could not be
// verified is fatal at every level; no descriptor, variable or path reaches the payload that was not
// named; when Kill returns a proved death, or Done is closed, no process of the launch is alive; when the
// daemon dies for any reason, the launch dies with it.
//
// It must not know plugins, git, runs, steps, storage or HTTP.
package sandbox
