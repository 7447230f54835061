package main

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tree"
)

// The bounds of report files.
const (
	maxFiles  = 2000
	maxFile   = 32 << 20  // bytes of one
	maxAll    = 128 << 20 // bytes of all of them
	maxModule = 1 << 20   // bytes of a go.mod
)

// reports are the report files of a tree.
type reports struct {
	root  *os.Root
	globs []string
	old   map[string]stamp // those that are there before the program runs: they say nothing about it
}

// openReports notes which files of that name are there already.
func openReports(top string, s settings) (*reports, error) {
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	r := &reports{root: root, old: map[string]stamp{}}
	for _, glob := range s.ReportFiles {
		r.globs = append(r.globs, path.Join(s.Dir, glob))
	}
	if r.old, err = r.stamps(); err != nil {
		root.Close() //nolint:errcheck // nothing was written
		return nil, err
	}
	return r, nil
}

func (r *reports) close() { r.root.Close() } //nolint:errcheck // nothing was written

// stamps are the regular files that the globs match. Links are no reports: they could lead to any file.
func (r *reports) stamps() (map[string]stamp, error) {
	all := map[string]stamp{}
	for _, glob := range r.globs {
		err := doublestar.GlobWalk(r.root.FS(), glob, func(name string, d fs.DirEntry) error {
			if !d.Type().IsRegular() {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return fmt.Errorf("look at %q: %w", name, err)
			}
			all[name] = stampOf(info)
			if len(all) > maxFiles {
				return broken("more than %d files match report_files", maxFiles)
			}
			return nil
		}, doublestar.WithNoFollow(), doublestar.WithFilesOnly())
		if err != nil {
			return nil, fmt.Errorf("look for reports: %w", err)
		}
	}
	return all, nil
}

// read reads the reports that the program has written.
func (r *reports) read(top, dir string) (*results, error) {
	now, err := r.stamps()
	if err != nil {
		return nil, err
	}
	if len(now) == 0 {
		return nil, broken("no file matches %s", strings.Join(r.globs, ", "))
	}
	found := &results{}
	total := int64(0)
	written := slices.DeleteFunc(slices.Sorted(maps.Keys(now)), func(name string) bool {
		was, there := r.old[name]
		return there && was == now[name]
	})
	if len(written) == 0 {
		return nil, broken("the program wrote none: %d files match %s, and they were there before it ran", len(now), strings.Join(r.globs, ", "))
	}
	for _, name := range written {
		n, err := r.one(name, found, func(file string) string { return inTree(file, top, dir) })
		if err != nil {
			return nil, err
		}
		if total += n; total > maxAll {
			return nil, broken("the reports have more than %d bytes together", maxAll)
		}
	}
	return found, nil
}

func (r *reports) one(name string, found *results, place func(string) string) (int64, error) {
	f, err := tree.Open(r.root, name)
	if err != nil {
		return 0, fmt.Errorf("open report: %w", err)
	}
	defer f.Close()
	if err := found.junit(tree.AtMost(f, maxFile), place); err != nil {
		return 0, fmt.Errorf("%q: %w", name, err)
	}
	return f.Seek(0, io.SeekCurrent)
}

// declares is the line of a go.mod that names the module.
var declares = regexp.MustCompile(`(?m)^\s*module\s+"?([^\s"]+)`)

// locator finds the files of Go packages in a tree, by the module's own path.
func locator(top, dir string) func(pkg, file string) string {
	module := moduleOf(top, dir)
	return func(pkg, file string) string {
		pkg, _, _ = strings.Cut(pkg, " ") // "pkg [pkg.test]"
		if module == "" || pkg != module && !strings.HasPrefix(pkg, module+"/") {
			return ""
		}
		return inTree(path.Join(strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/"), file), top, dir)
	}
}

func moduleOf(top, dir string) string {
	root, err := os.OpenRoot(top)
	if err != nil {
		return ""
	}
	defer root.Close()
	text, err := tree.Head(root, path.Join(dir, "go.mod"), maxModule)
	if name := declares.FindSubmatch(text); err == nil && name != nil {
		return string(name[1])
	}
	return ""
}

// judgeReport is a verdict that rests on the exit code alone, with what the report says.
func judgeReport(v sdk.Verdict, s settings, found *results, err error) sdk.Verdict {
	if err != nil {
		if v.Outcome != sdk.Pass {
			v.Message = strings.TrimSpace(v.Message + "\n" + err.Error())
			return v
		}
		v.Outcome, v.Message = sdk.Error, err.Error()
		return v
	}
	v.Metrics, v.Findings = found.metrics(), found.findings()
	if v.Outcome == sdk.Pass {
		v.Outcome, v.Message = found.judge(s)
	} else if found.failed > 0 {
		v.Message = strings.TrimSpace(found.summary() + "\n" + v.Message)
	}
	return v
}
