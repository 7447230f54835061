// Package loader turns the name of a plugin into a running, verified, confined process that speaks the
// plugin protocol, and turns every way in which that can fail into a typed fault.
//
// It guarantees: the bytes that run are the bytes whose digest was compared with the lock file (they are
// copied into a sealed memory file while they are hashed, and executed from there); the plugin gets
// nothing of the daemon's environment; nobody but the daemon can call it, and the daemon calls nobody
// but it; every reply is bounded; a stream that breaks the protocol ends; the death of the process is
// seen from the process itself, within milliseconds; Stop is bounded and returns the sandbox's proof;
// the instance's directory is gone afterwards.
//
// It must not know runs, steps, storage, gates or HTTP.
package loader
