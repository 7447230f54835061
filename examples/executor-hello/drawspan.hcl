# An executor that you wrote yourself: its program is in a directory of your own, and its digest in
# drawspan.lock.hcl.

version = 1

plugin "executor-hello" {
  dir = "~/plugins"
}

# It needs no tools, so it gets none.
sandbox "bare" {}

executor "changelog" {
  plugin  = "hello"
  sandbox = "bare"
  config {
    file = "CHANGES.md"
  }
}

workspace "notes" {
  root      = "~/src/notes"
  base      = "main"
  executors = ["changelog"]

  paths {
    write = ["CHANGES.md"]
  }
  gate "paths" {
    validator = "paths"
  }
}
