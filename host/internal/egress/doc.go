// Package egress will be the only way from a sandbox to the network: a proxy that accepts connections
// inside an attempt's network namespace and lets through the hosts that the operator's HCL names. The
// room is empty until its issue; until then no sandbox has a network at all.
//
// It will know which attempt is calling without asking it, resolve names itself, refuse addresses of
// the machine and of its private networks, and record every refusal.
//
// It must not know plugins, runs or what is being said over a connection.
package egress
