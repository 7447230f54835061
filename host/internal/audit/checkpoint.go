package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxNote bounds a checkpoint note, cosignatures included.
const maxNote = 16 << 10

var errNote = errors.New("malformed checkpoint")

// Origin names the log of an instance. It is the first line of its checkpoints and its key's name.
func Origin(instanceID string) string { return "drawspan/host/" + instanceID }

// Checkpoint is the claim that the log had a root at a size.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   Hash
}

// text is the C2SP checkpoint body.
func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// OpenCheckpoint reads a note that is signed by the verifier key.
func OpenCheckpoint(msg []byte, verifierKey string) (Checkpoint, error) {
	if len(msg) > maxNote {
		return Checkpoint{}, errNote
	}
	v, err := note.NewVerifier(verifierKey)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read verifier key: %w", err)
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w", err)
	}
	c, err := parseText(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != v.Name() {
		return Checkpoint{}, fmt.Errorf("%w: origin %q is signed by the key of %q", errNote, c.Origin, v.Name())
	}
	return c, nil
}

func parseText(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, errNote
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Checkpoint{}, errNote
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", errNote, err)
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: root}
	if c.text() != text { // refuses "+1", "01" and loose base64
		return Checkpoint{}, errNote
	}
	return c, nil
}

// Key is a log's signing key.
type Key struct {
	secret   string
	verifier string
	signer   note.Signer
}

// NewKey makes an Ed25519 key with the given name.
func NewKey(name string) (Key, error) {
	secret, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return Key{}, fmt.Errorf("generate key: %w", err)
	}
	return ParseKey([]byte(secret))
}

// ParseKey reads what Secret wrote.
func ParseKey(secret []byte) (Key, error) {
	text := string(bytes.TrimSpace(secret))
	signer, err := note.NewSigner(text)
	if err != nil {
		return Key{}, errors.New("not a signing key") // the cause may quote the key
	}
	// PRIVATE+KEY+<name>+<hash>+<base64 of algorithm and seed>; NewSigner has checked the form.
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 5)[4])
	if err != nil {
		return Key{}, errors.New("not a signing key")
	}
	public, ok := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return Key{}, errors.New("not an Ed25519 key")
	}
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return Key{}, fmt.Errorf("derive verifier key: %w", err)
	}
	return Key{secret: text, verifier: verifier, signer: signer}, nil
}

// Secret is the key as it is kept in its file.
func (k Key) Secret() []byte { return []byte(k.secret + "\n") }

// Verifier is the public key by which others open the checkpoints.
func (k Key) Verifier() string { return k.verifier }

// Name is the key's name: the log's origin.
func (k Key) Name() string { return k.signer.Name() }

// Sign makes the signed note of the tree as it is now.
func (k Key) Sign(t Tree) ([]byte, error) {
	c := Checkpoint{Origin: k.Name(), Size: t.Size(), Root: t.Root()}
	msg, err := note.Sign(&note.Note{Text: c.text()}, k.signer)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return msg, nil
}
