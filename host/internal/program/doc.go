// Package program finds the agent programs of the operator's machine that executors drive, says what
// exactly was found, and decides what a sandbox has to show of it.
//
// It guarantees: a program is found as the operator's own shell would find it, and every directory, link
// and file on the way to it belongs to root or to the daemon's user and cannot be written by everybody;
// nothing below a workspace root, in the state directory or around the home directory is ever accepted;
// the digest is that of the bytes of the file that was opened, with a second one over all that is shown
// beside it; what was hashed once is hashed again only when the kernel says that it changed; sizes and
// counts are bounded; it starts no process and writes nothing.
//
// It must not know plugins, sandboxes, runs or the configuration.
package program
