// Package sdktest holds the contract suites that every executor and every validator must pass, and the
// harness they run in: the plugin's code in the test's own process, behind the real protocol.
//
// A plugin's test is one call:
//
//	func TestContract(t *testing.T) {
//		sdktest.RunExecutor(t, sdktest.ExecutorSuite{Manifest: manifest, New: func() any { return hello{} }})
//	}
//
// It guarantees that what passes here is not refused by the host's own checks of the stream. It must
// not know: the host, processes, sandboxes.
package sdktest
