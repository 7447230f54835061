// Package daemon wires the rooms into one process: configuration to policy, record, trees, sandbox,
// plugins, dispatcher, API; their start, recovery and shutdown order; reload; doctor.
//
// It guarantees one daemon per state directory, that recovery is recorded before a listener opens, that
// a reload is all or nothing, and that after Run has returned nothing that it started is alive. It is the
// only room that sees all others, and holds no rule of its own: it must not know HTTP bodies or SQL.
package daemon
