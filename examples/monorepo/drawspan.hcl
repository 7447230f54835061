# One repository with several services. What a step may change is narrowed by whoever dispatches it; which
# tests judge it follows from what it changed.
#
#   drawspan step dispatch RUN "..." --with shell --write 'services/billing/**'
#
# walk.txtar beside this file plays it through.

version = 1

sandbox "small" {
  limits {
    wall = "5m"
  }
}

executor "shell" {
  plugin  = "command"
  sandbox = "small"
  config {
    program = ["sh", "-eu"]
  }
}

locals {
  check = ["sh", "check.sh"]
}

workspace "shop" {
  root      = "~/src/shop"
  base      = "main"
  executors = ["shell"]

  # Without a narrower rule a step may change services and the shared part, and nothing else.
  paths {
    write  = ["services/**", "shared/**"]
    forbid = ["**/secrets/**"]
  }

  # It judges every rule at once: these, and those of the dispatch.
  gate "paths" {
    validator = "paths"
  }

  # The shared part is everybody's: a change of it is judged by all.
  gate "billing" {
    validator = "command"
    needs     = ["paths"]
    when      = touches(diff, "services/billing/**", "shared/**")
    config {
      dir = "services/billing"
      run = local.check
    }
  }
  gate "mail" {
    validator = "command"
    needs     = ["paths"]
    when      = touches(diff, "services/mail/**", "shared/**")
    config {
      dir = "services/mail"
      run = local.check
    }
  }

  # And a person looks at it.
  gate "owners" {
    needs = ["billing", "mail"]
    when  = touches(diff, "shared/**")
    hold  = "This changes what all services share."
  }
}
