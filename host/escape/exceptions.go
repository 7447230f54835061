package main

import "github.com/drawspan/drawspan/host/escape/catalogue"

// cannot says why a back-end has not what a probe needs, or "". Where it is asked for, the launch is refused.
func cannot(backend string, p *catalogue.Probe) string {
	switch {
	case backend == "landlock" && p.Under == catalogue.Proxied:
		return "not run under landlock: it has no proxy, and a policy that asks for one is refused"
	case backend == "landlock" && p.Under == catalogue.Modelled:
		return "not run under landlock: it has no network of its own, and a launch with a gateway is refused"
	}
	return ""
}

// exceptions are what a back-end does not claim although the level does, and why: they are printed, and stand
// in the documentation. The native back-end has none; Landlock alone claims no more than
// guarded.
func exceptions(backend string) map[string]string {
	if backend == "bwrap" {
		return map[string]string{
			"61c": "not claimed under bwrap: bubblewrap's tmpfs has no bound of the number of files, only of their bytes",
		}
	}
	return nil
}
