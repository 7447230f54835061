package reuse

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/work"
)

func result(n string) work.Validation {
	return work.Validation{
		ID: "val_1", AttemptID: "att_1", Gate: "g", N: 1, Plugin: work.PluginIdentity{Name: "v", Digest: "sha256:00"}, Result: work.ResultFail, Message: "no",
		Findings: []work.Finding{{Rule: "r", Path: "a\xff", Line: 3}}, Metrics: map[string]int64{"n": -7}, Inputs: "sha256:" + strings.Repeat(n, 64), At: time.Unix(9, 0).UTC(),
	}
}

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "results"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhatIsKeptIsFoundUnderItsInputsAlone(t *testing.T) {
	d := open(t)
	want := result("a")
	want.Findings[0].Path = "a"
	if err := d.Keep(want); err != nil {
		t.Fatal(err)
	}
	got, ok := d.Find(want.Inputs)
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, %v", got, ok)
	}
	for _, inputs := range []string{result("b").Inputs, "", "sha256:../../x", "sha256:" + strings.Repeat("A", 64)} {
		if _, ok := d.Find(inputs); ok {
			t.Errorf("%q is found", inputs)
		}
	}
	want.Inputs = "sha256:../../../../x"
	if d.Keep(want) == nil {
		t.Error("a path is taken for a digest")
	}
}

func TestF10_ADamagedEntryIsNotFound(t *testing.T) {
	d := open(t)
	if err := d.Keep(result("a")); err != nil {
		t.Fatal(err)
	}
	path := d.file(result("a").Inputs)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, body := range map[string][]byte{
		"cut": whole[:len(whole)-1], "empty": {}, "longer": append(bytes.Clone(whole), ' '), "no digest": whole[72:],
		"another result": bytes.Replace(whole, []byte(`"fail"`), []byte(`"pass"`), 1), "huge": bytes.Repeat(whole, maxEntry/len(whole)+1),
		"a field that is not there": sealed([]byte(`{"inputs_digest":"` + result("a").Inputs + `","x":1}`)), "no JSON": sealed([]byte(`pass`)),
	} {
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok := d.Find(result("a").Inputs); ok {
			t.Errorf("%s: found", what)
		}
	}
	other := d.file(result("b").Inputs)
	if err := os.WriteFile(other, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Find(result("b").Inputs); ok {
		t.Error("an entry in another's place is found")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Find(result("a").Inputs); ok {
		t.Error("a link is followed")
	}
}

func sealed(body []byte) []byte { return append([]byte(digest(body)+"\n"), body...) }

func TestTheOldestEntriesGoWhereThereAreTooMany(t *testing.T) {
	d := open(t)
	d.most = 200
	old := time.Now().Add(-time.Hour)
	for i := range d.most {
		path := filepath.Join(d.path, strings.Repeat("0", 60)+string([]byte{'0' + byte(i/1000), '0' + byte(i/100%10), '0' + byte(i/10%10), '0' + byte(i%10)})+".json")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Keep(result("a")); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(d.path)
	if err != nil || len(left) > d.most-d.most/10 {
		t.Errorf("%d are left, %v", len(left), err)
	}
	if _, ok := d.Find(result("a").Inputs); !ok {
		t.Error("the newest went")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("sha256:00\n{}"))
	f.Add(sealed([]byte(`{"id":"val_1"}`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		if v, err := parse(body); err == nil {
			again, err := parse(sealed(body[bytes.IndexByte(body, '\n')+1:]))
			if err != nil || !reflect.DeepEqual(v, again) {
				t.Errorf("%+v, %+v, %v", v, again, err)
			}
		}
	})
}
