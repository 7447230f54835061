# How changes to this repository are judged. scripts/gates has the rest; the rules are those of the base.

# Keys, certificates and what belongs to one machine have no place here.
gate "paths" {
  validator = "paths"
  sandbox   = "judge"
  config {
    forbid = ["**/*.pem", "**/*.key", "**/.env*", "**/id_rsa*", "**/.DS_Store", "**/.git/**"]
  }
}

gate "diff" {
  validator = "diff"
  sandbox   = "judge"
  config {
    max_file_bytes = 1000000
    deleted_test   = "warn" # a test that is renamed is one
    lock_file      = "warn" # go mod tidy may add to go.sum alone
    except = {
      hidden_character = "**/{*_test.go,testdata/**}" # tests of hostile text hold it
    }
  }
}

gate "secrets" {
  validator = "secrets"
  sandbox   = "judge"
  config {
    allow_paths = ["**/*_test.go", "**/testdata/**"]
  }
}

gate "deps" {
  validator = "deps"
  sandbox   = "judge"
  config {
    refuse = ["install-scripts", "forks", "sources", "rewritten"] # not local: nested modules take the SDK from beside them
  }
}

# Rooms that start no process and open no socket. The others test the sandbox itself: scripts/test has them.
# "..." lets a room go away: the base's rules judge that change as well, and min_tests sees to it that tests are left.
gate "tests" {
  validator = "command"
  sandbox   = "go"
  needs     = ["paths"]
  timeout   = "10m"
  config {
    run = ["go", "test", "-json", "-count=1", "-trimpath", "-tags=grpcnotrace", "./config", "./host/api", "./host/fault", "./host/internal/audit...",
      "./host/internal/event...", "./host/internal/gate", "./host/internal/gaterun...", "./host/internal/ident...", "./host/internal/permission...",
      "./host/internal/pluginlock...", "./host/internal/policy...", "./host/internal/redact...", "./host/internal/report...", "./host/internal/term...",
    "./host/internal/work", "./sdk", "./sdk/agent/...", "./sdk/patch", "./sdk/tree"]
    env       = { CGO_ENABLED = "0" }
    report    = "go-test-json"
    min_tests = 300
  }
}

# What decides must be tested well.
gate "coverage" {
  validator = "coverage"
  sandbox   = "go"
  needs     = ["tests"]
  timeout   = "10m"
  config {
    run = ["go", "test", "-count=1", "-trimpath", "-tags=grpcnotrace", "-coverprofile=cover.out", "./host/fault", "./host/internal/audit...",
    "./host/internal/gate", "./host/internal/permission...", "./host/internal/redact...", "./host/internal/report...", "./host/internal/work"]
    env     = { CGO_ENABLED = "0" }
    profile = ["cover.out"]
    format  = "go"
    floor   = 80
  }
}
