package store

import (
	"unicode/utf8"

	"github.com/drawspan/drawspan/host/internal/work"
)

// evidence is work.Evidence as it is kept: paths are bytes, JSON strings are not, so a path that is not
// UTF-8 is kept a second time as bytes.
type evidence struct {
	work.Evidence
	Diff    diff     `json:"diff"`
	Refused []entity `json:"refused,omitempty"`
}

type diff struct {
	work.DiffFacts
	Files []file `json:"files"`
}

type file struct {
	work.Change
	Raw    []byte `json:"path_bytes,omitempty"`
	OldRaw []byte `json:"old_path_bytes,omitempty"`
}

type entity struct {
	work.Refused
	Raw []byte `json:"path_bytes,omitempty"`
}

// kept prepares evidence for the record.
func kept(e *work.Evidence) *evidence {
	if e == nil {
		return nil
	}
	k := &evidence{Evidence: *e, Diff: diff{DiffFacts: e.Diff}}
	k.Evidence.Diff, k.Evidence.Refused, k.Diff.DiffFacts.Files = work.DiffFacts{}, nil, nil
	for _, f := range e.Diff.Files {
		k.Diff.Files = append(k.Diff.Files, file{Change: f, Raw: rawPath(f.Path), OldRaw: rawPath(f.OldPath)})
	}
	for _, r := range e.Refused {
		k.Refused = append(k.Refused, entity{Refused: r, Raw: rawPath(r.Path)})
	}
	return k
}

func rawPath(path string) []byte {
	if utf8.ValidString(path) {
		return nil
	}
	return []byte(path)
}

// plain is the evidence as it was given.
func (k *evidence) plain() *work.Evidence {
	e := k.Evidence
	e.Diff, e.Refused = k.Diff.DiffFacts, nil
	for _, f := range k.Diff.Files {
		if f.Raw != nil {
			f.Path = string(f.Raw)
		}
		if f.OldRaw != nil {
			f.OldPath = string(f.OldRaw)
		}
		e.Diff.Files = append(e.Diff.Files, f.Change)
	}
	for _, r := range k.Refused {
		if r.Raw != nil {
			r.Path = string(r.Raw)
		}
		e.Refused = append(e.Refused, r.Refused)
	}
	return &e
}
