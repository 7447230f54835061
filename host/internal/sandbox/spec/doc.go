// Package spec is what the daemon and the launcher say to each other about one confined process, and
// the vector that is recorded of it: the specification that goes in, the report, violations and exit
// that come out, the levels and what each of them requires.
//
// It guarantees that a level is never named without the features that it stands for: Judge derives the
// level from features that the launcher saw in force, and lists what is missing.
//
// It must not know how anything is enforced: no system calls, no processes, no plugins, no git. It
// imports the standard library only, because the launcher links it and must stay small.
package spec
