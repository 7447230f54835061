package cli

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

// maxConfigFile bounds what fmt reads.
const maxConfigFile = 4 << 20

// fmtOptions are the flags of fmt.
type fmtOptions struct{ check, diff, recursive bool }

func (s *shell) fmtCommand() *cobra.Command {
	var o fmtOptions
	cmd := s.leaf(leaf{
		use: "fmt", args: []string{"[FILE|DIR...]"}, short: "Bring configuration files into their canonical form",
		long: `Rewrites HCL files in their canonical form and prints the names of those that changed. "-" formats
standard input to standard output. --check changes nothing and exits 3 when a file would change;
--diff shows what would change. Without an argument it formats the working directory's *.hcl files.`,
		example: "drawspan fmt --check --diff --recursive .",
		run: func(_ context.Context, args []string) error {
			if len(args) == 1 && args[0] == "-" {
				return s.fmtStdin(o)
			}
			return s.fmtFiles(args, o)
		},
	})
	cmd.Flags().BoolVar(&o.check, "check", false, "change nothing; exit 3 when something would change")
	cmd.Flags().BoolVar(&o.diff, "diff", false, "show what would change")
	cmd.Flags().BoolVar(&o.recursive, "recursive", false, "also files in directories below")
	return cmd
}

func (s *shell) fmtStdin(o fmtOptions) error {
	src, err := io.ReadAll(io.LimitReader(s.io.In, maxConfigFile+1))
	if err != nil {
		return unreadable("standard input", err)
	}
	out, diags := config.Format(src, "<stdin>")
	if diags.HasErrors() {
		return diagnosed{diags}
	}
	same := bytes.Equal(src, out)
	switch {
	case o.diff:
		if err := s.print(s.out.lineDiff("<stdin>", string(src), string(out))); err != nil {
			return err
		}
	case !o.check:
		if _, err := s.io.Out.Write(out); err != nil {
			return written(err)
		}
	}
	if o.check && !same {
		return ended{fault.ExitConfig}
	}
	return nil
}

// formatted is the document of fmt.
type formatted struct {
	Changed []string `json:"changed"`
	Check   bool     `json:"check"`
}

func (s *shell) fmtFiles(args []string, o fmtOptions) error {
	if len(args) == 0 {
		args = []string{"."}
	}
	files, err := s.hclFiles(args, o.recursive)
	if err != nil {
		return err
	}
	doc := formatted{Changed: []string{}, Check: o.check}
	var shown []string
	var bad config.Diagnostics
	for _, name := range files {
		src, out, diags, err := s.fmtFile(name, o)
		if err != nil {
			return err
		}
		bad = append(bad, diags...)
		if !bytes.Equal(src, out) {
			doc.Changed = append(doc.Changed, name)
			shown = append(shown, term.Line(name))
			if o.diff {
				shown = append(shown, s.out.lineDiff(name, string(src), string(out))...)
			}
		}
	}
	if bad.HasErrors() {
		return diagnosed{bad}
	}
	if err := s.show(doc, doc.Changed, func(p *page) { p.lines = shown }); err != nil {
		return err
	}
	if o.check && len(doc.Changed) > 0 {
		return ended{fault.ExitConfig}
	}
	return nil
}

// fmtFile formats one file in place, unless it is only to be checked or shown.
func (s *shell) fmtFile(name string, o fmtOptions) (src, out []byte, diags config.Diagnostics, err error) {
	path := s.absolute(name)
	src, err = readAtMost(path, maxConfigFile+1)
	if err != nil {
		return nil, nil, nil, unreadable(name, err)
	}
	if len(src) > maxConfigFile {
		return nil, nil, nil, fault.New(fault.TooLarge, "the file is larger than %s", bytesOf(maxConfigFile)).At(name)
	}
	out, diags = config.Format(src, name)
	if diags.HasErrors() {
		return src, src, diags, nil
	}
	if o.check || o.diff || bytes.Equal(src, out) {
		return src, out, nil, nil
	}
	return src, out, nil, replaceFile(path, out)
}

// replaceFile writes a file anew in one step, with the mode it had.
func replaceFile(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return unwritable(path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".drawspan-fmt-*")
	if err != nil {
		return unwritable(path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(info.Mode().Perm())
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return unwritable(path, err)
	}
	return nil
}

// hclFiles are the files that arguments name, directories opened.
func (s *shell) hclFiles(args []string, recursive bool) ([]string, error) {
	var files []string
	for _, arg := range args {
		info, err := os.Stat(s.absolute(arg))
		if err != nil {
			return nil, unreadable(arg, err)
		}
		if !info.IsDir() {
			files = append(files, arg)
			continue
		}
		err = filepath.WalkDir(s.absolute(arg), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && path != s.absolute(arg) && (!recursive || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			if d.Type().IsRegular() && strings.HasSuffix(path, ".hcl") {
				rel, err := filepath.Rel(s.absolute(arg), path)
				if err != nil {
					return err
				}
				files = append(files, filepath.Join(arg, rel))
			}
			return nil
		})
		if err != nil {
			return nil, unreadable(arg, err)
		}
	}
	return files, nil
}
