package launcher

import (
	"errors"
	"fmt"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// overlay puts a read-only lower directory at inside with a throw-away writable layer on top; a negative
// lower stands for an empty directory. The layer lives in a throw-away file system that has no name in the
// finished view.
func (v *view) overlay(lower int, inside string) error {
	if v.overlays == 0 {
		if err := v.mountLayers(); err != nil {
			return err
		}
	}
	base := path.Join(layers, strconv.Itoa(v.overlays))
	v.overlays++
	for _, d := range []string{base, base + "/upper", base + "/work"} {
		if err := unix.Mkdir(d, 0o755); err != nil {
			return fmt.Errorf("make the layer: %w", err)
		}
	}
	if lower < 0 {
		return v.bindLayer(base+"/upper", inside)
	}
	mount, err := newOverlay(lower, base)
	if err != nil {
		return &stageError{"overlay", fmt.Errorf("%s: %w", inside, err)}
	}
	return errors.Join(v.put(mount, inside, true), unix.Close(mount))
}

func (v *view) mountLayers() error {
	if err := unix.Mkdir(layers, 0o700); err != nil {
		return fmt.Errorf("make a place for layers: %w", err)
	}
	if err := unix.Mount("layers", layers, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, tmpfsOptions(v.size)); err != nil {
		return fmt.Errorf("mount the file system for layers: %w", err)
	}
	return nil
}

func (v *view) bindLayer(upper, inside string) error {
	source, err := unix.Open(upper, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the layer: %w", err)
	}
	return errors.Join(v.attach(source, inside, attrsRW), unix.Close(source))
}

func newOverlay(lower int, base string) (int, error) {
	if err := copyMode(lower, base+"/upper"); err != nil {
		return -1, err
	}
	fsfd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open overlayfs: %w", err)
	}
	defer unix.Close(fsfd)
	for _, o := range [][2]string{
		{"lowerdir", "/proc/self/fd/" + strconv.Itoa(lower)},
		{"upperdir", base + "/upper"},
		{"workdir", base + "/work"},
	} {
		if err := unix.FsconfigSetString(fsfd, o[0], o[1]); err != nil {
			return -1, fmt.Errorf("set %s: %w", o[0], err)
		}
	}
	if err := unix.FsconfigSetFlag(fsfd, "userxattr"); err != nil {
		return -1, fmt.Errorf("set userxattr: %w", err)
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return -1, fmt.Errorf("create: %w", err)
	}
	mount, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, attrsRW)
	if err != nil {
		return -1, fmt.Errorf("mount: %w", err)
	}
	return mount, nil
}

// copyMode gives the layer's root the mode of the directory below: the merged root shows the layer's.
func copyMode(from int, to string) error {
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return fmt.Errorf("stat the lower directory: %w", err)
	}
	if err := unix.Chmod(to, st.Mode&0o777|0o700); err != nil {
		return fmt.Errorf("set the mode of the layer: %w", err)
	}
	return nil
}
