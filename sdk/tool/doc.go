// Package tool runs a program the way executors and validators need it: in its own process group, its
// output streamed in order and in pieces, ended by a ladder of signals when the context ends.
//
// It guarantees: no shell, ever; Run returns only when the program has ended and been reaped; a program
// that prints faster than the host reads waits instead of filling memory; a process that outlives the
// program and holds its pipes does not keep Run; the protocol's own variables do not reach the program.
//
// It must not know: the wire, the host.
package tool
