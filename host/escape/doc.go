// Command escape runs the catalogue of ways out of a sandbox: each from inside, checked from outside, and once
// more with the layers left out that stand in its way, to show that the probe works. It measures other
// sandboxes with the same list, and runs ordinary work, which must not be refused. scripts/escape builds and
// runs it. It is not shipped.
package main
