// Command bench measures what drawspan promises of its speed: each figure beside its floor, which is
// the same work done by the barest means on the same machine in the same run.
//
// It guarantees that floor and figure take turns, so that both see the same noise; that what is
// compared is the median; that nothing in a measured path polls; and that a figure which the machine
// cannot give is said to be not measurable, never to be held. It is started by scripts/bench, which
// builds the programs it drives.
//
// It is never shipped, and no room knows it.
package main
