// Package e2e drives the built programs from outside, as a person or another program would: scripts in
// testdata start a daemon on a state directory of their own, work on real repositories through the
// command line and the API, and look at what is left in files, refs and the process table.
//
// It guarantees that what README.md, host/docs and examples tell people to type does what they say. A
// script carries the number of the promise (s05-) or of the attack (f04-) that it holds; the others are
// named for what they prove. Without user namespaces the scripts are skipped, with the reason. As root
// the whole package carries on as an unprivileged user, because the daemon refuses root.
//
// It must not know any room: it imports none. DRAWSPAN_PREFIX names programs that are built already, in
// the layout of scripts/build; without it they are built once.
package e2e
