# One Go repository. Steps are done by gofmt, or by a shell that takes the step's text as its script; what
# they make counts when vet and the tests pass, and when a person has agreed to new dependencies.
#
#   drawspan validate examples/go-workspace/drawspan.hcl
#
# walk.txtar beside this file plays it through.

version = 1

# The Go root and the caches of this machine, read-only; no network.
sandbox "go" {
  toolchain "go" {}
  limits {
    wall = "5m"
  }
}

executor "gofmt" {
  plugin  = "command"
  sandbox = "go"
  config {
    program = ["gofmt", "-l", "-w", "."]
    stdin   = false
  }
}

executor "shell" {
  plugin  = "command"
  sandbox = "go"
  config {
    program = ["sh", "-eu"]
  }
}

workspace "hello" {
  root      = "~/src/hello"
  base      = "main"
  executors = ["gofmt", "shell"]

  paths {
    forbid = [".github/**", "**/*.pem", "**/.env*"]
  }
  provision {
    copy = [".env.test"] # git does not know it, the tests need it
  }

  gate "paths" {
    validator = "paths"
  }
  gate "vet" {
    validator = "command"
    sandbox   = "go"
    needs     = ["paths"]
    config {
      run = ["go", "vet", "./..."]
    }
  }
  gate "tests" {
    validator = "command"
    sandbox   = "go"
    needs     = ["vet"]
    config {
      run = ["go", "test", "./..."]
    }
  }
  gate "dependencies" {
    needs    = ["tests"]
    when     = touches(diff, "go.mod", "go.sum")
    hold     = "New dependencies: do you want them?"
    deadline = "24h"
    default  = "fail"
  }
}
