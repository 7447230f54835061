// Package permission decides what an executor asks leave for, by the operator's ordered rules: the first
// one that applies decides, and where none does a person is asked.
//
// It guarantees that a rule which allows applies only where everything that was asked for is seen to be
// covered: every path lies in the tree by its text alone and matches, every simple command is plain words
// and matches, and nothing in the command line could make it another one. A rule that denies or asks
// applies where any part is covered; where it cannot be told whether a part is, a person is asked. What
// cannot be read is never allowed by a pattern.
//
// It is a fence in front of the sandbox and not the sandbox: it judges what the executor says that it is
// going to do. It must not know files, links, processes, the clock or the record.
package permission
