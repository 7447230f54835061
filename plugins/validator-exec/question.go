package main

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/drawspan/drawspan/sdk"
)

// The documents' own names, with the version of their shape.
const (
	checkSchema   = "drawspan.check/1"
	verdictSchema = "drawspan.verdict/1"
)

// question is the document that the program reads. Bytes that are not UTF-8 stand beside their place, in base64.
type question struct {
	Schema      string            `json:"schema"`
	Gate        string            `json:"gate"`
	Attempt     string            `json:"attempt"`
	Tree        string            `json:"tree"`
	BaseTree    string            `json:"base_tree,omitempty"`
	Base        string            `json:"base"`
	Head        string            `json:"head,omitempty"`
	TreeSum     string            `json:"tree_sum,omitempty"`
	Deadline    string            `json:"deadline,omitempty"`
	Settings    map[string]string `json:"settings"`
	Changes     []change          `json:"changes"`
	Paths       []scope           `json:"paths"`
	Patch       string            `json:"patch"`
	PatchBase64 []byte            `json:"patch_base64,omitempty"`
	PatchCut    bool              `json:"patch_cut"`
	Facts       *sdk.Facts        `json:"facts,omitempty"`
}

// change is one changed path.
type change struct {
	Path       string `json:"path"`
	PathBase64 []byte `json:"path_base64,omitempty"`
	OldPath    string `json:"old_path,omitempty"`
	OldBase64  []byte `json:"old_path_base64,omitempty"`
	Op         string `json:"op"`
	OldMode    string `json:"old_mode"`
	NewMode    string `json:"new_mode"`
	Size       int64  `json:"size"`
	Binary     bool   `json:"binary"`
	Added      int    `json:"added"`
	Deleted    int    `json:"deleted"`
	Link       string `json:"link,omitempty"`
	LinkBase64 []byte `json:"link_base64,omitempty"`
}

// scope is one set of rules that every change must satisfy.
type scope struct {
	Write  []string `json:"write"`
	Forbid []string `json:"forbid"`
}

// raw is what a text cannot say: nil for UTF-8.
func raw(text string) []byte {
	if utf8.ValidString(text) {
		return nil
	}
	return []byte(text)
}

// ask writes the document.
func ask(c *sdk.Check, with map[string]string) ([]byte, error) {
	q := question{
		Schema: checkSchema, Gate: c.Gate, Attempt: c.AttemptID, Tree: c.Tree, BaseTree: c.BaseTree, Base: c.Base, Head: c.Head,
		TreeSum: c.TreeSum, Settings: with, Changes: []change{}, Paths: []scope{}, PatchCut: c.PatchCut, Facts: c.Facts,
	}
	if !c.Deadline.IsZero() {
		q.Deadline = c.Deadline.UTC().Format(time.RFC3339Nano)
	}
	if with == nil {
		q.Settings = map[string]string{}
	}
	if utf8.Valid(c.Patch) {
		q.Patch = string(c.Patch)
	} else {
		q.PatchBase64 = c.Patch
	}
	for _, p := range c.Paths {
		q.Paths = append(q.Paths, scope{append([]string{}, p.Write...), append([]string{}, p.Forbid...)})
	}
	for _, d := range c.Changes {
		q.Changes = append(q.Changes, change{
			Path: d.Path, PathBase64: raw(d.Path), OldPath: d.OldPath, OldBase64: raw(d.OldPath), Op: d.Op, OldMode: d.OldMode, NewMode: d.NewMode,
			Size: d.Size, Binary: d.Binary, Added: d.Added, Deleted: d.Deleted, Link: d.Link, LinkBase64: raw(d.Link),
		})
	}
	text, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("write check: %w", err)
	}
	return text, nil
}
