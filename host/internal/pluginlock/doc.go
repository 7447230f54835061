// Package pluginlock reads and writes drawspan.lock.hcl, which says for every plugin program the digest
// that its bytes must have on each platform, and what the program said of itself when it was locked.
//
// It guarantees that the file is the same for the same content (sorted, no times), that it is replaced
// as a whole or not at all, and that nothing in it is guessed: an unknown key, a second block of one
// plugin or a malformed digest is an error with file and line, and all of them are told at once.
//
// It must not know how plugins are started, nor the SDK.
package pluginlock
