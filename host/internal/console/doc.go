// Package console is the embedded, read-first web console. The room is laid out and empty: it is
// furnished by its own issue and links nothing until then.
//
// It may serve files that are embedded in it over net/http. It must not know any other room.
package console
