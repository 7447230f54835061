// Package arch is the house's own inspector: tests that hold the walls between rooms, the bounds on
// size, the names, the documentation and the habits that CONTRIBUTING.md describes.
//
// deps.txt says which room may import what, one line per package, lowest first. Everything is judged
// on parsed source and on what git tracks, never on a build, so the tests need no network and a few
// seconds. Every check is itself tested against a planted violation.
//
// It must not know what any room does. It imports the standard library only.
package arch
