package arch

import (
	_ "embed"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed deps.txt
var deps string

// house is the root of the project, seen from this package.
func house(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// parsed is the project as it is.
func parsed(t *testing.T) *tree {
	t.Helper()
	tr, err := load(house(t))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// refuse fails once for every violation.
func refuse(t *testing.T, bad []string) {
	t.Helper()
	for _, b := range bad {
		t.Error(b)
	}
}

func TestImports(t *testing.T) {
	rules, bad := parseRules(deps)
	refuse(t, append(bad, checkImports(parsed(t), rules)...))
}

func TestSizes(t *testing.T) {
	all := measureAll(parsed(t))
	t.Log("\n" + worst(all))
	refuse(t, checkSizes(all))
}

func TestNames(t *testing.T) { refuse(t, checkNames(parsed(t))) }

func TestDocs(t *testing.T) { refuse(t, checkDocs(parsed(t))) }

func TestHabits(t *testing.T) {
	rules, _ := parseRules(deps)
	refuse(t, checkHabits(parsed(t), rules))
}

func TestSDKClosure(t *testing.T) {
	tr := parsed(t)
	for name := range closure(tr, "sdk") {
		if !standard(name) {
			t.Errorf("sdk imports %s: an author's types need the standard library only", name)
		}
	}
	foreign := []string{"host/...", "relay/...", "config", "modernc.org/...", "github.com/hashicorp/hcl/...", "github.com/spf13/..."}
	for _, dir := range tr.dirs() {
		if strings.HasPrefix(dir, "sdk/") || strings.HasPrefix(dir, "plugins/") {
			refuse(t, unreachable(tr, dir, foreign...))
		}
	}
}

func TestLauncherClosure(t *testing.T) {
	refuse(t, unreachable(parsed(t), "host/internal/launcher", "net/http", "net/rpc", "database/sql", "modernc.org/...",
		"google.golang.org/...", "github.com/...", "crypto/tls"))
}

func TestRelayClosure(t *testing.T) {
	tr := parsed(t)
	seen := 0
	for _, dir := range tr.dirs() {
		if strings.HasPrefix(dir, "relay/") {
			seen++
			refuse(t, unreachable(tr, dir, "os/exec", "plugin", "host/internal/...", "github.com/hashicorp/go-plugin/..."))
		}
	}
	if seen == 0 {
		t.Error("there are no rooms of the relay to look at")
	}
}

func TestRoomsOfTheMiddleRowMeetOnlyInTheDaemon(t *testing.T) {
	tr := parsed(t)
	middle := []string{"host/internal/store", "host/internal/loader", "host/internal/worktree", "host/internal/artifact",
		"host/internal/httpapi", "host/internal/dispatch"}
	for _, dir := range middle {
		others := slices.DeleteFunc(slices.Clone(middle), func(o string) bool { return o == dir })
		refuse(t, unreachable(tr, dir, others...))
	}
}
