// Package provision prepares a tree with what the operator declared for it: it runs the commands, and
// says what every launch over the tree then sees besides (linked directories, caches, ports).
//
// It guarantees that a tree is prepared whole or not at all, that each command is bounded in time and
// output and is dead afterwards, that what it wrote is there for the record whatever became of it, and
// that a cache is written only where nobody's unjudged work can reach it.
//
// It must not know how trees are made, how a sandbox works, or who works in the tree: it declares the
// small interfaces it needs.
package provision
