package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// hcl is the configuration of the demonstration, as an operator would write it.
func (d *demo) hcl() string {
	q := strconv.Quote
	return fmt.Sprintf(configuration, q(d.dir+"/state"), q(hclText(d.author())), q(hclText(d.author()+d.meddling())), q(d.canary), q(d.planted()), q(swarming), q(d.repo), q("./"+d.source.Package))
}

// configuration is the demonstration's, with its paths and scripts left open.
const configuration = `version = 1

daemon {
  state_dir = %[1]s
  log { level = "debug" }
}

sandbox "go" {
  toolchain "go" {}
  limits { wall = "2m" }
}

sandbox "bare" {
  limits { wall = "2m" }
}

# A real program that really edits: any command, or a coding agent, sits here.
executor "author" {
  plugin  = "command"
  sandbox = "go"
  config { program = ["sh", "-c", %[2]s] }
}

executor "meddler" {
  plugin  = "command"
  sandbox = "go"
  config { program = ["sh", "-c", %[3]s] }
}

executor "snoop" {
  plugin  = "script"
  sandbox = "bare"
  config {
    play = [
      { read = { path = %[4]s } },
      { write = { path = %[5]s, content = "planted" } },
      { connect = { address = "192.0.2.1:443" } },
    ]
  }
}

executor "swarm" {
  plugin  = "script"
  sandbox = "bare"
  config {
    play = [
      { spawn = { count = 100, detach = true } },
      { message = { text = %[6]s } },
      { hang = {} },
    ]
  }
}

workspace "demo" {
  root      = %[7]s
  base      = "main"
  executors = ["author", "meddler", "snoop", "swarm"]

  paths {
    forbid = [".github/**", "**/*.pem"]
  }

  gate "paths" {
    validator = "paths"
    sandbox   = "bare"
  }
  gate "vet" {
    validator = "command"
    sandbox   = "go"
    when      = diff.files > 0
    needs     = ["paths"]
    config { run = ["go", "vet", %[8]s] }
  }
  gate "tests" {
    validator = "command"
    sandbox   = "go"
    when      = diff.files > 0
    needs     = ["vet"]
    config { run = ["go", "test", %[8]s] }
  }
}
`

// hclText escapes what HCL would take for a template.
func hclText(s string) string { return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(s) }

// swarming is what the swarm says when its children have detached.
const swarming = "a hundred children have detached"

// author is a shell script that adds an example with a test to a package.
func (d *demo) author() string {
	file := d.source.Package + "/drawspan_demo_test.go"
	return `cat > ` + file + ` <<'EOF'
package ` + d.source.Name + `

import (
	"strings"
	"testing"
)

func TestTheDemonstrationReallyRan(t *testing.T) {
	if got := strings.Repeat("draw", 2); got != "drawdraw" {
		t.Errorf("got %q", got)
	}
}
EOF
gofmt -l ` + file + `
echo "wrote ` + file + `"
`
}

// meddling is what the second executor does beside.
func (d *demo) meddling() string {
	return `mkdir -p .github/workflows
echo "on: push" > .github/workflows/friendlier.yml
echo "wrote .github/workflows/friendlier.yml"
`
}

// newest is the id of the step that was dispatched last.
func (d *demo) newest(ctx context.Context) (string, error) {
	var out strings.Builder
	if code := d.Command(ctx, &out, d.config, "step", "ls", "--json"); code != 0 {
		return "", fmt.Errorf("list steps: exit %d", code)
	}
	var list struct {
		Items []struct {
			ID         string `json:"id"`
			Dispatched string `json:"dispatched_at"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(out.String()), &list); err != nil {
		return "", fmt.Errorf("read the list of steps: %w", err)
	}
	newest, at := "", ""
	for _, s := range list.Items {
		if s.ID > newest { // ids sort by time
			newest, at = s.ID, s.Dispatched
		}
	}
	if at == "" {
		return "", fmt.Errorf("list steps: none")
	}
	return newest, nil
}

// watcher ends a context when a text has passed through it.
type watcher struct {
	want string
	seen strings.Builder
	stop context.CancelFunc
}

func (w *watcher) Write(p []byte) (int, error) {
	w.seen.Write(p)
	if strings.Contains(w.seen.String(), w.want) {
		w.stop()
	}
	return len(p), nil
}

// swarmed follows the step's log until its children have detached.
func (d *demo) swarmed(ctx context.Context, id string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w := &watcher{want: swarming, stop: stop}
	d.Command(ctx, w, d.config, "step", "logs", id, "--follow")
	if !strings.Contains(w.seen.String(), swarming) {
		return fmt.Errorf("the swarm never detached: %s", w.seen.String())
	}
	return nil
}
