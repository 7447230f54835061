# The gates that the examples in this directory run, on the desk and in CI alike.
version = 1

sandbox "offline" {}

executor "shell" {
  plugin  = "command"
  sandbox = "offline"
  config {
    program = ["sh"]
  }
}

workspace "hello" {
  root      = "~/repo"
  base      = "main"
  executors = ["shell"]

  paths {
    forbid = [".github/**", ".gitlab-ci.yml", "drawspan.hcl", "drawspan.lock.hcl"]
  }
  gate "paths" {
    validator = "paths"
  }
  gate "greeting" {
    validator = "command"
    sandbox   = "offline"
    config {
      run = ["grep", "-q", "hello", "greeting.txt"]
    }
  }
}
