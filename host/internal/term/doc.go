// Package term makes text fit for a terminal: it strips what could command one, measures and cuts to
// its width, colours within its means, and draws tables, trees and a live view that redraws in place.
//
// It guarantees that whatever Line, Text and Cleaner let through is valid UTF-8 without control, escape,
// bidirectional or invisible format characters, so bytes from repositories, executors and people cannot
// move the cursor, rewrite the screen or reorder what is read; and that meaning never hangs on colour
// alone, since every mark comes with its word.
//
// It must not know the daemon, the API, environment variables (a lookup function is passed in) or what
// the text is about.
package term
