package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

const (
	insideHome = "/home/user"
	hostname   = "sandbox"
	maxEtcFile = 4 << 20
)

// etcCopied are the files of the host's /etc that programs need and that tell nothing of the machine. They
// are few: a disk may take a millisecond for each.
func etcCopied() []string {
	return []string{
		"ld.so.cache", "ld.so.conf", "ld.so.conf.d/*", "localtime", "mime.types", "os-release", "profile",
		"protocols", "services", "ssl/openssl.cnf", "timezone",
	}
}

// etcShown are directories of the host's /etc that are mounted as they are: links to programs, public
// certificates, settings of language runtimes.
func etcShown() []string {
	return []string{"alternatives", "crypto-policies", "java-*", "pki/ca-trust", "pki/tls/certs", "ssl/certs"}
}

// buildEtc makes the /etc of every view: invented where it names users and hosts, the host's where it is
// software. It returns the directories that are to be mounted into it.
func buildEtc(dir string) ([]spec.Mount, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
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
			return nil, err
		}
	}
	err := eachOfEtc(etcCopied(), func(name string) error { return copyEntry("/etc/"+name, filepath.Join(dir, name)) })
	if err != nil {
		return nil, err
	}
	var shown []spec.Mount
	err = eachOfEtc(etcShown(), func(name string) error {
		real, err := filepath.EvalSymlinks("/etc/" + name)
		if err != nil {
			return nil // a link to nowhere
		}
		shown = append(shown, spec.Mount{Host: real, Inside: "/etc/" + name, Mode: spec.ReadOnly})
		return os.MkdirAll(filepath.Join(dir, name), 0o755)
	})
	return shown, err
}

// eachOfEtc calls do with the name, below /etc, of everything that exists and matches a pattern.
func eachOfEtc(patterns []string, do func(name string) error) error {
	for _, pattern := range patterns {
		found, err := filepath.Glob("/etc/" + pattern)
		if err != nil {
			return fmt.Errorf("pattern %s: %w", pattern, err)
		}
		for _, path := range found {
			if err := do(strings.TrimPrefix(path, "/etc/")); err != nil {
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

// copyEntry copies a link as a link and a file that everybody may read; as root, nothing private must
// leak into the view.
func copyEntry(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return nil // gone meanwhile
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o004 == 0 || info.Size() > maxEtcFile {
		return nil
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return nil // not for this user
	}
	return os.WriteFile(to, text, 0o444)
}
