package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gaterun"
	"github.com/drawspan/drawspan/host/internal/report"
)

// GateRunOptions is what `drawspan gate run` was told.
type GateRunOptions struct {
	DaemonOptions
	Base, Head []string // revisions, the first that is there
	Workspace  string
	Root       string
	Only       []string
	Baseline   string
	Locked     bool
	Cache      string
	Record     string
	Reports    []string // files
}

// gateFlags are the flags of `drawspan gate run`.
type gateFlags struct {
	base, head, workspace, root, baseline, cache, record, failOn string
	only, formats                                                []string
	locked                                                       bool
}

func (s *shell) gateRun() *cobra.Command {
	var f gateFlags
	cmd := s.leaf(leaf{
		use: "run", short: "Judge a range of commits by the gates, without a daemon",
		long: `Evaluates the gates of a workspace over what changed from --base to --head, as a daemon would over an
attempt: the same rules, plugins and sandbox. Where the configuration lies in the repository, the one of the
base is used, and a change to it is said. In GitHub Actions, GitLab CI, Buildkite and Woodpecker both ends
are known from the environment. Nothing waits for a person: a hold ends with exit 13.
Formats: text, github, gitlab, sarif, junit, markdown, json; each may have =FILE.`,
		example: "drawspan gate run --base origin/main --head HEAD --format text,sarif=gates.sarif",
		run:     func(ctx context.Context, _ []string) error { return s.runGates(ctx, f) },
	})
	flags := cmd.Flags()
	flags.StringVar(&f.base, "base", "", "the `REF` that the change is based on; its rules are used")
	flags.StringVar(&f.head, "head", "", "the `REF` that is judged; HEAD without")
	flags.StringVar(&f.workspace, "workspace", "", "the `WORKSPACE` whose gates judge")
	flags.StringVar(&f.root, "root", "", "the repository's `DIR`, instead of the workspace's root")
	flags.StringSliceVar(&f.only, "only", nil, "only this `GATE` and what it needs; an optional one too")
	flags.StringSliceVar(&f.formats, "format", nil, "`FORMATS` to write, each NAME or NAME=FILE")
	flags.StringVar(&f.failOn, "fail-on", "error", "exit 10 on: error, warning or never (`WHAT`)")
	flags.StringVar(&f.baseline, "baseline", "", "findings in this `FILE` (JSON of an earlier run, or SARIF) do not count")
	flags.BoolVar(&f.locked, "locked", false, "refuse to begin unless every plugin is as the lock file says")
	flags.StringVar(&f.cache, "cache", "", "keep results of pure validators in this `DIR`, outside of the repository, and use them again")
	flags.StringVar(&f.record, "record", "", "write the record to this `FILE`, for drawspan audit verify")
	return cmd
}

func (s *shell) runGates(ctx context.Context, f gateFlags) error {
	if s.app.GateRun == nil {
		return cannot("gate run")
	}
	ci := gaterun.Detect(s.io.Env, func(path string) ([]byte, error) { return readAtMost(path, 16<<20) })
	sinks, err := s.sinks(f, ci)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"error", "warning", "never"}, f.failOn) {
		return usage("--fail-on is %q; it is error, warning or never", f.failOn)
	}
	o := GateRunOptions{
		DaemonOptions: s.daemonOptions(), Base: ci.Base, Head: ci.Head, Workspace: f.workspace, Only: f.only, Locked: f.locked,
		Root: s.pathOr(f.root), Baseline: s.pathOr(f.baseline), Cache: s.pathOr(f.cache), Record: s.pathOr(f.record),
	}
	for _, k := range sinks {
		if k.file != "" {
			o.Reports = append(o.Reports, k.file)
		}
	}
	if len(o.Source.Paths) == 0 {
		_, err := s.load()
		return err
	}
	if err := o.ends(f, ci); err != nil {
		return err
	}
	doc, err := s.app.GateRun(ctx, o)
	if err != nil {
		return err
	}
	if err := s.deliver(doc, sinks, ci); err != nil {
		return err
	}
	if code := gaterun.Exit(doc, f.failOn); code != fault.ExitOK {
		return ended{code}
	}
	return nil
}

// ends are the base and the head that flags name, else the environment's. A system that does not say what is
// judged is not taken to mean what happens to be checked out.
func (o *GateRunOptions) ends(f gateFlags, ci gaterun.CI) error {
	if f.base != "" {
		o.Base = []string{f.base}
	}
	if f.head != "" {
		o.Head = []string{f.head}
	}
	if len(o.Head) == 0 {
		return usage("%s does not say which commit is judged", ci.System).Fix("name it: drawspan gate run --head REF")
	}
	return nil
}

func (s *shell) pathOr(path string) string {
	if path == "" {
		return ""
	}
	return s.absolute(path)
}

// sink is one format and where it goes; "" is standard output.
type sink struct{ format, file string }

// renderers make each format. Text and annotations may share standard output; the others are documents.
var renderers = map[string]func(*report.Document) ([]byte, error){
	"text":     func(d *report.Document) ([]byte, error) { return report.Text(d, nil), nil },
	"github":   func(d *report.Document) ([]byte, error) { return report.GitHub(d), nil },
	"markdown": func(d *report.Document) ([]byte, error) { return report.Markdown(d, report.CommentSize), nil },
	"gitlab":   report.GitLab, "sarif": report.SARIF, "junit": report.JUnit, "json": report.JSON,
}

// sinks are where reports go. Standard output takes one document, or text.
func (s *shell) sinks(f gateFlags, ci gaterun.CI) ([]sink, error) {
	var sinks []sink
	var out []string
	for _, item := range s.formats(f, ci) {
		name, file, to := strings.Cut(item, "=")
		if renderers[name] == nil || to && file == "" {
			return nil, usage("--format %q: it is text, github, gitlab, sarif, junit, markdown or json, with =FILE or without", item)
		}
		if file == "" {
			out = append(out, name)
		}
		sinks = append(sinks, sink{name, s.pathOr(file)})
	}
	if len(out) > 1 && !slices.Equal(slices.Sorted(slices.Values(out)), []string{"github", "text"}) {
		return nil, usage("--format: standard output takes one of %s; give the others a file: %s=FILE", strings.Join(out, ", "), out[1])
	}
	return sinks, nil
}

// formats are those that were asked for, or what fits the CI system.
func (s *shell) formats(f gateFlags, ci gaterun.CI) []string {
	switch {
	case s.g.json:
		return append(slices.Clone(f.formats), "json")
	case len(f.formats) == 0:
		return strings.Split(ci.Format, ",")
	}
	return f.formats
}

// deliver writes every report, and what the CI system asks for.
func (s *shell) deliver(doc *report.Document, sinks []sink, ci gaterun.CI) error {
	for _, k := range sinks {
		body, err := s.rendered(k, doc)
		if err != nil {
			return err
		}
		if k.file != "" {
			if err := replace(k.file, body); err != nil {
				return fault.Wrap(err, fault.InvalidRequest, "the %s report cannot be written: %v", k.format, err).At(k.file).
					Fix("name a file in a directory that you may write to")
			}
			continue
		}
		s.told = s.told || k.format == "json"
		if _, err := s.io.Out.Write(body); err != nil {
			return written(err)
		}
	}
	if ci.Summary != "" {
		if err := extend(ci.Summary, report.Markdown(doc, report.SummarySize)); err != nil {
			return written(err)
		}
	}
	if ci.Output != "" {
		return written(extend(ci.Output, report.Outputs(doc)))
	}
	return nil
}

// rendered is a report; a text on a terminal has its colours.
func (s *shell) rendered(k sink, doc *report.Document) ([]byte, error) {
	if k.format == "text" && k.file == "" {
		return report.Text(doc, s.out.tinted), nil
	}
	return renderers[k.format](doc)
}

// tinted paints what is shown as its word means.
func (l look) tinted(word, shown string) string { return l.Paint(tones[word], shown) }

// replace writes a file anew beside its place and moves it there: what stands there is not followed.
func replace(path string, body []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".drawspan-report-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(body)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// extend appends to a file of the CI system.
func extend(path string, body []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Close())
}
