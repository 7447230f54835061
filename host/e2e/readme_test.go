package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTheMapShowsTheHouse holds the README's map to the tree: what it names exists, and no top-level
// folder and no room of the host is missing from it.
func TestTheMapShowsTheHouse(t *testing.T) {
	_, text, ok := strings.Cut(readme(t), "## Map of the house\n")
	if !ok {
		t.Fatal("the README has no map")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var named []string
	for _, m := range regexp.MustCompile("`([a-z0-9/]+)/`").FindAllStringSubmatch(text, -1) {
		named = append(named, m[1])
		if info, err := os.Stat(filepath.Join(root(), m[1])); err != nil || !info.IsDir() {
			t.Errorf("the map names %s, which is not there", m[1])
		}
	}
	for _, row := range strings.Split(text, "\n") {
		for _, m := range regexp.MustCompile("`([a-z0-9/]+)/`").FindAllStringSubmatch(row, -1) {
			if said, is := strings.Contains(row, "empty so far"), emptyRoom(t, m[1]); said != is {
				t.Errorf("the map says that %s is empty: %v, and it is: %v", m[1], said, is)
			}
		}
	}
	for _, dir := range []string{".", "host", "host/internal"} {
		entries, err := os.ReadDir(filepath.Join(root(), dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			path := filepath.ToSlash(filepath.Join(dir, e.Name()))
			shown := slices.ContainsFunc(named, func(n string) bool { return n == path || strings.HasPrefix(n, path+"/") })
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !shown {
				t.Errorf("the map does not show %s", path)
			}
		}
	}
}

// emptyRoom reports that a folder has nothing in it but what says what it will be.
func emptyRoom(t *testing.T, dir string) bool {
	empty := true
	err := fs.WalkDir(os.DirFS(filepath.Join(root(), dir)), ".", func(_ string, e fs.DirEntry, err error) error {
		empty = empty && (e.IsDir() || e.Name() == "doc.go")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return empty
}

// TestLinksLeadSomewhere holds every relative link of the README and the guides.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root(), "host", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	for _, page := range append(pages, filepath.Join(root(), "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: a link to %s leads nowhere", filepath.Base(page), m[1])
			}
		}
	}
}

// TestTheReadmeNamesScriptsThatExist holds the two commands and every other script that is named.
func TestTheReadmeNamesScriptsThatExist(t *testing.T) {
	for _, m := range regexp.MustCompile(`\bscripts/([a-z]+)\b`).FindAllStringSubmatch(readme(t), -1) {
		if _, err := os.Stat(filepath.Join(root(), "scripts", m[1])); err != nil {
			t.Errorf("scripts/%s is not there", m[1])
		}
	}
}
