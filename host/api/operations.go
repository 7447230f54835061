package api

import (
	"slices"
	"strings"
)

// Op is the name of an operation. Names are stable within version 1.
type Op string

// Surface is a set of the ways an operation can be reached.
type Surface uint8

// The surfaces: the daemon's own socket and port, the relay, and MCP tools.
const (
	Local Surface = 1 << iota
	Relay
	MCP
)

// Has reports whether s contains all of want.
func (s Surface) Has(want Surface) bool { return s&want == want }

// Class says what an operation does to the record or the machine. The receiving side decides on it who
// may call.
type Class string

// The classes. Read changes nothing and is a GET; the others are POSTs. Decide speaks for a person.
const (
	Read   Class = "read"
	Write  Class = "write"
	Decide Class = "decide"
	Admin  Class = "admin"
)

// Stream says what the answer of an operation is.
type Stream string

// One JSON document, plain bytes (a Blob), or server-sent events (an Events).
const (
	StreamNone  Stream = ""
	StreamBytes Stream = "bytes"
	StreamSSE   Stream = "sse"
)

// Prefix is what every path of the table begins with on the wire.
const Prefix = "/api/v1"

// Operation is one row of the table. Request and Response are zero values of the shapes; they are nil
// for operations that have no local route.
//
// A segment of Path in braces is the request field of that JSON name. Of the other fields, those of a
// read travel in the query and those of the rest in a JSON body. A field without omitempty is required.
type Operation struct {
	Name     Op
	Surfaces Surface
	Scope    string // the permission that names it, at the relay
	Class    Class
	Method   string
	Path     string // under Prefix
	Status   int    // of success
	Request  any
	Response any
	Stream   Stream
	MaxBody  int64 // bytes; 0 where there is no body
	Doc      string
}

// Operations is the table, in a fixed order. The caller owns the slice.
func Operations() []Operation { return slices.Clone(table) }

// Lookup is the row of an operation.
func Lookup(op Op) (Operation, bool) {
	i := slices.IndexFunc(table, func(o Operation) bool { return o.Name == op })
	if i < 0 {
		return Operation{}, false
	}
	return table[i], true
}

// HeaderClient is the header in which a caller on the socket declares its name. "cli" is the operator's
// own command line.
const HeaderClient = "Drawspan-Client"

// In says where a request field travels: "path", "query" or "body".
func (o Operation) In(field string) string {
	switch {
	case strings.Contains(o.Path+"/", "/{"+field+"}/"):
		return "path"
	case o.Class == Read:
		return "query"
	}
	return "body"
}
