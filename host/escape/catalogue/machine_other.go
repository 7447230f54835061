//go:build !amd64

package catalogue

// foreign are the processor's other ways into the kernel: this one has none.
func foreign() []Probe { return nil }
