# A complete configuration of this version, with every choice explained. Every key of the language is in
# host/docs/config.md. Copy what you need; a whole first configuration is the executor, sandbox and workspace
# below without the optional parts.
#
#   drawspan validate examples/reference.hcl
#   drawspan fmt examples/reference.hcl

version = 1

# Values from outside: -var review_lines=200, a -var-file, or DRAWSPAN_VAR_review_lines.
variable "review_lines" {
  type        = number
  default     = 400
  description = "Diffs with more changed lines than this wait for a person."
}

locals {
  secrets = ["**/*.pem", "**/.env*"]
}

# The daemon works without this block.
daemon {
  state_dir      = "~/.local/state/drawspan" # the record; neither in a workspace nor around one
  max_parallel   = 4                         # live attempts at once
  shutdown_grace = "30s"

  # listen = "127.0.0.1:7070"   # loopback only; without it there is just the unix socket
  # run_as = "drawspan"         # needed when the daemon is started as root

  log {
    level  = "info"
    format = "text" # or "json"
  }

  # A cancelled attempt is asked, interrupted, terminated; then the kernel kills all of its processes.
  stop {
    protocol  = "5s"
    interrupt = "5s"
    terminate = "5s"
  }
}

# Every program runs in a sandbox of level "strict": the worktree is writable, the system read-only, the home
# directory hidden, and there is no network. On a machine that cannot give this an attempt is refused. Everything
# below that gives more is recorded, with its line, when the daemon starts.
sandbox "agent" {
  toolchain "go" {} # Go root and caches of this machine, read-only and offline

  # level        = "strict"    # or isolated, guarded, off
  # on_shortfall = "degrade"   # take less where the machine cannot give it, but not less than
  # floor        = "guarded"

  # Through the daemon's proxy, which knows names and refuses private addresses; nothing else is there.
  network {
    mode  = "proxy"
    allow = ["api.anthropic.com"] # port 443; "host:port" for another, "*.host" for all names below it
  }

  # Read when a program is launched; named in the record, masked in every log.
  credential "anthropic" {
    from_env = "ANTHROPIC_API_KEY" # or from_file = "~/.config/anthropic/key", mode 0600
    deliver  = "env"               # or "file"
  }

  env {
    set  = { CI = "1" }
    pass = ["LANG"] # nothing of the daemon's environment is inside otherwise
  }

  filesystem {
    protect   = [".claude", ".vscode"] # read-only where they exist
    sensitive = "flag"                 # files that other tools execute on opening: show, "hold" or "deny" them
    # read  = ["~/src/schemas"]        # more of this machine, read-only
    # write = ["~/.cache/acme"]        # or writable; never a repository
  }

  # Commits that are made inside come back checked, beside the result; "none" leaves them.
  git {
    import = "pack"
  }

  # Exceeding memory, disk, processor time or output ends the attempt and keeps what it did.
  limits {
    processes = 512
    memory    = "4GiB"
    disk      = "4GiB"
    output    = "64MiB"
    wall      = "30m"
  }
}

# A second one for validators, tighter. Where one is not named, "default" with the defaults is used.
sandbox "offline" {
  toolchain "go" {}
  limits {
    processes  = 256
    open_files = 1024
    file_size  = "256MiB"
    tmp        = "256MiB"
    cpus       = 2
    cpu_time   = "20m"
    wall       = "10m"
  }
}

# What a program of yours that calls itself "planner" may ask of the daemon. Without a block: everything but to
# decide what waits for a person.
client "planner" {
  operations = ["run.*", "step.*", "events.*", "approval.list"]
}

# A program that gets the step's text on standard input. The plugin "command" is drawspan-executor-command.
executor "gofmt" {
  plugin  = "command"
  sandbox = "agent"
  config {
    program = ["gofmt", "-w", "."]
  }

  # What it asks leave for: the first rule that applies decides, a person answers the rest.
  permission "secrets" {
    decision = "deny"
    paths    = local.secrets
  }
  permission "work" {
    decision = "allow"
    kinds    = ["read", "search", "edit"]
    paths    = ["src/**", "docs/**"]
  }
  permission "tests" {
    decision = "allow"
    kinds    = ["execute"]
    commands = ["go test *", "go vet *"]
  }

  questions {
    deadline = "10m"
    default  = "deny" # what a permission request gets when nobody answers
  }
}

# Gates that several workspaces share. Instead of holding them, a set may name a file that holds nothing else:
# file = "gates.hcl", which desk and CI may both read.
gates "common" {
  gate "paths" {
    validator = "paths"
  }

  # Whatever a simulated executor made is rejected. The daemon judges this itself.
  gate "real" {
    validator = "real-executor"
  }
}

# A repository. Nothing outside these blocks can be worked on, whatever a caller sends.
workspace "api" {
  root      = "~/src/api"
  base      = "main"
  bases     = ["main", "feature/*"] # refs that a run may start from
  executors = ["gofmt"]

  max_parallel = 2

  # What a result may change. The gate "paths" below judges it; without such a gate this is an error.
  paths {
    write  = ["**"]
    forbid = concat([".github/**"], local.secrets)
  }

  # What trees get besides their commit, for executors and gates. It never becomes part of a result.
  provision {
    copy = [".env.test"] # files that git does not know
    # link  = ["node_modules"] # directories of the root, shown read-only
    # ports = 2                # in DRAWSPAN_PORT_1 and DRAWSPAN_PORT_2
    # run "deps" {             # a command that prepares each tree
    #   command = ["npm", "ci", "--offline", "--ignore-scripts"]
    #   sandbox = "offline"
    # }
  }

  budget {
    wall = "1h" # of one attempt, gates included
  }

  # Gates decide; an executor's word counts for nothing. These come first, as if they stood here.
  gates = ["common"]

  gate "tests" {
    validator = "command"
    sandbox   = "offline"
    needs     = ["paths"] # of the set
    on_fail   = "fail"    # or "hold", or "warn"
    on_error  = "closed"  # what counts when it could not be evaluated: it is rejected; or "hold"
    timeout   = "5m"      # of one evaluation
    retries   = 1         # further evaluations after an error, never after a fail
    config {
      run = ["go", "test", "./..."]
    }
  }

  # Asked for by a dispatch only, and where a Go file changed; a failure is shown and rejects nothing.
  gate "vet" {
    validator = "command"
    sandbox   = "offline"
    paths     = ["**/*.go"]
    on_fail   = "warn"
    optional  = true
    config {
      run = ["go", "vet", "./..."]
    }
  }

  # Waits for: drawspan approval allow|deny. A condition asks about facts: the diff, other gates, the usage, and
  # what the executor claims, which is no evidence.
  gate "review" {
    when     = gates.tests.result == "warn" || claims != null && claims.denied || diff.lines > var.review_lines || touches(diff, "go.mod", "go.sum")
    hold     = "A person looks at large or dependency-changing diffs."
    deadline = "24h"
    default  = "fail"
  }
}
