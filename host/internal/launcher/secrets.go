package launcher

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// placeSecrets writes the launch's secrets into its own memory file system. They are on no disk and in no
// other launch; the files are read-only because Landlock grants no more there, and by their mode.
func placeSecrets(secrets []spec.Secret) error {
	if len(secrets) == 0 {
		return nil
	}
	if err := unix.Mkdir(spec.SecretDir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", spec.SecretDir, err)
	}
	for _, s := range secrets {
		if err := placeSecret(s); err != nil {
			return fmt.Errorf("place %q: %w", s.Name, err)
		}
	}
	return nil
}

func placeSecret(s spec.Secret) error {
	if s.Name == "" || s.Name == "." || s.Name == ".." || path.Base(s.Name) != s.Name {
		return errors.New("not a file name")
	}
	fd, err := unix.Open(path.Join(spec.SecretDir, s.Name), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o400)
	if err != nil {
		return err
	}
	n, err := unix.Write(fd, s.Value)
	if err == nil && n != len(s.Value) {
		err = errors.New("written in part")
	}
	return errors.Join(err, unix.Close(fd))
}
