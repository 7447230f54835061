package audit

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/internal/work"
)

func sample() Envelope {
	return Envelope{
		Schema: Schema, Epoch: 1, Seq: 42, At: 1_763_000_000_123_456_789, Boot: "b00t", Kind: "attempt.running",
		Actor: work.Actor{Kind: "daemon", ID: "inst_1"}, Workspace: "w\"<>", RunID: "run_1", StepID: "step_1",
		AttemptID: "att_1", RunIx: 3, RunPrev: LeafHash([]byte("x")), BodyDigest: BodyDigest([]byte("s"), []byte("{}")),
	}
}

func TestAnEnvelopeIsCanonicalJSONAndReadsBack(t *testing.T) {
	bare := Envelope{Schema: Schema, Kind: "host.started"}
	for name, e := range map[string]Envelope{"full": sample(), "bare": bare} {
		leaf := e.Leaf()
		viaJSON, err := Canonical(rawJSON(leaf))
		if err != nil || !bytes.Equal(leaf, viaJSON) {
			t.Errorf("%s: leaf %s is not canonical: %s %v", name, leaf, viaJSON, err)
		}
		got, err := ParseEnvelope(leaf)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: got %+v %v, want %+v", name, got, err, e)
		}
	}
	want := `{"actor_id":"inst_1","actor_kind":"daemon","at":"1763000000123456789","attempt_id":"att_1","body_digest":"`
	if got := string(sample().Leaf()); !strings.HasPrefix(got, want) {
		t.Errorf("the form moved: %s", got)
	}
	if strings.Contains(string(bare.Leaf()), "run_ix") {
		t.Error("an event without a run has a chain")
	}
}

type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

func TestOnlyTheCanonicalSpellingOfAnEnvelopeIsRead(t *testing.T) {
	good := string(sample().Leaf())
	for name, leaf := range map[string]string{
		"empty":            "",
		"space":            good + " ",
		"trailing value":   good + "{}",
		"leading space":    " " + good,
		"duplicate key":    strings.Replace(good, `"epoch":1`, `"epoch":1,"epoch":1`, 1),
		"unknown key":      strings.Replace(good, `{`, `{"a":1,`, 1),
		"other order":      strings.Replace(good, `"actor_id":"inst_1","actor_kind":"daemon"`, `"actor_kind":"daemon","actor_id":"inst_1"`, 1),
		"key in capitals":  strings.Replace(good, `"kind"`, `"KIND"`, 1),
		"number as string": strings.Replace(good, `"epoch":1`, `"epoch":"1"`, 1),
		"string as number": strings.Replace(good, `"1763000000123456789"`, `1763000000123456789`, 1),
		"float":            strings.Replace(good, `"epoch":1`, `"epoch":1.0`, 1),
		"escape":           strings.Replace(good, "attempt.running", `attempt\u002erunning`, 1),
		"upper-case hex":   strings.ToUpper(good),
		"chain, no run":    strings.Replace(good, `"run_id":"run_1",`, "", 1),
		"later schema":     strings.Replace(good, `"schema":1`, `"schema":2`, 1),
		"too long":         strings.Replace(good, "b00t", strings.Repeat("b", maxEnvelope), 1),
	} {
		if _, err := ParseEnvelope([]byte(leaf)); err == nil {
			t.Errorf("%s was read: %s", name, leaf)
		}
	}
}

func TestEveryFieldOfAnEnvelopeChangesItsLeaf(t *testing.T) {
	base := LeafHash(sample().Leaf())
	v := reflect.ValueOf(sample())
	for i := range v.NumField() {
		e := sample()
		f := reflect.ValueOf(&e).Elem().Field(i)
		switch f.Kind() {
		case reflect.Int64:
			f.SetInt(f.Int() + 1)
		case reflect.String:
			f.SetString(f.String() + "x")
		case reflect.Array:
			f.Index(0).SetUint(f.Index(0).Uint() ^ 1)
		case reflect.Struct:
			f.Field(0).SetString("other")
		default:
			t.Fatalf("field %s has a kind that this test does not know", v.Type().Field(i).Name)
		}
		if LeafHash(e.Leaf()) == base {
			t.Errorf("field %s is not in the leaf", v.Type().Field(i).Name)
		}
	}
}

func TestABodyDigestDependsOnItsSalt(t *testing.T) {
	a, b := NewSalt(), NewSalt()
	if len(a) != SaltSize || bytes.Equal(a, b) {
		t.Fatalf("salts %x and %x", a, b)
	}
	if BodyDigest(a, []byte("{}")) == BodyDigest(b, []byte("{}")) {
		t.Error("equal bodies have equal digests")
	}
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add(sample().Leaf())
	f.Add(Envelope{Schema: Schema}.Leaf())
	f.Add([]byte(`{"actor_id":"","at":0}`))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		e, err := ParseEnvelope(leaf)
		if err == nil && !bytes.Equal(e.Leaf(), leaf) {
			t.Fatalf("%q was read and is written as %q", leaf, e.Leaf())
		}
	})
}
