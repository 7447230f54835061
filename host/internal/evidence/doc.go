// Package evidence verifies an exported log offline: the file that `drawspan audit export` and `drawspan
// gate run --record` write, with nothing but the file itself.
//
// It guarantees that every envelope, body, chain and the signed root are recomputed, that a file which holds
// a part of a log is never called whole, and that a file of any content ends in a verdict or an error within
// bounds. Who holds the key that signed is not in the file: the verdict names the key.
//
// It must not know storage, git, plugins or HTTP.
package evidence
