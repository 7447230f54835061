package worktree

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Names in the directory of an attempt.
const (
	treeName     = "tree"
	indexName    = "index"
	recordName   = "record.json"
	objectsName  = "objects"  // new objects on their way to the mirror
	refusedName  = "refused"  // entries that were not taken over
	withheldName = "withheld" // provisioned and withheld files, taken out before capture
)

const maxRecord = 16 << 20

// record is what must be known of a tree after a restart.
type record struct {
	Version   int      `json:"version"`
	Attempt   string   `json:"attempt"`
	Workspace string   `json:"workspace"`
	Root      string   `json:"root"`
	Mirror    string   `json:"mirror"`
	Start     string   `json:"start"`
	Branch    Ref      `json:"branch,omitzero"`
	Provision []string `json:"provision,omitempty"`
	Links     []string `json:"links,omitempty"`
	Made      []string `json:"made,omitempty"`      // by commands that prepared the tree
	Unsettled bool     `json:"unsettled,omitempty"` // such commands are to come, or were cut off
	Dev       uint64   `json:"dev"`
	Ino       uint64   `json:"ino"`
	Sealed    bool     `json:"sealed,omitempty"`
	Kept      string   `json:"kept,omitempty"`

	Refused []work.Refused `json:"refused,omitempty"`
}

const recordVersion = 1

// apart are the paths that are never part of a result.
func (r record) apart() []string { return slices.Concat(r.Provision, r.Links, r.Made) }

func readRecord(home string) (record, error) {
	var r record
	f, err := os.Open(filepath.Join(home, recordName))
	if err != nil {
		return r, fmt.Errorf("open tree's record: %w", err)
	}
	defer f.Close()
	dec := json.NewDecoder(io.LimitReader(f, maxRecord))
	if err := dec.Decode(&r); err != nil {
		return r, fmt.Errorf("read tree's record: %w", err)
	}
	if r.Version != recordVersion || r.Attempt != filepath.Base(home) || !fullHex(r.Start) {
		return r, fmt.Errorf("read tree's record: it is not one of this version")
	}
	return r, nil
}

func (r record) write(home string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode tree's record: %w", err)
	}
	if err := replaceFile(filepath.Join(home, recordName), data, false); err != nil {
		return fmt.Errorf("write tree's record: %w", err)
	}
	return nil
}

// replaceFile writes a file so that a reader sees the old or the new one; with durable set it is on the
// disk before it returns. A tree's record need not be: without it the tree goes into quarantine.
func replaceFile(name string, data []byte, durable bool) (err error) {
	tmp := name + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp) // the first error counts
		}
	}()
	if _, err = f.Write(data); err == nil && durable {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil || !durable {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
