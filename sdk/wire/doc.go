// Package wire turns the sdk's values into the v1alpha protocol and back, for both ends: Server is what
// a plugin serves, Client is what the host calls. It also holds what both have to agree on before the
// first call: the line of go-plugin's handshake, the socket directory and the session secret.
//
// It guarantees to the host that a stream delivered by Client.Execute or Client.Check kept the
// protocol: gapless numbers, known event types, bounded pieces, exactly one result, and a plugin that
// was alive. It guarantees to a plugin that only who knows the session secret can call it.
//
// The host's face of it carries no promise of stability to third parties; plugin authors use
// sdk/plugin. It must not know: the host, processes, sandboxes.
package wire
