package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
)

const canary = `p@ss/wörd "quoted" +&<tag>\ 7Zk9`

func mustNew(t testing.TB, secrets ...Secret) *Redactor {
	t.Helper()
	r, err := New(secrets)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return r
}

// throughStream writes text in pieces of the given sizes, over and over.
func throughStream(t testing.TB, r *Redactor, text string, sizes ...int) string {
	t.Helper()
	var out bytes.Buffer
	w := r.Stream(&out)
	for i := 0; len(text) > 0; i++ {
		n := min(max(sizes[i%len(sizes)], 1), len(text))
		if _, err := w.Write([]byte(text[:n])); err != nil {
			t.Fatalf("Write: %v", err)
		}
		text = text[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return out.String()
}

func TestEveryFormOfASecretIsMasked(t *testing.T) {
	r := mustNew(t, Secret{"db", canary})
	jsonForm := func(s string) string { b, _ := json.Marshal(s); return string(b) } // strings always marshal
	b64 := base64.StdEncoding.EncodeToString
	cases := map[string]string{
		"raw":                       canary,
		"base64":                    b64([]byte(canary)),
		"base64 behind one byte":    b64([]byte("x" + canary + "tail")),
		"base64 behind two bytes":   b64([]byte("xy" + canary + "tail")),
		"base64 in the middle":      b64([]byte("user:" + canary + ":end")),
		"base64 url":                base64.RawURLEncoding.EncodeToString([]byte("user:" + canary)),
		"base64 as a form value":    url.QueryEscape(b64([]byte(canary))),
		"query":                     url.QueryEscape(canary),
		"path":                      url.PathEscape(canary),
		"percent, small letters":    lowerPercent(url.QueryEscape(canary)),
		"json":                      jsonForm(canary),
		"json in json":              jsonForm(jsonForm(canary)),
		"json with escaped slashes": strings.ReplaceAll(jsonForm(canary), "/", `\/`),
		"json in ascii":             ascii(jsonForm(canary), "%04x"),
		"go syntax":                 fmt.Sprintf("%q", canary),
		"hex":                       hex.EncodeToString([]byte(canary)),
		"hex, capitals":             strings.ToUpper(hex.EncodeToString([]byte(canary))),
	}
	for name, form := range cases {
		t.Run(name, func(t *testing.T) {
			got := r.String("before " + form + " after")
			if !strings.Contains(got, "[redacted:db]") || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
				t.Errorf("String(%q) = %q", form, got)
			}
			longest := 0
			for i := 0; i+8 <= len(form); i++ {
				if strings.Contains(got, form[i:i+8]) {
					longest = i
				}
			}
			if longest != 0 {
				t.Errorf("8 bytes of the form survived in %q", got)
			}
		})
	}
}

func TestTokensOfKnownShapesAreMasked(t *testing.T) {
	r := mustNew(t)
	run := func(n int) string { return strings.Repeat("a1B2", n/4+1)[:n] }
	tokens := map[string]string{
		"github-token":  "ghp_" + run(36),
		"anthropic-key": "sk-ant-api03-" + run(80) + "-_AA",
		"api-key":       "sk-proj-" + run(60),
		"aws-key-id":    "AKIA" + strings.ToUpper(run(16)),
		"google-key":    "AIza" + run(35),
		"gitlab-token":  "glpat-" + run(20),
		"npm-token":     "npm_" + run(36),
		"slack-token":   "xoxb-" + run(12) + "-" + run(24),
		"google-secret": "GOCSPX-" + run(28), "google-token": "ya29." + run(60), "groq-key": "gsk_" + run(52), "xai-key": "xai-" + run(80),
		"huggingface-token": "hf_" + run(34), "replicate-token": "r8_" + run(37), "perplexity-key": "pplx-" + run(48),
		"stripe-key": "sk_live_" + run(24), "sendgrid-key": "SG." + run(22) + "." + run(43), "digitalocean-token": "dop_v1_" + run(64),
		"pypi-token":  "pypi-AgEIcHlwaS5vcmc" + run(150),
		"jwt":         "eyJ" + run(30) + ".eyJ" + run(90) + "." + run(43),
		"private-key": "-----BEGIN OPENSSH PRIVATE KEY-----\n" + strings.Repeat(run(70)+"\n", 30) + "-----END OPENSSH PRIVATE KEY-----",
	}
	for name, token := range tokens {
		want := "key=[redacted:" + name + "];\n"
		if got := r.String("key=" + token + ";\n"); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got, want := r.String("github_pat_"+run(22)+"_"+run(59)+" x"), "[redacted:github-token] x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOrdinaryTextIsLeftAlone(t *testing.T) {
	r := mustNew(t, Secret{"db", canary})
	for _, text := range []string{
		"", "s", "sk-", "a task-force-of-more-than-twenty-letters met", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
		"eyJhbGciOi is not a token", "XAKIA0123456789ABCDEF in a word", "ghp_short", "-----BEGIN ", "\xff\xfe\x00 bytes",
		"p@ss/wörd \"quoted\" +&<tag>\\ 7Zk8",
		"gsk_short hf_model r8_x xai-org/grok SG.1 ya29. pplx-online GOCSPX- sk_live_ sk_test_mode dop_v1_", "MSG." + strings.Repeat("a1B2", 20),
		"shelf_" + strings.Repeat("a1B2", 20), "the branch maxai-" + strings.Repeat("abcd", 20), "pypi-AgEIcHlwaS5vcmc is how they begin",
		"func hf_" + strings.Repeat("a", 29) + "()",
	} {
		if got := r.String(text); got != text {
			t.Errorf("String(%q) = %q", text, got)
		}
		if got := throughStream(t, r, text, 1); got != text {
			t.Errorf("stream of %q = %q", text, got)
		}
	}
}

func TestOverlappingSecretsLeaveNoRemainder(t *testing.T) {
	r := mustNew(t, Secret{"a", "abcdef-1234"}, Secret{"b", "1234-uvwxyz"}, Secret{"c", "abcd"})
	cases := []struct{ in, want string }{
		{"<abcdef-1234-uvwxyz>", "<[redacted:a]>"},
		{"<abcdabcd>", "<[redacted:c][redacted:c]>"},
		{"<abcdef>", "<[redacted:c]ef>"},
		{"<abcdef-123", "<[redacted:a]"}, // its end was cut off
	}
	for _, c := range cases {
		if got := r.String(c.in); got != c.want {
			t.Errorf("String(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestAKeyBlockThatNeverEndsIsMaskedUpToABound(t *testing.T) {
	r := mustNew(t)
	head := "-----BEGIN RSA PRIVATE KEY-----"
	got := r.String(head + strings.Repeat("A", 3*keyBlock))
	if want := "[redacted:private-key]" + strings.Repeat("A", 2*keyBlock); got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestASecretOfSeveralLinesIsMaskedLineByLine(t *testing.T) {
	line := "MIIEvQIBADANBgkqhkiG9w0B"
	r := mustNew(t, Secret{"key", "first\n" + line + "\nlast"})
	if got := r.String("    " + line + "\n"); got != "    [redacted:key]\n" {
		t.Errorf("got %q", got)
	}
}

// Number 42 of the fault catalogue: a secret that is split across two writes.
func TestASecretSplitAcrossWritesIsMasked(t *testing.T) {
	r := mustNew(t, Secret{"db", canary})
	for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte("k" + canary)), fmt.Sprintf("%q", canary), "ghp_" + strings.Repeat("Z", 40)} {
		text := strings.Repeat("x", 4090) + form + strings.Repeat("y ", 10)
		want := r.String(text)
		if strings.Contains(want, form) {
			t.Fatalf("%q is not masked at all", form)
		}
		for cut := 4080; cut < 4090+len(form)+5; cut++ {
			if got := throughStream(t, r, text, cut, len(text)); got != want {
				t.Fatalf("cut at %d: got %q", cut, got[4080:])
			}
		}
	}
}

func TestAStreamHoldsBackOnlyWhatCouldBeginASecret(t *testing.T) {
	r := mustNew(t, Secret{"db", "hunter2-hunter2"})
	var out bytes.Buffer
	w := r.Stream(&out)
	for _, c := range []struct{ write, want string }{
		{"building\n", "building\n"}, {"hunter", "building\n"}, {"s and gatherers\n", "building\nhunters and gatherers\n"},
	} {
		if _, err := w.Write([]byte(c.write)); err != nil {
			t.Fatalf("Write: %v", err)
		}
		if got := out.String(); got != c.want {
			t.Errorf("after %q: got %q, want %q", c.write, got, c.want)
		}
	}
}

func TestAStreamKeepsLittleInMemory(t *testing.T) {
	r := mustNew(t, Secret{"db", strings.Repeat("k", 1000)})
	s := &stream{dst: &bytes.Buffer{}, scan: scan{r: r}}
	block := bytes.Repeat([]byte("k"), 999)
	block = append(block, 'x')
	for range 2000 {
		if _, err := s.Write(block); err != nil {
			t.Fatalf("Write: %v", err)
		}
	}
	if got := cap(s.held) + cap(s.out); got > 8*chunk {
		t.Errorf("a stream of 2 MB holds %d bytes", got)
	}
}

type failing struct{ after int }

var errDisk = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestAWriteErrorIsKept(t *testing.T) {
	w := mustNew(t).Stream(&failing{after: 1})
	if _, err := w.Write([]byte("one")); err != nil {
		t.Fatalf("first write: %v", err)
	}
	if _, err := w.Write([]byte("two")); !errors.Is(err, errDisk) {
		t.Errorf("second write: got %v, want %v", err, errDisk)
	}
	if err := w.Close(); !errors.Is(err, errDisk) {
		t.Errorf("Close: got %v, want %v", err, errDisk)
	}
	if _, err := mustNew(t).Lines(&failing{}).Write([]byte("x")); !errors.Is(err, errDisk) {
		t.Errorf("Lines: got %v, want %v", err, errDisk)
	}
}

func TestLinesMasksEachLineAtOnce(t *testing.T) {
	var out bytes.Buffer
	n, err := mustNew(t, Secret{"db", "hunter2"}).Lines(&out).Write([]byte("pw=hunter2\n"))
	if err != nil || n != len("pw=hunter2\n") || out.String() != "pw=[redacted:db]\n" {
		t.Errorf("got %d, %v, %q", n, err, out.String())
	}
}

func TestBadSecretsAreRefusedWithoutTellingThem(t *testing.T) {
	for _, s := range []Secret{{"", "long enough"}, {"a b", "long enough"}, {"q\"", "long enough"}, {"ok", "abc"}, {"ok", strings.Repeat("x", MaxSecret+1)}} {
		_, err := New([]Secret{s})
		if err == nil || strings.Contains(fmt.Sprint(err), s.Value) {
			t.Errorf("New(%q): %v", s.Name, err)
		}
	}
}

func TestTheDigestNamesRulesAndNamesButNoValues(t *testing.T) {
	a := mustNew(t, Secret{"x", "value-1"}, Secret{"y", "value-2"}).Digest()
	if b := mustNew(t, Secret{"y", "other-1"}, Secret{"x", "other-2"}).Digest(); a != b {
		t.Errorf("digest depends on values or order: %s, %s", a, b)
	}
	if b := mustNew(t, Secret{"x", "value-1"}).Digest(); a == b {
		t.Error("digest does not depend on the names")
	}
}

func TestRandomStreamsAreMaskedAlikeHoweverTheyAreCut(t *testing.T) {
	r := mustNew(t, Secret{"a", "aab"}.padded(), Secret{"b", "abab-abab"}, Secret{"c", "bbbbbbbb"})
	rng := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "b", "-", "abab", "ghp_", strings.Repeat("a", 30), "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "eyJ", "."}
	for range 3000 {
		var text strings.Builder
		for range rng.IntN(30) {
			text.WriteString(alphabet[rng.IntN(len(alphabet))])
		}
		want := r.String(text.String())
		if got := throughStream(t, r, text.String(), 1+rng.IntN(5), 1+rng.IntN(40), 1); got != want {
			t.Fatalf("%q: got %q, want %q", text.String(), got, want)
		}
	}
}

// padded is s with a value of the least length.
func (s Secret) padded() Secret {
	s.Value += strings.Repeat("a", max(0, MinSecret-len(s.Value)))
	return s
}

func FuzzSplittingNeverChangesTheOutput(f *testing.F) {
	f.Add([]byte("pw=hunter2-hunter2 ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 3, 7)
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"), 1, 30)
	f.Add([]byte("eyJaaaaaaaa.eyJbbbb.cc xoxb-0123456789 AKIAABCDEFGHIJKLMNOP"), 5, 2)
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte("xhunter2-hunter2"))), 4, 4)
	r := mustNew(f, Secret{"db", "hunter2-hunter2"}, Secret{"up", "2-hunter2-up"})
	f.Fuzz(func(t *testing.T, text []byte, a, b int) {
		want := r.String(string(text))
		if got := throughStream(t, r, string(text), a, b); got != want {
			t.Errorf("cut at %d, %d: got %q, want %q", a, b, got, want)
		}
		if strings.Contains(want, "hunter2-hunter2") {
			t.Errorf("secret survived: %q", want)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	r := mustNew(b, Secret{"db", canary}, Secret{"k", "0123456789abcdef"})
	line := []byte(strings.Repeat("ok  \tgithub.com/drawspan/drawspan/host/internal/redact\t0.012s task sk\n", 100))
	w := r.Stream(&bytes.Buffer{})
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		w.(*stream).dst = &bytes.Buffer{}
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWhatACutLeavesAtTheEndIsMasked(t *testing.T) {
	r := mustNew(t, Secret{"db", "hunter2-hunter2"})
	for in, want := range map[string]string{
		"key=hunter2-h": "key=[redacted:db]", "key=hunter2-": "key=[redacted:db]", "key=hunter2": "key=hunter2", "hunter2-h or so": "hunter2-h or so",
	} {
		if got := r.String(in); got != want {
			t.Errorf("String(%q) = %q, want %q", in, got, want)
		}
		if got := throughStream(t, r, in, 3); got != want {
			t.Errorf("stream of %q = %q, want %q", in, got, want)
		}
	}
}

func TestStringsOfJSONAreReadBeforeTheyAreSearched(t *testing.T) {
	r := mustNew(t, Secret{"db", canary})
	once, err := json.Marshal(canary)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{canary, url.PathEscape(canary), string(once), fmt.Sprintf("%q", canary), base64.StdEncoding.EncodeToString([]byte(canary))} {
		nested := map[string]any{"a": []any{1.5, true, nil, text}, "x " + text: "k", "plain": "\u00e9\n"}
		for depth := range 4 { // a log line in a tool's output in an event in a message
			raw, err := json.Marshal(nested)
			if err != nil {
				t.Fatal(err)
			}
			got := r.JSON(raw)
			if !json.Valid(got) || bytes.Contains(got, []byte("7Zk9")) || bytes.Contains(got, []byte("rd%20%22quoted")) || !bytes.Contains(got, []byte("[redacted:db]")) {
				t.Errorf("depth %d of %q: %s", depth, text, got)
			}
			nested = map[string]any{"text": string(raw)}
		}
	}
	for _, text := range []string{"", `{"a":"\u00e9\n"}`, `"`, `"\`, `{"a": "b`, `[1,2]`, "\"\\u00\"", "{\"a\":\"\xff\"}"} {
		if got := string(r.JSON([]byte(text))); got != text {
			t.Errorf("JSON(%q) = %q", text, got)
		}
	}
}

func FuzzJSONStaysJSON(f *testing.F) {
	f.Add([]byte(`{"a":"hunter2-hunter2","b":["\u0068unter2-hunter2",1]}`))
	f.Add([]byte(`"\"hunter2-hunter2\""`))
	r := mustNew(f, Secret{"db", "hunter2-hunter2"})
	f.Fuzz(func(t *testing.T, text []byte) {
		got := r.JSON(text)
		if json.Valid(text) && !json.Valid(got) {
			t.Errorf("JSON(%q) = %q", text, got)
		}
		if bytes.Contains(got, []byte("hunter2-hunter2")) {
			t.Errorf("secret survived: %q", got)
		}
	})
}
