package daemon

import (
	"os/user"
	"strconv"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// asUser refuses root without run_as, and with it becomes that user: groups, gid and uid are dropped and
// the program is executed anew, so that nothing of root's stays in the process but the variables that the
// policy names.
func asUser(o Options, name string, p *work.Policy) error {
	if o.UID != 0 {
		if name != "" {
			return fault.New(fault.ConfigInvalid, "run_as is set, but only root can become another user").Fix("remove run_as, or start as root")
		}
		return nil
	}
	if name == "" {
		return fault.New(fault.RootRefused, "drawspan does not run as root").
			Fix("start it as your own user, or set daemon { run_as = \"USER\" }")
	}
	uid, gid, home, err := identity(name)
	if err != nil {
		return err
	}
	if uid == 0 {
		return fault.New(fault.RootRefused, "run_as names root").Fix("name an ordinary user")
	}
	env := append([]string{"HOME=" + home, "USER=" + name, "LOGNAME=" + name}, o.Environ...)
	env = append(env, newVault(o.Variable).environment(p)...)
	return sandbox.Become(sandbox.Identity{UID: uid, GID: gid}, o.Argv, env)
}

// identity finds a user by name or number.
func identity(name string) (uid, gid int, home string, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return 0, 0, "", fault.New(fault.ConfigInvalid, "run_as: there is no user %q", name)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		return 0, 0, "", fault.New(fault.ConfigInvalid, "run_as: user %q has no numeric ids", name)
	}
	return uid, gid, u.HomeDir, nil
}
