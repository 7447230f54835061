// Package store will keep what the relay has to remember in SQLite: tokens, instances, pairings and
// the relay's own audit rows. The room is empty until the relay's issue.
//
// It never holds a step's text, output, path, diff or artifact; a test will search its files for them.
//
// It must not know HTTP, frames or the daemon's record.
package store
