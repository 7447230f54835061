// Package plugin makes a program a drawspan plugin with one call in its main function:
//
//	func main() {
//		plugin.Serve(sdk.Manifest{Name: "hello", Version: "0.1.0"}, hello{})
//	}
//
// The program is installed as drawspan-executor-NAME or drawspan-validator-NAME and started by the
// drawspan daemon inside a sandbox.
//
// It guarantees: what the program prints never disturbs the handshake (standard output is joined to
// standard error); log/slog and log write lines that the daemon understands; the session secret is read
// and removed, and the socket taken out of sight, before any code of the author runs on behalf of the
// host; other processes of the same user cannot read this one's memory; a panic leaves a crash report.
//
// It must not know: the host, sandboxes.
package plugin
