// Package catalogue holds the ways out of a sandbox that have been thought of: for each its number, the layer
// that must refuse it, the lowest level that claims to, and the code that tries it from inside. The numbers
// up to 70 are those of the design's list; numbers missing there are missing here.
//
// A probe tells what happened to it and never judges: what it read is compared, and what it may have changed
// is looked for, outside.
package catalogue
