// Package panel evaluates the gates of one change: it starts the validators over the sealed tree, in the
// order that the rules ask for, and writes every evaluation and every verdict into the record. An attempt
// on the desk and a range of commits in CI are judged by the same code.
//
// It guarantees that a required gate passes only after it was evaluated, or does not apply by its own
// rule; that a validator which crashes, hangs, floods, answers twice or answers nonsense is an evaluation
// that could not be done, which never passes; that every try is recorded with what it rests on; and that
// what a validator writes is gone with it.
//
// It must not know who made the change, attempts' states, git, or how a plugin is started: it declares
// the small interfaces it needs (ports.go). Verdicts follow from rows alone, in package gate.
package panel
