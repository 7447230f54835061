package main

// exceptions are what a back-end lets through although the level is one that refuses it, and why: they are
// printed, and stand in the documentation. The native back-end has none; Landlock alone claims no more than
// guarded.
func exceptions(backend string) map[string]string {
	if backend == "bwrap" {
		return map[string]string{
			"56l": "securebits cannot be locked without a capability; there is none to keep either",
			"61c": "bubblewrap cannot bound the number of files of /tmp, only their bytes",
		}
	}
	return nil
}
