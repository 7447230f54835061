package egress

// query is what a resolver is asked for a name: rooted, so that no search list is tried.
func query(h Host) string { return h.name + "." }
