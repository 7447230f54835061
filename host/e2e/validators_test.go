package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var (
	exampleGate  = regexp.MustCompile("(?s)\n## ([a-z]+):[^\n]*\n\n```hcl\n(gate .*?)```")
	namedSandbox = regexp.MustCompile(`sandbox += "([a-z]+)"`)
	namedProgram = regexp.MustCompile(`validator += "([a-z]+)"`)
)

// TestTheExampleOfEveryValidatorIsTakenByIt starts a daemon over the gates that the page of validators shows,
// each beginning its section. A validator refuses what it does not know when it is loaded.
func TestTheExampleOfEveryValidatorIsTakenByIt(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(), "host", "docs", "validators.md"))
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := filepath.Glob(filepath.Join(root(), "plugins", "validator-*"))
	if err != nil {
		t.Fatal(err)
	}
	var gates, names []string
	boxes := map[string]bool{}
	for _, m := range exampleGate.FindAllStringSubmatch(string(page), -1) {
		names, gates = append(names, m[1]), append(gates, m[2])
		if program := namedProgram.FindStringSubmatch(m[2]); program == nil || program[1] != m[1] {
			t.Errorf("the section of %s shows a gate of another", m[1])
		}
		for _, box := range namedSandbox.FindAllStringSubmatch(m[2], -1) {
			boxes[box[1]] = true
		}
	}
	if len(names) != len(shipped) {
		t.Fatalf("%d validators are built and the page shows %v", len(shipped), names)
	}
	var config strings.Builder
	config.WriteString("version = 1\n")
	for box := range boxes {
		fmt.Fprintf(&config, "sandbox %q {}\n", box)
	}
	config.WriteString("sandbox \"box\" {}\nexecutor \"sh\" {\n  plugin  = \"command\"\n  sandbox = \"box\"\n  config {\n    program = [\"sh\"]\n  }\n}\n" +
		"workspace \"w\" {\n  root      = \"~/repo\"\n  base      = \"main\"\n  executors = [\"sh\"]\n" + strings.Join(gates, "") + "}\n")
	script := "gitrepo repo\nlocked\nexits 0 drawspan validate\ndaemon start\ndrawspan workspace ls --json\njsonq stdout .items[0].gates.len " +
		fmt.Sprint(len(gates)) + "\n-- repo/a.txt --\na\n-- drawspan.hcl --\n" + config.String()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "validators.txtar"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, params(t, dir, nil))
}
