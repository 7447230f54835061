// Package store is the record: one SQLite file that holds the event log, its Merkle tree and signed
// checkpoints, and the state of runs, steps, attempts, gates, validations, approvals and artifacts as a
// fold over the log.
//
// It guarantees that every change of an object and its event are one transaction that is durable when
// Apply returns; that changes are compare-and-set against the tables of package work; that events are
// dense, ordered and only ever added; that one process owns a state directory; and that after an I/O
// error nothing more is written.
//
// It must not know HTTP, plugins, git, processes or the content store.
package store
