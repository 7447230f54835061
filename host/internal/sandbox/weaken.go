package sandbox

// Weaken leaves namespaces out of the launches to come. It is for host/escape, which shows what gets
// through where a layer is missing; the launcher refuses unless it is that room's weakened one. No shipped
// program calls it.
func Weaken(s *Sandbox, namespaces uintptr) { s.without = namespaces }
