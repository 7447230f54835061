// Package egress is the only way from a sandbox to the network: a proxy on a listener that lies inside
// one launch's network namespace, which lets through the hosts that the operator's HCL names.
//
// Guarantees: a host is matched in one strict grammar and exactly what was matched is what is resolved;
// it is resolved once per request, every answer is vetted, and the vetted address itself is dialled, so
// a second answer can change nothing; this machine, link-local networks and cloud metadata are never
// reached, private networks only where granted; every request, allowed or refused, is told to
// OnRequest with one reason, up to a bound. Bytes of a tunnel are carried, not read. Only answers to what
// is refused are ever held back.
//
// Known limit: an allowed host that accepts uploads is a way out for what the sandbox can read.
//
// It must not know plugins, runs or what is being said over a connection.
package egress
