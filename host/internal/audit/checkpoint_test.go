package audit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func newKey(t testing.TB) Key {
	t.Helper()
	k, err := NewKey(Origin("inst_01JD0000000000000000000000"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTheTreeIsThatOfRFC6962AtEverySize(t *testing.T) {
	var tree Tree
	var stored []Hash
	read := func(ix []int64) ([]Hash, error) {
		var out []Hash
		for _, i := range ix {
			out = append(out, stored[i])
		}
		return out, nil
	}
	for n := range int64(300) {
		leaf := LeafHash(fmt.Append(nil, n))
		want, err := tlog.StoredHashesForRecordHash(n, leaf, tlog.HashReaderFunc(read))
		if err != nil {
			t.Fatal(err)
		}
		if tree.NextNode() != int64(len(stored)) {
			t.Fatalf("node %d is next, %d are stored", tree.NextNode(), len(stored))
		}
		before := tree
		root := before.Root()
		if got := tree.Append(leaf); !slices.Equal(got, want) {
			t.Fatalf("event %d makes %v, want %v", n, got, want)
		}
		if before.Root() != root || before.Size() != n {
			t.Fatal("adding to a tree changed its copy")
		}
		stored = append(stored, want...)
		wantRoot, err := tlog.TreeHash(n+1, tlog.HashReaderFunc(read))
		if err != nil || tree.Root() != wantRoot {
			t.Fatalf("root of %d events: %v, want %v (%v)", n+1, tree.Root(), wantRoot, err)
		}
		again, err := Restore(n+1, read)
		if err != nil || again.Root() != wantRoot {
			t.Fatalf("restored root of %d events: %v, want %v (%v)", n+1, again.Root(), wantRoot, err)
		}
	}
}

func TestTheEmptyTreeHasTheRootOfTheStandard(t *testing.T) {
	want, err := tlog.TreeHash(0, nil)
	if got := (Tree{}).Root(); err != nil || got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if tree, err := Restore(0, nil); err != nil || tree.Size() != 0 {
		t.Errorf("restored %d events, %v", tree.Size(), err)
	}
	boom := errors.New("boom")
	if _, err := Restore(5, func([]int64) ([]Hash, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("a read error became %v", err)
	}
}

func TestACheckpointOpensOnlyWithItsKeyAndUnchanged(t *testing.T) {
	key, other := newKey(t), newKey(t)
	var tree Tree
	tree.Append(LeafHash([]byte("a")))
	msg, err := key.Sign(tree)
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenCheckpoint(msg, key.Verifier())
	if err != nil || got != (Checkpoint{Origin: key.Name(), Size: 1, Root: tree.Root()}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := OpenCheckpoint(msg, other.Verifier()); err == nil {
		t.Error("another key of the same name opened it")
	}
	for i := range msg {
		bad := bytes.Clone(msg)
		bad[i] ^= 1
		if c, err := OpenCheckpoint(bad, key.Verifier()); err == nil && c != got {
			t.Errorf("with bit 0 of byte %d flipped it reads %+v", i, c)
		}
	}
	if _, err := OpenCheckpoint(bytes.Repeat([]byte("a\n"), maxNote), key.Verifier()); !errors.Is(err, errNote) {
		t.Errorf("an oversized note: %v", err)
	}
}

func TestACheckpointHasOneSpelling(t *testing.T) {
	root := LeafHash(nil).String()
	for name, text := range map[string]string{
		"plus":         "o\n+1\n" + root + "\n",
		"leading zero": "o\n01\n" + root + "\n",
		"negative":     "o\n-1\n" + root + "\n",
		"not a number": "o\nx\n" + root + "\n",
		"no root":      "o\n1\n\n",
		"short root":   "o\n1\nAAAA\n",
		"extension":    "o\n1\n" + root + "\nmore\n",
		"two lines":    "o\n1\n",
		"no end":       "o\n1\n" + root,
	} {
		if c, err := parseText(text); err == nil {
			t.Errorf("%s was read as %+v", name, c)
		}
	}
}

func TestAKeySurvivesItsFile(t *testing.T) {
	for range 50 { // "+" is a digit of base64 too
		key := newKey(t)
		again, err := ParseKey(key.Secret())
		if err != nil || again.Verifier() != key.Verifier() || again.Name() != key.Name() {
			t.Fatalf("read back %q, %v", again.Verifier(), err)
		}
	}
	secret := newKey(t).Secret()
	for _, bad := range [][]byte{nil, []byte("x"), secret[:len(secret)-9], bytes.Replace(secret, []byte("KEY"), []byte("KEX"), 1)} {
		if _, err := ParseKey(bad); err == nil || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%d bytes were read or told: %v", len(bad), err)
		}
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	key, err := ParseKey([]byte("PRIVATE+KEY+drawspan/host/inst_01M1Q2N3P4R5S6T7V8W9X0Y1Z2+c04b9fc4+AQ=="))
	if err == nil {
		f.Fatal("a key without a seed was read")
	}
	if key, err = NewKey(Origin("inst_x")); err != nil {
		f.Fatal(err)
	}
	msg, err := key.Sign(Tree{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	f.Add([]byte("a\n1\nb\n\n\u2014 a AAAA\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := OpenCheckpoint(in, key.Verifier())
		if err == nil && c.Size != 0 {
			t.Fatalf("a note that was never signed opened: %q", in)
		}
		if c, err := parseText(string(in)); err == nil && c.text() != string(in) {
			t.Fatalf("%q is written as %q", in, c.text())
		}
	})
}
