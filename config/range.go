package config

import (
	"fmt"
	"strings"
)

// Range is a part of a file. The end is exclusive.
type Range struct {
	Filename string `json:"filename"`
	Start    Pos    `json:"start"`
	End      Pos    `json:"end"`
}

// Pos is a place in a file. Line and Column count from 1, columns in characters; Byte counts from 0.
type Pos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// String is "file:line", or "" for the zero Range.
func (r Range) String() string {
	if r.Filename == "" {
		return ""
	}
	if r.Start.Line == 0 {
		return r.Filename
	}
	return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
}

// Origin is where a block and each of its keys were written. It is embedded in every block.
type Origin struct {
	block  string // `workspace "api"`
	at     Range
	keys   map[string]Range // "root", "limits.wall", "executors[0]"
	masked map[string]any   // JSON values to show instead of sensitive ones, by key
}

// Block is the block's header as an operator reads it: workspace "api".
func (o Origin) Block() string { return o.block }

// Declared is "file:line" of the block; "" for a block that is there by default.
func (o Origin) Declared() string { return o.at.String() }

// At is the place of the named key's value, "paths.write" or "paths.write[1]"; the whole list where its
// elements are not written out, and the block's header where the key was not written.
func (o Origin) At(key string) Range {
	if r, ok := o.keys[key]; ok {
		return r
	}
	if list, _, element := strings.Cut(key, "["); element {
		return o.At(list)
	}
	return o.at
}

// Has reports whether the key was written in the files; otherwise its value is the default.
func (o Origin) Has(key string) bool {
	_, ok := o.keys[key]
	return ok
}

// Hidden reports whether the key's value comes from a sensitive variable and must not be shown.
func (o Origin) Hidden(key string) bool {
	_, ok := o.masked[key]
	return ok
}
