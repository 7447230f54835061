package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Schema is the version of the envelope that this package writes.
const Schema = 1

// SaltSize is the size of a body's salt.
const SaltSize = 16

// maxEnvelope bounds what ParseEnvelope looks at.
const maxEnvelope = 16 << 10

// Hash is a SHA-256 hash in the tree or in a chain.
type Hash = tlog.Hash

// Envelope is what is proved about one event: everything but its body, which it names by digest.
type Envelope struct {
	Schema     int64
	Epoch      int64
	Seq        int64
	At         int64 // nanoseconds since 1970, UTC
	Boot       string
	Kind       string
	Actor      work.Actor
	Workspace  string
	RunID      string
	StepID     string
	AttemptID  string
	RunIx      int64 // position in the run's chain, from 0; only with RunID
	RunPrev    Hash  // leaf hash of the run's event before; zero for its first
	BodyDigest Hash
}

// Leaf is the canonical JSON of the envelope: the exact bytes that the tree is over.
func (e Envelope) Leaf() []byte {
	b := make([]byte, 0, 640)
	text := func(key, v string) {
		if v != "" {
			b = append(append(append(b, ",\""...), key...), "\":"...)
			b = appendString(b, v)
		}
	}
	number := func(key string, n int64) {
		b = append(append(append(b, ",\""...), key...), "\":"...)
		b = appendInt(b, n)
	}
	b = append(b, `{"actor_id":`...)
	b = appendString(b, e.Actor.ID)
	b = append(b, `,"actor_kind":`...)
	b = appendString(b, e.Actor.Kind)
	number("at", e.At)
	text("attempt_id", e.AttemptID)
	text("body_digest", hex.EncodeToString(e.BodyDigest[:]))
	text("boot_id", e.Boot)
	number("epoch", e.Epoch)
	text("kind", e.Kind)
	text("run_id", e.RunID)
	if e.RunID != "" {
		number("run_ix", e.RunIx)
		text("run_prev", hex.EncodeToString(e.RunPrev[:]))
	}
	number("schema", e.Schema)
	number("seq", e.Seq)
	text("step_id", e.StepID)
	text("workspace", e.Workspace)
	return append(b, '}')
}

// LeafHash is the RFC 6962 hash of an envelope's bytes. It is also the link that the next event of the
// run carries.
func LeafHash(leaf []byte) Hash { return tlog.RecordHash(leaf) }

// NewSalt makes the salt of one body.
func NewSalt() []byte {
	salt := make([]byte, SaltSize)
	_, _ = rand.Read(salt) // never fails: the runtime ends the process instead
	return salt
}

// BodyDigest is SHA-256(salt || body).
func BodyDigest(salt, body []byte) Hash {
	h := sha256.New()
	h.Write(salt)
	h.Write(body)
	var d Hash
	h.Sum(d[:0])
	return d
}

// wire is the envelope as it is read.
type wire struct {
	ActorID    string  `json:"actor_id"`
	ActorKind  string  `json:"actor_kind"`
	At         integer `json:"at"`
	AttemptID  string  `json:"attempt_id"`
	BodyDigest digest  `json:"body_digest"`
	Boot       string  `json:"boot_id"`
	Epoch      integer `json:"epoch"`
	Kind       string  `json:"kind"`
	RunID      string  `json:"run_id"`
	RunIx      integer `json:"run_ix"`
	RunPrev    digest  `json:"run_prev"`
	Schema     integer `json:"schema"`
	Seq        integer `json:"seq"`
	StepID     string  `json:"step_id"`
	Workspace  string  `json:"workspace"`
}

var errNotCanonical = errors.New("envelope is not canonical")

// ParseEnvelope reads the exact bytes that Leaf writes and refuses every other spelling of them.
func ParseEnvelope(leaf []byte) (Envelope, error) {
	if len(leaf) > maxEnvelope {
		return Envelope{}, fmt.Errorf("envelope has %d bytes, at most %d are read", len(leaf), maxEnvelope)
	}
	var w wire
	dec := json.NewDecoder(bytes.NewReader(leaf))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return Envelope{}, fmt.Errorf("decode envelope: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Envelope{}, errNotCanonical
	}
	if w.Schema != Schema {
		return Envelope{}, fmt.Errorf("envelope schema %d is not known", w.Schema)
	}
	e := Envelope{
		Schema: int64(w.Schema), Epoch: int64(w.Epoch), Seq: int64(w.Seq), At: int64(w.At),
		Boot: w.Boot, Kind: w.Kind, Actor: work.Actor{Kind: w.ActorKind, ID: w.ActorID}, Workspace: w.Workspace,
		RunID: w.RunID, StepID: w.StepID, AttemptID: w.AttemptID,
		RunIx: int64(w.RunIx), RunPrev: Hash(w.RunPrev), BodyDigest: Hash(w.BodyDigest),
	}
	// Re-encoding catches duplicate and reordered keys, white space, and fields that do not belong.
	if !bytes.Equal(e.Leaf(), leaf) {
		return Envelope{}, errNotCanonical
	}
	return e, nil
}

// integer is read from a number or from a string of digits.
type integer int64

// UnmarshalJSON takes both spellings; re-encoding tells whether it was the right one.
func (i *integer) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(bytes.Trim(b, `"`)), 10, 64)
	*i = integer(n)
	return err
}

// digest is read from lower-case hex.
type digest Hash

// UnmarshalJSON takes 64 hex digits.
func (d *digest) UnmarshalJSON(b []byte) error {
	b = bytes.Trim(b, `"`)
	if len(b) != 2*len(d) {
		return errNotCanonical
	}
	_, err := hex.Decode(d[:], b)
	return err
}
