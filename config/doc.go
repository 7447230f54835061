// Package config is the configuration language: it reads an operator's HCL files into a Config in which
// every default is filled in, or says in one pass everything that is wrong with them.
//
// The files are the only allowlist of the daemon, so reading is strict. An unknown or duplicate key, a
// name that nothing declares, a path that leaves its root, a limit that nothing judges and a key that
// this version does not enforce yet are errors, never ignored. Every Diagnostic has a stable code, the
// exact place, the line and a hint. Expressions are pure: no file, no process, no network.
//
// One table (see schema.go) says which keys exist; the decoder, the defaults, the reference in
// host/docs/config.md and the effective configuration are all made from it.
//
//	cfg, diags := config.Load(config.Source{Paths: []string{"drawspan.hcl"}, Home: home, Dir: cwd})
//	if diags.HasErrors() {
//		diags.Text(os.Stderr, 80, false)
//	}
//
// It must not know: any room of the host, plugins' programs, git, the process environment (the caller
// hands in what may be read). It looks at the file system only to resolve the paths that the files name.
package config
