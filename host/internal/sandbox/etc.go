package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	insideHome  = "/home/user"
	hostname    = "sandbox"
	maxEtcFile  = 4 << 20
	maxEtcTotal = 32 << 20
)

// etcAllowed are the entries of the host's /etc that programs need and that tell nothing of the machine.
func etcAllowed() []string {
	return []string{
		"alternatives", "bash.bashrc", "ca-certificates", "ca-certificates.conf", "crypto-policies",
		"debian_version", "host.conf", "inputrc", "java-*", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
		"localtime", "mime.types", "os-release", "pki", "profile", "protocols", "python3*", "services", "ssl",
		"terminfo", "timezone",
	}
}

// buildEtc makes the /etc of every view: invented where it names users and hosts, copied where it is
// software.
func buildEtc(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	invented := map[string]string{
		"passwd":        passwd(os.Getuid(), os.Getgid()),
		"group":         groups(os.Getgid()),
		"hosts":         "127.0.0.1 localhost " + hostname + "\n::1 localhost\n",
		"hostname":      hostname + "\n",
		"resolv.conf":   "",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
	}
	for name, text := range invented {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o444); err != nil {
			return err
		}
	}
	c := &etcCopy{room: maxEtcTotal}
	for _, pattern := range etcAllowed() {
		names, err := filepath.Glob(filepath.Join("/etc", pattern))
		if err != nil {
			return fmt.Errorf("pattern %s: %w", pattern, err)
		}
		for _, name := range names {
			if err := c.tree(name, filepath.Join(dir, filepath.Base(name))); err != nil {
				return err
			}
		}
	}
	return nil
}

func passwd(uid, gid int) string {
	lines := fmt.Sprintf("user:x:%d:%d::%s:/bin/sh\n", uid, gid, insideHome)
	if uid != 65534 {
		lines += "nobody:x:65534:65534::/:/usr/sbin/nologin\n"
	}
	return lines
}

func groups(gid int) string {
	lines := fmt.Sprintf("user:x:%d:\n", gid)
	if gid != 65534 {
		lines += "nogroup:x:65534:\n"
	}
	return lines
}

// etcCopy copies what this user may read, up to a total.
type etcCopy struct{ room int64 }

func (c *etcCopy) tree(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		return c.entry(name, filepath.Join(to, rel), d)
	})
}

func (c *etcCopy) entry(from, to string, d fs.DirEntry) error {
	switch {
	case d.IsDir():
		info, err := d.Info()
		if err != nil || info.Mode().Perm()&0o005 != 0o005 {
			return fs.SkipDir // gone meanwhile, or not for everybody: keys and the like
		}
		return os.Mkdir(to, 0o755)
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case d.Type().IsRegular():
		return c.file(from, to)
	}
	return nil
}

func (c *etcCopy) file(from, to string) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil // not for this user, or gone meanwhile
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	// Copied only where everybody may read it: as root, nothing private must leak into the view.
	if info.Mode().Perm()&0o004 == 0 || info.Size() > maxEtcFile || info.Size() > c.room {
		return nil
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(in, maxEtcFile))
	c.room -= n
	return errors.Join(err, out.Close())
}
