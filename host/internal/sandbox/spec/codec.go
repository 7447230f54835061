package spec

import (
	"encoding/binary"
	"errors"
)

// The wire format is made by hand: the launcher is started for every launch, and a general encoder would
// cost it more than all its mounts. Each type lists its fields once, in walk, for both directions.

// errPacket means that a packet is not what its type asks for.
var errPacket = errors.New("malformed packet")

// limits on what a decoder allocates before it has seen the bytes.
const maxElements = 1 << 14

type coder struct {
	buf    []byte
	decode bool
	failed bool
}

// number codes an integer. Encoding only reads, here and below: launches share what they are made of.
func (c *coder) number(n *int64) {
	if !c.decode {
		c.buf = binary.AppendVarint(c.buf, *n)
		return
	}
	v, used := binary.Varint(c.buf)
	if used <= 0 {
		c.failed, c.buf = true, nil
		return
	}
	*n, c.buf = v, c.buf[used:]
}

func (c *coder) integer(n *int) {
	v := int64(*n)
	if c.number(&v); c.decode {
		*n = int(v)
	}
}

func (c *coder) unsigned(n *uint64) {
	v := int64(*n)
	if c.number(&v); c.decode {
		*n = uint64(v)
	}
}

func (c *coder) yes(b *bool) {
	v := int64(0)
	if *b {
		v = 1
	}
	if c.number(&v); c.decode {
		*b = v != 0
	}
}

func (c *coder) text(s *string) {
	n := int64(len(*s))
	c.number(&n)
	if !c.decode {
		c.buf = append(c.buf, *s...)
		return
	}
	if n < 0 || n > int64(len(c.buf)) {
		c.failed, c.buf = true, nil
		return
	}
	*s, c.buf = string(c.buf[:n]), c.buf[n:]
}

func (c *coder) bytes(b *[]byte) {
	s := string(*b)
	if c.text(&s); c.decode {
		*b = []byte(s)
	}
}

// list codes a slice: its length, then each element.
func list[T any](c *coder, items *[]T, each func(*T)) {
	n := int64(len(*items))
	c.number(&n)
	if c.decode {
		if n < 0 || n > maxElements {
			c.failed, c.buf = true, nil
			return
		}
		*items = nil
	}
	for i := 0; i < int(n) && !c.failed; i++ {
		if c.decode {
			var zero T
			*items = append(*items, zero)
		}
		each(&(*items)[i])
	}
}

func (c *coder) texts(s *[]string) { list(c, s, c.text) }

// optional codes a pointer: whether it is there, then what it points to.
func optional[T any](c *coder, p **T, each func(*T)) {
	there := *p != nil
	c.yes(&there)
	if !there || c.failed {
		return
	}
	if c.decode {
		*p = new(T)
	}
	each(*p)
}

func (c *coder) finish() error {
	if c.failed || len(c.buf) != 0 {
		return errPacket
	}
	return nil
}

// Append adds the encoded Spec to buf.
func (s *Spec) Append(buf []byte) []byte {
	c := &coder{buf: buf}
	s.walk(c)
	return c.buf
}

// Decode fills s from a packet.
func (s *Spec) Decode(packet []byte) error {
	*s = Spec{}
	c := &coder{buf: packet, decode: true}
	s.walk(c)
	return c.finish()
}

func (s *Spec) walk(c *coder) {
	c.integer(&s.UID)
	c.integer(&s.GID)
	c.text(&s.Hostname)
	list(c, &s.System, func(m *Mount) { m.walk(c) })
	c.text(&s.Etc)
	c.text(&s.Home)
	list(c, &s.Mounts, func(m *Mount) { m.walk(c) })
	list(c, &s.Secrets, func(x *Secret) { c.text(&x.Name); c.bytes(&x.Value) })
	c.number(&s.Scratch)
	c.text(&s.Backend)
	c.text(&s.Network)
	c.yes(&s.Gateway)
	c.texts(&s.Calls)
	s.Limits.walk(c)
	s.Probe.walk(c)
	c.yes(&s.Program)
	c.text(&s.Path)
	c.texts(&s.Argv)
	c.texts(&s.Env)
	c.text(&s.Dir)
}

func (m *Mount) walk(c *coder) {
	c.text(&m.Host)
	c.text(&m.Inside)
	c.text(&m.Mode)
	c.unsigned(&m.Dev)
	c.unsigned(&m.Ino)
	c.yes(&m.Tree)
	c.yes(&m.Empty)
	c.yes(&m.Git)
	c.yes(&m.Shared)
}

func (l *Limits) walk(c *coder) {
	c.integer(&l.Processes)
	c.integer(&l.OpenFiles)
	c.number(&l.FileSize)
	c.number(&l.Memory)
	c.number(&l.Disk)
	c.integer(&l.CPUs)
	c.number(&l.CPUTimeMS)
}

func (p *Probe) walk(c *coder) {
	c.text(&p.StateCanary)
	c.text(&p.HomeCanary)
	c.text(&p.Home)
	c.unsigned(&p.HomeDev)
	c.unsigned(&p.HomeIno)
	c.texts(&p.Namespaces)
}

// Append adds the encoded Message to buf.
func (m *Message) Append(buf []byte) []byte {
	c := &coder{buf: buf}
	m.walk(c)
	return c.buf
}

// Decode fills m from a packet.
func (m *Message) Decode(packet []byte) error {
	*m = Message{}
	c := &coder{buf: packet, decode: true}
	m.walk(c)
	return c.finish()
}

func (m *Message) walk(c *coder) {
	optional(c, &m.Report, func(r *Report) { r.walk(c) })
	optional(c, &m.Started, func(s *Started) { c.integer(&s.PID); c.text(&s.Err) })
	list(c, &m.Violations, func(v *Violation) { v.walk(c) })
	optional(c, &m.Exceeded, func(x *Exceeded) { c.text(&x.Limit); c.number(&x.Used); c.number(&x.Cap) })
	optional(c, &m.Exit, func(e *Exit) { e.walk(c) })
}

func (r *Report) walk(c *coder) {
	c.text(&r.Stage)
	c.text(&r.Err)
	r.Features.walk(c)
	c.integer(&r.Landlock)
	c.integer(&r.Filter)
	r.Limits.walk(c)
	list(c, &r.Verified, func(v *Verified) { c.text(&v.Name); c.yes(&v.Held) })
	c.texts(&r.Notes)
	c.number(&r.SetupUS)
	c.number(&r.VerifyUS)
}

func (f *Features) walk(c *coder) {
	for _, b := range []*bool{
		&f.Namespaces, &f.View, &f.Network, &f.Caps, &f.Nested, &f.NoNewPrivs, &f.Seccomp, &f.Notify,
		&f.Landlock, &f.Scopes, &f.Limits, &f.FDs, &f.Git, &f.External, &f.Reaper,
	} {
		c.yes(b)
	}
}

func (v *Violation) walk(c *coder) {
	c.integer(&v.Syscall)
	c.text(&v.Name)
	c.integer(&v.PID)
	c.text(&v.Comm)
	c.number(&v.Count)
}

func (e *Exit) walk(c *coder) {
	c.integer(&e.Code)
	c.integer(&e.Signal)
	c.integer(&e.Leftovers)
	c.yes(&e.Emptied)
	c.yes(&e.Ended)
	c.number(&e.UserUS)
	c.number(&e.SystemUS)
	c.number(&e.MaxRSSKB)
}
