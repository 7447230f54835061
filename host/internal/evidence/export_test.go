package evidence

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
)

// exported is a log of n events as an export writes it.
func exported(t testing.TB, n int) []byte {
	t.Helper()
	key, err := audit.NewKey(audit.Origin("inst_1"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	var tree audit.Tree
	var prev audit.Hash
	for i := range n {
		salt, body := audit.NewSalt(), []byte(`{"n":"x"}`)
		e := audit.Envelope{Schema: audit.Schema, Epoch: 1, Seq: int64(i), At: 1, Boot: "b", Kind: "k", RunID: "run_1", RunIx: int64(i), RunPrev: prev, BodyDigest: audit.BodyDigest(salt, body)}
		e.Actor.Kind, e.Actor.ID = "daemon", "d"
		prev = audit.LeafHash(e.Leaf())
		tree.Append(prev)
		if err := enc.Encode(map[string]any{"envelope": json.RawMessage(e.Leaf()), "salt": hex.EncodeToString(salt), "body": json.RawMessage(body)}); err != nil {
			t.Fatal(err)
		}
	}
	note, err := key.Sign(tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := enc.Encode(map[string]string{"checkpoint": string(note), "key": key.Verifier()}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAWholeExportVerifiesWithoutAnythingElse(t *testing.T) {
	v, err := Verify(t.Context(), bytes.NewReader(exported(t, 20)))
	if err != nil || !v.OK() || v.Events != 20 || v.Bodies != 20 || v.Checkpoints != 1 || v.Runs != 1 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestEveryChangeOfAnExportIsNoticed(t *testing.T) {
	whole := exported(t, 20)
	rows := strings.SplitAfter(string(whole), "\n")
	for name, text := range map[string]string{
		"a body":            strings.Replace(string(whole), `{"n":"x"}`, `{"n":"y"}`, 1),
		"a kind":            strings.Replace(string(whole), `"kind":"k"`, `"kind":"j"`, 1),
		"an event less":     strings.Join(append(append([]string{}, rows[:7]...), rows[8:]...), ""),
		"the first less":    strings.Join(rows[1:], ""),
		"the last less":     strings.Join(append(append([]string{}, rows[:19]...), rows[20:]...), ""),
		"an event twice":    strings.Join(append(append([]string{}, rows[:7]...), rows[6:]...), ""),
		"no checkpoint":     strings.Join(rows[:20], ""),
		"two checkpoints":   string(whole) + rows[20],
		"another's":         strings.Join(rows[:20], "") + strings.SplitAfter(string(exported(t, 20)), "\n")[20],
		"nothing":           "",
		"no JSON":           "x",
		"half of a line":    string(whole[:len(whole)/2]),
		"a checkpoint only": rows[20],
	} {
		v, err := Verify(t.Context(), strings.NewReader(text))
		if err == nil && v.OK() {
			t.Errorf("%s: it verifies", name)
		}
		if err != nil && !fault.Is(err, fault.AuditFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(exported(f, 3))
	f.Add([]byte(`{"checkpoint":"x","key":"y"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := Verify(t.Context(), bytes.NewReader(data)); err == nil && v.OK() && v.Checkpoints == 0 {
			t.Error("a log that nothing signed verifies")
		}
	})
}
