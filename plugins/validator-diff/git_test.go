package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

// files are contents by path; one that begins with "link:" or "exec:" is made so.
type files map[string]string

// changed is the check of a change from some files to others, as git sees it.
func changed(t *testing.T, before, after files) sdk.Check {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, errs.String())
		}
		return out
	}
	git("init", "-q")
	before.write(t, dir)
	git("add", "-A", "-f")
	git("commit", "-q", "--allow-empty", "-m", "before")
	for path := range before {
		if err := os.Remove(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	after.write(t, dir)
	git("add", "-A", "-f")
	args := []string{"diff", "--cached", "--no-renames", "--full-index", "--src-prefix=a/", "--dst-prefix=b/"}
	return sdk.Check{
		Gate:    "g",
		Changes: changes(t, after, git(append(args, "--raw", "--numstat", "-z")...)),
		Patch:   git(append(args, "--patch", "--unified=3", "--binary")...),
	}
}

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	for path, content := range f {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "link:"); ok {
			err = os.Symlink(target, full)
		} else if script, ok := strings.CutPrefix(content, "exec:"); ok {
			err = os.WriteFile(full, []byte(script), 0o755)
		} else {
			err = os.WriteFile(full, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// changes reads what git lists.
func changes(t *testing.T, after files, list []byte) []sdk.Change {
	t.Helper()
	var all []sdk.Change
	at := map[string]int{}
	fields := strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00")
	for i := 0; i < len(fields) && fields[i] != ""; i++ {
		if parts := strings.Fields(strings.TrimPrefix(fields[i], ":")); fields[i][0] == ':' {
			i++
			op := map[string]string{"A": "add", "M": "modify", "D": "delete", "T": "type"}[parts[4]]
			if op == "modify" && parts[2] == parts[3] {
				op = "mode"
			}
			at[fields[i]] = len(all)
			c := sdk.Change{Path: fields[i], Op: op, OldMode: parts[0], NewMode: parts[1], Size: int64(len(after[fields[i]]))}
			c.Link, _ = strings.CutPrefix(after[fields[i]], "link:")
			all = append(all, c)
			continue
		}
		parts := strings.SplitN(fields[i], "\t", 3)
		c := &all[at[parts[2]]]
		if c.Binary = parts[0] == "-"; c.Binary {
			continue
		}
		added, errAdded := strconv.Atoi(parts[0])
		deleted, errDeleted := strconv.Atoi(parts[1])
		if errAdded != nil || errDeleted != nil {
			t.Fatalf("git counts %q", fields[i])
		}
		c.Added, c.Deleted = added, deleted
	}
	return all
}

// judged is the verdict of the plugin, over the wire.
func judged(t *testing.T, config string, c sdk.Check) sdk.Verdict {
	t.Helper()
	return sdktest.Judge(t, manifest, diff{}, config, c)
}

// told are the findings as "rule path:line", without line 0.
func told(v sdk.Verdict) []string {
	var all []string
	for _, f := range v.Findings {
		text := strings.TrimPrefix(f.Rule, "diff/") + " " + f.Path
		if f.Line > 0 {
			text += ":" + strconv.Itoa(f.Line)
		}
		all = append(all, strings.TrimSpace(text))
	}
	return all
}
