package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/redact"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// maxKnown bounds how many values are masked; those that were handed in first are forgotten first.
const maxKnown = 128

// vault reads the values of credentials for launches, and masks every value that it ever read, whoever
// writes it.
type vault struct {
	variable func(string) (string, bool)

	mu    sync.Mutex
	known []redact.Secret
	masks atomic.Pointer[masks]
}

// masks are the redactors of one set of known values.
type masks struct{ all, exact *redact.Redactor }

func newVault(variable func(string) (string, bool)) *vault {
	if variable == nil {
		variable = func(string) (string, bool) { return "", false }
	}
	return &vault{variable: variable}
}

// learn adds values to what is masked from now on.
func (v *vault) learn(secrets []redact.Secret) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := slices.Clone(v.known)
	for _, s := range secrets {
		if !slices.Contains(known, s) {
			known = append(known, s)
		}
	}
	if v.masks.Load() != nil && len(known) == len(v.known) {
		return nil
	}
	known = known[max(0, len(known)-maxKnown):]
	all, err := redact.New(known)
	if err != nil {
		return err
	}
	exact, err := redact.Exact(known)
	if err != nil {
		return err
	}
	v.known = known
	v.masks.Store(&masks{all, exact})
	return nil
}

// JSON hides what is known, and what looks like a secret, in a JSON text or a line of a log: what is quoted
// in it is read before it is searched.
func (v *vault) JSON(p []byte) []byte { return v.masks.Load().all.JSON(p) }

// Stream is JSON for a stream of bytes: it knows the values of now.
func (v *vault) Stream(dst io.Writer) io.WriteCloser { return v.masks.Load().all.Stream(dst) }

// exactly hides the known values in a stream, and nothing else.
func (v *vault) exactly(dst io.Writer) io.WriteCloser { return v.masks.Load().exact.Stream(dst) }

// Text is the same for text.
func (v *vault) Text(s string) string { return v.masks.Load().all.String(s) }

// lines masks each write by itself, with what is known by then.
func (v *vault) lines(dst io.Writer) io.Writer { return maskedLines{v, dst} }

type maskedLines struct {
	vault *vault
	dst   io.Writer
}

// Write counts the bytes of p, whatever became of them.
func (l maskedLines) Write(p []byte) (int, error) {
	if _, err := l.dst.Write(l.vault.JSON(p)); err != nil {
		return 0, fmt.Errorf("write masked line: %w", err)
	}
	return len(p), nil
}

// conceal masks what a fault says. Its cause is for the log, which is masked itself.
func (v *vault) conceal(err error) error {
	var f *fault.Fault
	if !errors.As(err, &f) {
		return err
	}
	message, where, hint := v.Text(f.Message), v.Text(f.Where), v.Text(f.Hint)
	if message == f.Message && where == f.Where && hint == f.Hint {
		return err
	}
	return &fault.Fault{Code: f.Code, Message: message, Where: where, Hint: hint, Err: f.Err}
}

// unlock reads the credential of a gateway and learns it; "" for none.
func (v *vault) unlock(c *work.Credential) (string, error) {
	if c == nil {
		return "", nil
	}
	value, err := v.value(*c)
	if err != nil {
		return "", err
	}
	if err := v.learn([]redact.Secret{{Name: c.Name, Value: string(value)}}); err != nil {
		return "", fault.Wrap(err, fault.ConfigInvalid, "a credential cannot be masked").At(c.Declared)
	}
	return string(value), nil
}

// value reads a credential that can be masked.
func (v *vault) value(c work.Credential) ([]byte, error) {
	value, err := v.read(c)
	switch {
	case err != nil:
		return nil, err
	case len(value) == 0:
		return nil, refused(c, "%s is empty", sourceOf(c))
	case len(value) < redact.MinSecret || len(value) > redact.MaxSecret:
		return nil, refused(c, "the value has %d bytes; %d to %d can be masked", len(value), redact.MinSecret, redact.MaxSecret)
	}
	return value, nil
}

// open reads the credentials of a policy and learns their values before anybody else has them.
func (v *vault) open(p *work.SandboxPolicy) ([]sandbox.Secret, error) {
	var secrets []sandbox.Secret
	var values []redact.Secret
	for _, c := range p.Credentials {
		value, err := v.value(c)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, sandbox.Secret{Name: c.Name, Deliver: c.Deliver, Variable: c.Variable, Value: value})
		values = append(values, redact.Secret{Name: c.Name, Value: string(value)})
	}
	if err := v.learn(values); err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "a credential cannot be masked").At(p.Declared)
	}
	return secrets, nil
}

// refused is a credential that cannot be handed in. It never tells the value.
func refused(c work.Credential, format string, args ...any) *fault.Fault {
	return fault.New(fault.ConfigInvalid, "credential %q: %s", c.Name, fmt.Sprintf(format, args...)).At(c.Declared).
		Fix("set %s for the daemon, or remove the credential", sourceOf(c))
}

func sourceOf(c work.Credential) string {
	if c.FromFile != "" {
		return "the file " + c.FromFile
	}
	return "the variable " + c.FromEnv
}

func (v *vault) read(c work.Credential) ([]byte, error) {
	if c.FromFile != "" {
		return readSecret(c)
	}
	value, ok := v.variable(c.FromEnv)
	if !ok {
		return nil, refused(c, "the daemon was started without %s", c.FromEnv)
	}
	return []byte(value), nil
}

// readSecret reads a file that only its owner can read, without following a link to it and without
// waiting for what is no file. One newline at its end is the editor's.
func readSecret(c work.Credential) ([]byte, error) {
	f, err := os.OpenFile(c.FromFile, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, refused(c, "%s does not exist", sourceOf(c))
	case errors.Is(err, unix.ELOOP):
		return nil, refused(c, "%s is a symbolic link", sourceOf(c))
	case err != nil:
		return nil, refused(c, "%s cannot be opened: %v", sourceOf(c), errors.Unwrap(err))
	}
	defer f.Close() //nolint:errcheck // it was only read
	if err := checkSecret(c, f); err != nil {
		return nil, err
	}
	value, err := io.ReadAll(io.LimitReader(f, redact.MaxSecret+3)) // with its newline, and one too many
	if err != nil {
		return nil, refused(c, "%s cannot be read: %v", sourceOf(c), err)
	}
	if cut, ok := bytes.CutSuffix(value, []byte("\n")); ok {
		value = bytes.TrimSuffix(cut, []byte("\r"))
	}
	return value, nil
}

// checkSecret holds what was opened against what a credential's file has to be.
func checkSecret(c work.Credential, f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return refused(c, "%s cannot be looked at: %v", sourceOf(c), err)
	}
	switch owner := int(st.Uid); {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return refused(c, "%s is no regular file", sourceOf(c))
	case owner != os.Geteuid() && owner != 0:
		return refused(c, "%s belongs to user %d, neither to the daemon's nor to root", sourceOf(c), owner)
	case st.Mode&0o077 != 0:
		return refused(c, "%s can be read or written by others (mode %04o)", sourceOf(c), st.Mode&0o7777).Fix("run: chmod 600 %s", c.FromFile)
	}
	return nil
}

// pass are the daemon's own variables that a policy passes on, where the daemon has them. What the
// policy sets, or a credential sets, stays.
func (v *vault) pass(p *work.SandboxPolicy) []string {
	var env []string
	for _, name := range p.Pass {
		_, set := p.Env[name]
		taken := set || slices.ContainsFunc(p.Credentials, func(c work.Credential) bool { return c.Variable == name })
		if value, ok := v.variable(name); ok && !taken {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// environment are the variables that any sandbox of a policy asks for by name.
func (v *vault) environment(p *work.Policy) []string {
	env := map[string]string{}
	take := func(s *work.SandboxPolicy) {
		if s == nil {
			return
		}
		names := slices.Clone(s.Pass)
		for _, c := range s.Credentials {
			names = append(names, c.FromEnv)
		}
		for _, name := range names {
			if value, ok := v.variable(name); ok {
				env[name] = name + "=" + value
			}
		}
	}
	for _, w := range p.Workspaces {
		for _, r := range w.Provision.Runs {
			take(r.Sandbox)
		}
	}
	for _, e := range p.Executors {
		take(e.Sandbox)
		if g := e.Gateway; g != nil && g.Credential != nil {
			take(&work.SandboxPolicy{Credentials: []work.Credential{*g.Credential}})
		}
	}
	for _, w := range p.Workspaces {
		for _, g := range w.Gates {
			take(g.Sandbox)
		}
	}
	return slices.Sorted(maps.Values(env))
}
