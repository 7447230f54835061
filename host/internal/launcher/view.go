package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// Names inside the view while it is built; both are gone before the payload exists.
const (
	hostRoot = "/.host"   // the host's tree
	layers   = "/.layers" // the writable layers of overlays, a file system of their own
)

// Mount attributes.
const (
	attrsRO = unix.MOUNT_ATTR_RDONLY | attrsRW
	attrsRW = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
)

// view is the new root while it is filled. host is the host's tree: sources are resolved below it, by
// descriptor, so that a mount of the view cannot hide a source.
type view struct {
	host     int
	root     int
	size     int64 // of each throw-away file system
	overlays int
}

// buildView replaces the root by an allowlist: what the specification names is attached, the rest of the
// host does not exist.
func (b *box) buildView() error {
	v, err := enterNewRoot(b.spec.Scratch)
	if err != nil {
		return err
	}
	defer unix.Close(v.host)
	defer unix.Close(v.root)
	if err := v.addPrivateDirs(b.spec.Home); err != nil {
		return err
	}
	if err := addProc(); err != nil {
		return &stageError{"proc", err}
	}
	if !b.off[layerNested] {
		if err := b.forbidNestedNamespaces(); err != nil {
			return err
		}
	}
	if err := b.boundRootsProcesses(); err != nil {
		return err
	}
	if err := protectProc(unix.Getuid() == 0); err != nil {
		return &stageError{"proc", err}
	}
	if err := addDev(); err != nil {
		return fmt.Errorf("/dev: %w", err)
	}
	if err := v.attachAll(b.spec); err != nil {
		return err
	}
	if err := placeSecrets(b.spec.Secrets); err != nil {
		return &stageError{"secrets", err}
	}
	if err := v.leaveHost(); err != nil {
		return err
	}
	b.report.Features.View = true
	return nil
}

// enterNewRoot makes an empty file system the root, with the host's tree at hostRoot.
func enterNewRoot(size int64) (*view, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("make mounts private: %w", err)
	}
	const base = "/tmp" // covered for a moment only: pivot_root uncovers it
	if err := unix.Mount("view", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, tmpfsOptions(size)); err != nil {
		return nil, fmt.Errorf("mount the new root: %w", err)
	}
	if err := unix.Chdir(base); err != nil {
		return nil, fmt.Errorf("enter the new root: %w", err)
	}
	if err := unix.Mkdir("."+hostRoot, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", hostRoot, err)
	}
	if err := unix.PivotRoot(".", "."+hostRoot); err != nil {
		return nil, fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return nil, fmt.Errorf("enter the new root: %w", err)
	}
	host, err := unix.Open(hostRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the host's root: %w", err)
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the new root: %w", err), unix.Close(host))
	}
	return &view{host: host, root: root, size: size}, nil
}

// tmpfsOptions bound a throw-away file system in bytes and in files.
func tmpfsOptions(size int64) string {
	return "mode=755,size=" + strconv.FormatInt(size, 10) + ",nr_inodes=" + strconv.FormatInt(max(65536, size/4096), 10)
}

// addPrivateDirs makes the writable directories: each is a mount of itself, which stays writable when
// the root becomes read-only. /run is one that Landlock does not grant: the verification writes there to
// see Landlock refuse.
func (v *view) addPrivateDirs(home string) error {
	for _, d := range []struct {
		path     string
		mode     uint32
		writable bool
	}{
		{"/dev", 0o755, false},
		{"/var", 0o755, false},
		{path.Dir(home), 0o755, false},
		{"/tmp", 0o1777, true},
		{"/var/tmp", 0o1777, true},
		{"/dev/shm", 0o1777, true},
		{"/run", 0o755, true},
		{home, 0o700, true},
	} {
		if err := unix.Mkdir(d.path, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", d.path, err)
		}
		if !d.writable {
			continue
		}
		if err := unix.Chmod(d.path, d.mode); err != nil {
			return fmt.Errorf("set the mode of %s: %w", d.path, err)
		}
		if err := unix.Mount(d.path, d.path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", d.path, err)
		}
	}
	return nil
}

// attachAll attaches everything that the specification names.
func (v *view) attachAll(sp *spec.Spec) error {
	etc := spec.Mount{Host: sp.Etc, Inside: "/etc", Mode: spec.ReadOnly}
	for _, list := range [][]spec.Mount{sp.System, {etc}, sp.Mounts} {
		for _, m := range list {
			if err := v.attachMount(m); err != nil {
				return fmt.Errorf("%s: %w", m.Inside, err)
			}
		}
	}
	return nil
}

func (v *view) attachMount(m spec.Mount) error {
	switch {
	case m.Mode == spec.Link:
		return unix.Symlink(m.Host, m.Inside)
	case m.Mode == spec.Overlay && m.Empty:
		return v.overlay(-1, m.Inside)
	}
	source, err := v.openSource(m)
	if err != nil {
		stage := "mount"
		if m.Tree {
			stage = "tree"
		}
		return &stageError{stage, fmt.Errorf("%s: %w", m.Inside, err)}
	}
	defer unix.Close(source)
	switch m.Mode {
	case spec.ReadOnly:
		return v.attach(source, m.Inside, attrsRO)
	case spec.Writable:
		return v.attach(source, m.Inside, attrsRW)
	case spec.Overlay:
		return v.overlay(source, m.Inside)
	}
	return fmt.Errorf("unknown mode %q", m.Mode)
}

// errIdentity means that a path no longer is what the daemon saw.
var errIdentity = errors.New("is not the file that was pinned")

// openSource opens a host path without following any symbolic link, and compares its identity.
func (v *view) openSource(m spec.Mount) (int, error) {
	fd, err := openBelow(v.host, m.Host, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return -1, fmt.Errorf("open: %w", err)
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && m.Ino != 0 && (st.Dev != m.Dev || st.Ino != m.Ino) {
		err = errIdentity
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// openBelow opens an absolute path as if root were "/". A rename elsewhere may make the kernel ask for
// another try.
func openBelow(root int, absolute string, resolve uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | resolve,
	}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(root, absolute, &how)
		if tries < 32 && (err == unix.EAGAIN || err == unix.EINTR) {
			continue
		}
		if err == unix.ENOSYS {
			return walkBelow(root, absolute, resolve&unix.RESOLVE_NO_SYMLINKS == 0)
		}
		return fd, err
	}
}

// attach clones the mount tree at source and puts it at inside.
func (v *view) attach(source int, inside string, attrs uint64) error {
	tree, err := unix.OpenTree(source, "",
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("clone the mount for %s: %w", inside, err)
	}
	defer unix.Close(tree)
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attrs}); err != nil {
		return fmt.Errorf("set the attributes of %s: %w", inside, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(source, &st); err != nil {
		return fmt.Errorf("stat the source of %s: %w", inside, err)
	}
	return v.put(tree, inside, st.Mode&unix.S_IFMT == unix.S_IFDIR)
}

// put attaches a detached mount at inside, making the place where it is missing.
func (v *view) put(mount int, inside string, dir bool) error {
	at, err := v.place(inside, dir)
	if err != nil {
		return fmt.Errorf("make a place for %s: %w", inside, err)
	}
	err = unix.MoveMount(mount, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		err = fmt.Errorf("attach %s: %w", inside, err)
	}
	return errors.Join(err, unix.Close(at))
}

// place opens inside within the view; what is missing of it is made. Links of the view are followed, and
// cannot lead out of it.
func (v *view) place(inside string, dir bool) (int, error) {
	fd, err := openBelow(v.root, inside, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return fd, err
	}
	parent, err := v.place(path.Dir(inside), true)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	name := path.Base(inside)
	if dir {
		err = unix.Mkdirat(parent, name, 0o755)
	} else {
		err = unix.Mknodat(parent, name, unix.S_IFREG|0o444, 0)
	}
	if err != nil {
		return -1, err
	}
	return unix.Openat(parent, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// leaveHost detaches the host's tree and makes the root read-only.
func (v *view) leaveHost() error {
	temporary := []string{hostRoot}
	if v.overlays > 0 {
		temporary = append(temporary, layers)
	}
	for _, d := range temporary {
		if err := unix.Unmount(d, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("detach %s: %w", d, err)
		}
		if err := unix.Rmdir(d); err != nil {
			return fmt.Errorf("remove %s: %w", d, err)
		}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: attrsRO}); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}
