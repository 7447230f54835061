package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// openFlags keep a FIFO or device that has a configuration file's name from blocking the load.
const openFlags = syscall.O_NONBLOCK | syscall.O_CLOEXEC

var errNotRegular = errors.New("not a regular file")

// cause is the reason in a path error, without the path.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// anchored makes a written path absolute: it must start with / or ~/ and must not climb.
func (d *decoder) anchored(o *Origin, key, written string) (string, bool) {
	if written == "" {
		return "", false
	}
	where := o.At(key)
	rest, tilde := strings.CutPrefix(written, "~")
	if tilde && rest != "" && rest[0] != '/' {
		d.rep.at(where, problem{code: codeNotAbsolute, summary: fmt.Sprintf("%s is %s; only one's own home can be named with ~", key, quoted(written)), hint: "write the whole path"})
		return "", false
	}
	if tilde && !filepath.IsAbs(d.src.Home) {
		d.rep.at(where, problem{code: codeNotAbsolute, summary: fmt.Sprintf("%s is %s, but no home directory is known", key, quoted(written)), hint: "set HOME, or write the whole path"})
		return "", false
	}
	if !tilde && !filepath.IsAbs(written) {
		p := problem{code: codeNotAbsolute, summary: fmt.Sprintf("%s is %s, which is not absolute", key, quoted(written)), hint: "start it with / or ~/"}
		if filepath.IsAbs(d.src.Dir) {
			p.hint = fmt.Sprintf("did you mean %q?", filepath.Join(d.src.Dir, written))
		}
		d.rep.at(where, p)
		return "", false
	}
	if climbs(written) {
		d.rep.at(where, problem{code: codeOutside, summary: fmt.Sprintf("%s contains .., so where it leads is not plain to see", key), hint: "write where it leads"})
		return "", false
	}
	if tilde {
		return filepath.Join(d.src.Home, rest), true
	}
	return filepath.Clean(written), true
}

func climbs(p string) bool {
	for _, part := range strings.Split(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// existing is anchored for a path that must be there and must not lead through a symlink. Of "~" the
// home directory itself may be one: that is the system's, not the configuration's.
func (d *decoder) existing(o *Origin, key, written string) (string, os.FileInfo, bool) {
	p, ok := d.anchored(o, key, written)
	if !ok {
		return "", nil, false
	}
	where := o.At(key)
	if strings.HasPrefix(written, "~") {
		if home, err := filepath.EvalSymlinks(d.src.Home); err == nil {
			p = filepath.Join(home, strings.TrimPrefix(written, "~"))
		}
	}
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		d.rep.at(where, problem{code: codePathMissing, summary: fmt.Sprintf("%s %s cannot be looked at: %s", key, quoted(p), cause(err)), hint: "create it, or correct the path"})
		return "", nil, false
	}
	if real != p {
		d.rep.at(where, problem{code: codeSymlink, summary: fmt.Sprintf("%s leads through a symlink to %s", key, quoted(real)), hint: fmt.Sprintf("write where it leads: %q", real)})
		return "", nil, false
	}
	info, err := os.Stat(p)
	if err != nil {
		d.rep.at(where, problem{code: codePathMissing, summary: fmt.Sprintf("%s %s cannot be looked at: %s", key, quoted(p), cause(err))})
		return "", nil, false
	}
	return p, info, true
}

// directory is existing for a directory.
func (d *decoder) directory(o *Origin, key, written string) (string, bool) {
	p, info, ok := d.existing(o, key, written)
	if ok && !info.IsDir() {
		d.rep.at(o.At(key), problem{code: codeNotDirectory, summary: fmt.Sprintf("%s %s is not a directory", key, quoted(p)), hint: "name the directory that holds it"})
		return "", false
	}
	return p, ok
}

// resolved follows the symlinks in the part of a path that exists.
func resolved(p string) string {
	rest := ""
	for at := p; ; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return p
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// within reports whether p is dir or inside it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}
