// Package audit is the form of the log and its proofs: the canonical envelope of an event, the RFC 6962
// tree over the envelopes, the chain of each run, signed checkpoints, and the verifier that recomputes
// all of it.
//
// A leaf is the canonical JSON envelope. It holds SHA-256(salt || body), never the body, so bodies can
// be deleted later while every proof still holds, and short secrets cannot be guessed from digests.
// Whatever is verified here was recomputed: nothing stored is trusted for being stored.
//
// It works on plain values. It must not know SQL, files, the clock or who asks.
package audit
