// Package real tries the executor plugins with the real agent programs, offline, against a scripted model
// server: its tests are named TestReal... and skip where $DRAWSPAN_AGENTS does not say where the programs
// are. `scripts/agents test` installs the programs and runs them.
//
// Two layers are tried. In a room of its own (namespaces for users, mounts, processes and the network, with
// nothing but loopback and a name server that writes down what it is asked) the plugin's program is spoken
// to as the daemon speaks to it; that is where look-ups, left processes and the stream of events are seen.
// Over the daemon the same is tried as an operator has it: configuration, sandbox, gateway, gates.
//
// It guarantees that nothing of a vendor is written into the tree: what is committed of a run is the
// project's own events. It must not know how any agent talks.
package real
