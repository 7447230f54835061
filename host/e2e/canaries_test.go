package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// The canaries: what a script hands in as credentials. Each has a part that no encoder changes, which is
// looked for beside its encodings.
const (
	canaryVariable = `Zk7q/+"\&<ü>'%Vx8Kp2Qw9Rt3Ns6Jd4`
	canaryFile     = "first-line-Hb5Gf7Yt2Lm9Xc4Dz\nsecond-line-Pq8Wz3Ek6Uv1Ta5Ro\nlast"
	canaryGate     = "Gt4Yh8Jk2Lp6Mn0Bv5Cx"
)

// window is how many bytes of a canary that survive in a row are a leak.
const window = 10

// leaks are all pieces, one window long, of all forms of the canaries.
var leaks = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	put := func(form, text string) {
		for i := 0; i+window <= len(text); i++ {
			all[text[i:i+window]] = form
		}
	}
	parts := []string{"Vx8Kp2Qw9Rt3Ns6Jd4", "first-line-Hb5Gf7Yt2Lm9Xc4Dz", "second-line-Pq8Wz3Ek6Uv1Ta5Ro", canaryGate}
	for _, part := range parts {
		put("as it is", part)
		h := hex.EncodeToString([]byte(part))
		put("hexadecimal", h)
		put("hexadecimal", strings.ToUpper(h))
		var percent strings.Builder
		for _, c := range []byte(part) {
			fmt.Fprintf(&percent, "%%%02x", c)
		}
		put("percent-encoded", percent.String())
	}
	for _, whole := range append(parts, canaryVariable, canaryFile) {
		for pad := range 3 {
			for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
				text := enc.EncodeToString(append(make([]byte, pad), whole...))
				put("base64", text[(pad*8+5)/6:(pad+len(whole))*8/6])
			}
		}
	}
	return all
})

// leak finds the first piece of a canary in bytes.
func leak(b []byte) (string, bool) {
	pieces := leaks()
	for i := 0; i+window <= len(b); i++ {
		if form, ok := pieces[string(b[i:i+window])]; ok {
			return fmt.Sprintf("%s, at %d: %q", form, i, b[max(0, i-80):min(len(b), i+80)]), true
		}
	}
	return "", false
}

// cmdCanaries is: canaries plant FILE, which sets CANARY_API and CANARY_GATE and writes FILE; or canaries
// in [-trees] PATH..., which wants no canary in the files, directories, standard streams and the daemon's
// log; with "!" it wants one in each. -trees leaves out the trees of attempts.
func cmdCanaries(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 2 && args[0] == "plant" {
		ts.Setenv("CANARY_API", canaryVariable)
		ts.Setenv("CANARY_GATE", canaryGate)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(canaryFile+"\n"), 0o600))
		return
	}
	if len(args) < 2 || args[0] != "in" {
		ts.Fatalf("usage: canaries plant FILE | canaries in [-trees] PATH|stdout|stderr|log...")
	}
	skip := ""
	for _, name := range args[1:] {
		if name == "-trees" {
			skip = "trees"
			continue
		}
		found := canaryIn(ts, name, skip)
		if neg && len(found) == 0 {
			ts.Fatalf("%s holds no canary", name)
		}
		if !neg && len(found) > 0 {
			ts.Fatalf("%s leaks:\n%s", name, strings.Join(found, "\n"))
		}
	}
}

// canaryIn lists the leaks of a file, of all files below a directory and their names, or of a stream.
func canaryIn(ts *testscript.TestScript, name, skip string) []string {
	var found []string
	look := func(what string, b []byte) {
		if where, ok := leak(b); ok {
			found = append(found, what+": "+where)
		}
	}
	switch name {
	case "stdout", "stderr":
		look(name, []byte(ts.ReadFile(name)))
		return found
	case "log":
		look(name, []byte(stageOf(ts).daemon.err.String()))
		return found
	}
	err := filepath.WalkDir(ts.MkAbs(name), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it came and went
		}
		if d.IsDir() && skip != "" && d.Name() == skip {
			return filepath.SkipDir
		}
		look("the name of "+path, []byte(d.Name()))
		if d.Type().IsRegular() {
			if b, err := os.ReadFile(path); err == nil {
				look(path, b)
			}
		}
		return nil
	})
	ts.Check(err)
	return found
}
