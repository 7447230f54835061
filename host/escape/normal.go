package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// job is ordinary work of a coding agent. Its script runs in the tree and ends with 0.
type job struct {
	name, needs, script string
}

// done is what became of one.
type done struct {
	Job      string           `json:"job"`
	OK       bool             `json:"ok"`
	Skipped  string           `json:"skipped,omitempty"`
	Reported map[string]int64 `json:"reported,omitempty"` // refusals that the job did without
	Output   string           `json:"output,omitempty"`
}

// ordinaryWork runs all jobs with their outputs checked by themselves. Exit 1 when one fails; refusals that
// a job did not mind are told.
func (g *rig) ordinaryWork(out io.Writer, jsonFile string) (int, error) {
	code, ran := 0, 0
	var all []done
	for _, j := range jobs() {
		d := done{Job: j.name}
		if _, err := exec.LookPath(j.needs); err != nil {
			d.Skipped = j.needs + " is not installed"
		} else if err := g.do(j, &d); err != nil {
			return 1, err
		} else {
			ran++
		}
		word := "ok"
		switch {
		case d.Skipped != "":
			word = "skipped: " + d.Skipped
		case !d.OK:
			word, code = "REFUSED: "+clip(d.Output, 400), 1
		case len(d.Reported) > 0:
			word = "ok, and did without " + named(d.Reported)
		}
		if _, err := fmt.Fprintf(out, "%-50s %s\n", j.name, word); err != nil {
			return 1, err
		}
		all = append(all, d)
	}
	if _, err := fmt.Fprintf(out, "%d kinds of work at level %s, back-end %s\n", ran, g.level, g.backend); err != nil {
		return 1, err
	}
	return code, writeDone(jsonFile, all)
}

func writeDone(file string, all []done) (err error) {
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	enc := json.NewEncoder(f)
	for _, d := range all {
		if err := enc.Encode(d); err != nil {
			return err
		}
	}
	return nil
}

// do runs one job with the usual limits.
func (g *rig) do(j job, d *done) error {
	box, err := g.box(nil)
	if err != nil {
		return err
	}
	policy := &work.SandboxPolicy{Name: "normal", Level: g.level, Backend: g.backend, Declared: "scripts/escape", Env: map[string]string{
		"GOFLAGS": "-buildvcs=false", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOCACHE": "/tmp/go-build",
	}}
	if root, err := toolchain("go", "env", "GOROOT"); err == nil && !strings.HasPrefix(root, "/usr/lib") {
		policy.Read = append(policy.Read, root)
		policy.Env["PATH"] = root + "/bin:/usr/local/bin:/usr/bin:/bin"
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	d.Reported = make(map[string]int64)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	p, err := box.Launch(ctx, sandbox.Request{
		Policy: policy, Tree: sandbox.Tree{Path: g.world.target.Tree, Mode: sandbox.TreeWritable}, Git: g.world.git,
		Path: "/bin/sh", Argv: []string{"sh", "-euc", j.script}, Stdout: write, Stderr: write,
		OnViolation: func(v sandbox.Violation) { d.Reported[v.Name] += v.Count },
	})
	write.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.SignalAll(unix.SIGKILL) }) // it may just have ended
	defer stop()
	text, err := io.ReadAll(read)
	if err != nil {
		return err
	}
	end := p.Exit()
	d.OK = end.Code == 0 && end.Signal == 0 && end.Lost == ""
	if !d.OK {
		d.Output = fmt.Sprintf("exit %d %v %s %s", end.Code, end.Signal, end.Lost, text[max(0, len(text)-1500):])
	}
	now, err := g.world.look()
	if err != nil {
		return err
	}
	return g.world.restore(now)
}

func toolchain(argv ...string) (string, error) {
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(strings.TrimSpace(string(out)))
}
