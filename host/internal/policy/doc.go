// Package policy turns a checked configuration into the work.Policy that the daemon obeys, and says what
// a new configuration changes.
//
// Compile resolves what only this machine knows: where the Go toolchain and its caches are. The result
// has no setter and shares nothing with its input; a reload makes a new one. Diff names every change and
// whether it widens what may be done, for config.plan and config.reload.
//
// It must not know: the store, plugins, processes, the environment (the caller hands it in).
package policy
