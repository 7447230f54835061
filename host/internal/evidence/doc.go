// Package evidence will export a run as a bundle that somebody else can verify offline, and verify
// such a bundle: events, inclusion proofs, signed checkpoints and artifacts. The room is empty until
// the record's issue; `drawspan audit verify` already proves the log in place.
//
// A verifier needs the bundle and a public key, no daemon, no database and no network.
//
// It must not know storage, git, plugins or HTTP.
package evidence
