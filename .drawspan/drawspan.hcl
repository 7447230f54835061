# The workspace in which changes to this repository are judged. Nothing is dispatched to it, so it has no
# executors. scripts/gates takes this file out of the base, locks the programs that it built beside that copy,
# and says where the repository and the gates are.
version = 1

variable "root" {
  type = string
}

variable "gates" {
  type = string
}

sandbox "judge" {}

# The Go root and the caches of this machine, read-only; no network.
sandbox "go" {
  toolchain "go" {}
}

gates "house" {
  file = var.gates
}

workspace "drawspan" {
  root  = var.root
  base  = "HEAD"
  gates = ["house"]
}
