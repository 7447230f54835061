// Package foreign judges changes to repositories that others wrote: modules from the Go module proxy, committed into
// fresh git repositories, each with a clean change and with bad ones. Its tests are named TestForeign... and skip where
// $DRAWSPAN_FOREIGN does not ask for them; `scripts/foreign` builds the programs and runs them.
//
// It guarantees that nothing of a foreign module is written into the tree, and that the key which one of the changes
// leaks is made at run time. It must not know anything of drawspan but its programs.
package foreign
