package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/drawspan/drawspan/sdk"
)

func TestALongLineHidesNothing(t *testing.T) {
	for _, before := range []int{0, 100, chunk - overlap - 20, chunk - overlap, chunk - 60, chunk - 20, chunk, chunk + 5, 3*chunk - 20} {
		line := strings.Repeat("a; ", before/3) + " " + githubKey() + " " + strings.Repeat("b; ", chunk)
		v := judged(t, `{}`, fed(change{"min.js", 7, []string{"x", line}}))
		if got := places(v); len(got) != 1 || got[0] != "github-pat min.js:8-8" {
			t.Errorf("after %d bytes: %q", before, got)
		}
	}
}

func TestAKeyAcrossTwoChunksIsFoundOnce(t *testing.T) {
	key := strings.Split(pemKey(), "\n")
	for _, before := range []int{1, chunk/10 - 5, chunk / 10, chunk/10 + 1, (chunk - overlap) / 10, (chunk-overlap)/10 - 4} {
		lines := append(strings.Split(strings.Repeat("123456789\n", before), "\n"), key...)
		lines = append(lines, strings.Split(strings.Repeat("123456789\n", chunk/10), "\n")...)
		v := judged(t, `{}`, fed(change{"f", 2, lines}))
		want := fmt.Sprintf("private-key f:%d-%d", before+3, before+2+len(key))
		if got := places(v); len(got) != 1 || got[0] != want {
			t.Errorf("after %d lines: %q, want %q", before, got, want)
		}
	}
}

func TestNoKeyIsReadAcrossLinesThatAreNoNeighbours(t *testing.T) {
	c := fed(change{"f", 2, []string{"api_key ="}})
	c.Patch = append(c.Patch, []byte("@@ -90,1 +91,2 @@\n before\n+ \""+plainKey()+"\"\n")...)
	c.Changes[0].Added = 2
	if v := judged(t, `{}`, c); v.Outcome != sdk.Pass {
		t.Errorf("verdict = %q", places(v))
	}
}

func TestMoreSecretsThanCanBeToldAreCutAndNotCostly(t *testing.T) {
	lines := make([]string, 60_000) // 3 MiB, gitleaks alone would take hours
	for i := range lines {
		lines[i] = fmt.Sprintf(`api_key_%d = "%s%06x"`, i, plainKey()[:26], i)
	}
	v := judged(t, `{}`, fed(change{"f", 2, lines}))
	if v.Outcome != sdk.Fail || len(v.Findings) != sdk.MaxFindings || v.Findings[0].Line > 100 {
		t.Errorf("%s with %d findings, the first at %d", v.Outcome, len(v.Findings), v.Findings[0].Line)
	}
}

// F10: who adds a thousand times what is allowed does not get by with what is not.
func TestF10_WhatIsAllowedDoesNotHideWhatFollowsIt(t *testing.T) {
	known := judged(t, `{}`, fed(change{"f", 2, []string{githubKey()}})).Findings[0].Fingerprint
	lines := append(slices.Repeat([]string{githubKey()}, 4*sdk.MaxFindings), awsKey())
	v := judged(t, fmt.Sprintf(`{"allow":[%q]}`, known), fed(change{"f", 2, lines}, change{"g", 2, []string{githubKey()}}))
	if want := []string{"aws-access-token f:4002-4002", "github-pat g:2-2"}; v.Outcome != sdk.Fail || !slices.Equal(places(v), want) || v.Metrics["allowed"] != 4*sdk.MaxFindings {
		t.Errorf("%s with %q, want %q: %v", v.Outcome, places(v), want, v.Metrics)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("f.go", "x\n"+githubKey()+"\n", "\x00"+awsKey(), true)
	f.Add("package-lock.json", pemKey(), "a\xff\xfe", false)
	f.Add(`ä"`, "aGVsbG8gd29ybGQ=%41%42\\u0041", "\xff\xfea\x00", true)
	f.Fuzz(func(t *testing.T, name, lines, raw string, cut bool) {
		c := fed(change{name, 3, strings.Split(lines, "\n")})
		c.PatchCut = cut
		d, err := builtin()
		if err != nil {
			t.Fatal(err)
		}
		texts := []text{newText("raw", decode([]byte(raw)), nil)}
		if gathered, err := gather(&c, settings{MaxFileBytes: new(float64)}); err == nil {
			texts = append(texts, gathered...)
		}
		for _, x := range texts {
			last := x.line(len(x.raw) - 1)
			var leaks []leak
			found := finder{prints: map[leak]string{}}
			take := func(l leak) bool { leaks = append(leaks, l); return found.take(l) }
			if err := d.all(t.Context(), []text{x}, take); err != nil {
				t.Fatal(err)
			}
			for i, l := range leaks {
				if l.line < 0 || l.line > l.end || l.end > last {
					t.Errorf("%q: lines %d to %d of %d", x.raw, l.line, l.end, last)
				}
				if said := found.findings[i].Path + found.findings[i].Message; len(l.secret) > 8 && utf8.ValidString(l.secret) && strings.Contains(said, l.secret) {
					t.Errorf("%q is told: %q", l.secret, said)
				}
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	line := strings.Repeat("the quick brown fox = jumps(over, the, lazy) token dog; ", 2)
	c := fed(change{"f.go", 2, strings.Split(strings.Repeat(line+"\n", 1<<20/len(line)), "\n")})
	c.Config = []byte(`{}`)
	b.SetBytes(int64(len(c.Patch)))
	for b.Loop() {
		if _, err := (&secrets{}).Check(b.Context(), &c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := load(settings{}); err != nil {
			b.Fatal(err)
		}
	}
}
