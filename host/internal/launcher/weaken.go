package launcher

// Layers that RunWithout can leave out, beside the names of the stages of setUp. "netns" and "pidns" must be
// left out by whoever starts the launcher as well.
const (
	layerFDs      = "fds"      // inherited descriptors stay open, here and in the payload
	layerNested   = "nested"   // user namespaces may be made below this one
	layerDumpable = "dumpable" // PID 1 can be traced and read
	layerPIDs     = "pidns"    // the launcher is not PID 1
)

// RunWithout is Run with layers left out and every verification told as held. It is for the program of
// host/escape that shows what gets through where a layer is missing. No shipped program calls it, so the
// linker leaves it out of them; a test there looks.
func RunWithout(layers []string) int {
	off := make(map[string]bool, len(layers))
	for _, l := range layers {
		off[l] = true
	}
	return run(off)
}

// pretend makes the report of a weakened launcher one that the daemon accepts.
func (b *box) pretend() {
	f := &b.report.Features
	f.Namespaces, f.View, f.Network, f.Nested, f.Caps = true, true, true, true, true
	f.NoNewPrivs, f.Seccomp, f.Landlock, f.Scopes, f.Notify = true, true, true, true, true
	f.Limits, f.FDs, f.Git = true, true, true
}
