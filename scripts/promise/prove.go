package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// outcome is what a test did here.
type outcome struct {
	action string // pass, fail or skip, as go test says it
	reason string // why it was skipped
}

// batch is one run of go test.
type batch struct {
	module string
	dirs   []string
	tests  []string
	script []string
}

// batches groups the proofs: tests in Go by module, scripts by the test that plays them.
func batches(found []proof) []batch {
	var list []batch
	put := func(module, dir, test, script string) {
		i := slices.IndexFunc(list, func(b batch) bool {
			if b.module != module || (len(b.script) > 0) != (script != "") {
				return false
			}
			return script == "" || b.dirs[0] == dir && b.tests[0] == test
		})
		if i < 0 {
			list = append(list, batch{module: module})
			i = len(list) - 1
		}
		b := &list[i]
		for _, add := range []struct {
			to    *[]string
			value string
		}{{&b.dirs, dir}, {&b.tests, test}, {&b.script, script}} {
			if add.value != "" && !slices.Contains(*add.to, add.value) {
				*add.to = append(*add.to, add.value)
			}
		}
	}
	for _, p := range found {
		put(p.module, p.dir, p.test, p.script)
	}
	return list
}

// pattern is the -run argument of the batch.
func (b batch) pattern() string {
	anyOf := func(names []string) string {
		var quoted []string
		for _, n := range names {
			quoted = append(quoted, regexp.QuoteMeta(n))
		}
		return "^(" + strings.Join(quoted, "|") + ")$"
	}
	if len(b.script) > 0 {
		return anyOf(b.tests) + "/" + anyOf(b.script)
	}
	return anyOf(b.tests)
}

// prove runs the proofs and returns what each did, by its name. A test that go test never mentions is
// not in the result.
func prove(root string, found []proof, progress io.Writer) (map[string]outcome, error) {
	outcomes := map[string]outcome{}
	for _, b := range batches(found) {
		if err := b.run(root, outcomes, progress); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

func (b batch) run(root string, outcomes map[string]outcome, progress io.Writer) error {
	args := []string{"test", "-json", "-count=1", "-timeout=15m", "-run", b.pattern()}
	for _, d := range b.dirs {
		args = append(args, "./"+d)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join(root, filepath.FromSlash(b.module))
	cmd.Stderr = progress
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("run go test: %w", err)
	}
	modulePath, err := modulePath(cmd.Dir)
	if err != nil {
		return err
	}
	r := reader{module: b.module, path: modulePath, outcomes: outcomes, output: map[string]string{}, subs: map[string]*tally{}}
	return r.read(out, progress)
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)

func modulePath(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	m := moduleLine.FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%s/go.mod names no module", dir)
	}
	return string(m[1]), nil
}

// event is one line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// tally counts what the parts of one test did.
type tally struct {
	passed, skipped int
	reason          string
}

// reader turns the stream of go test into outcomes.
type reader struct {
	module, path string
	outcomes     map[string]outcome
	output       map[string]string
	subs         map[string]*tally
}

func (r *reader) read(out []byte, progress io.Writer) error {
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(progress, lines.Text()) // not from go test: show it as it is
			continue
		}
		dir := strings.TrimPrefix(strings.TrimPrefix(e.Package, r.path), "/")
		name := path.Join(r.module, dir) + "." + e.Test
		switch e.Action {
		case "output", "build-output":
			r.output[name] += e.Output
		case "pass", "fail", "skip":
			r.end(name, e)
			if e.Action == "fail" {
				fmt.Fprint(progress, r.output[name])
			}
			delete(r.output, name)
		}
	}
	return lines.Err()
}

// end records a test's end. A test of which every part was skipped was skipped itself.
func (r *reader) end(name string, e event) {
	if e.Test == "" {
		return
	}
	o := outcome{action: e.Action}
	if e.Action == "skip" {
		o.reason = reason(r.output[name])
	}
	if t := r.subs[name]; t != nil && e.Action == "pass" && t.passed == 0 && t.skipped > 0 {
		o = outcome{action: "skip", reason: t.reason}
	}
	r.outcomes[name] = o
	i := strings.LastIndex(e.Test, "/")
	if i < 0 {
		return
	}
	parent := strings.TrimSuffix(name, e.Test[i:])
	t := r.subs[parent]
	if t == nil {
		t = &tally{}
		r.subs[parent] = t
	}
	switch o.action {
	case "pass":
		t.passed++
	case "skip":
		t.skipped++
		t.reason = o.reason
	}
}

var skipLine = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.+)$`)

// reason is what a test said when it skipped itself.
func reason(output string) string {
	if all := skipLine.FindAllStringSubmatch(output, -1); len(all) > 0 {
		return all[len(all)-1][1]
	}
	return "no reason given"
}
