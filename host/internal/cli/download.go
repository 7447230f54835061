package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
)

// download is a stream of bytes that goes to a file.
type download struct {
	op  api.Op
	req any
	to  string // "-" or "" is standard output
	id  string // what to print with -q
}

// saved says what a download wrote.
type saved struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
}

// save writes a download. An existing file is never replaced, a broken download never left behind.
func (s *shell) save(ctx context.Context, c *client.Client, d download) error {
	toFile := d.to != "" && d.to != "-"
	if s.g.json && !toFile {
		return usage("--json prints one document, so the bytes need a file").Fix("add -o FILE")
	}
	body, err := c.Stream(ctx, d.op, d.req)
	if err != nil {
		return err
	}
	defer body.Close()
	if !toFile {
		return s.pour(body)
	}
	done, err := writeNew(s.absolute(d.to), body)
	if err != nil {
		return err
	}
	return s.show(done, []string{d.id}, func(p *page) {
		p.line("wrote", p.strong(done.File), bytesOf(done.Bytes), p.faint(done.Digest))
	})
}

// writeNew writes a file that must not exist. What could not be written whole is removed again.
func writeNew(path string, from io.Reader) (saved, error) {
	done := saved{File: path}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return done, fault.New(fault.Conflict, "the file exists already").At(path).Fix("name another file")
	}
	if err != nil {
		return done, unwritable(path, err)
	}
	sum := sha256.New()
	done.Bytes, err = io.Copy(io.MultiWriter(f, sum), from)
	if cerr := f.Close(); err == nil && cerr != nil {
		err = unwritable(path, cerr)
	}
	if err != nil {
		return done, errors.Join(err, os.Remove(path))
	}
	done.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return done, nil
}

func unwritable(path string, err error) error {
	return fault.Wrap(err, fault.InvalidRequest, "cannot write %s", filepath.Base(path)).At(path).
		Fix("make the directory %s writable, or name another file", filepath.Dir(path))
}
