// Package work is the domain: runs, steps, attempts, gates, validations, approvals, artifacts; their
// states, the transition tables, the policy that an operator declared, and the mutations that change
// the record.
//
// It guarantees that a state can only move along its table (see CanBecome) and that every state pair
// is decided there and nowhere else. Everything in it is a plain value: what is stored, sent or decided
// elsewhere is described here.
//
// It must not know I/O, the clock, SQL, HTTP, git, processes or plugins. It imports the standard library
// only.
package work
