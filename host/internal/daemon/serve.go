package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/httpapi"
)

// serve answers until ctx ends, then stops in order: no new work, no new requests, every attempt buried.
func (d *Daemon) serve(ctx context.Context) error {
	token, tokenFile, err := d.token()
	if err != nil {
		return err
	}
	d.api, err = httpapi.New(httpapi.Options{Handlers: d.handlers(), Log: d.log.Named("api"), Version: d.opt.Version, Token: token, Granted: d.granted})
	if err != nil {
		return err
	}
	ready := Ready{Socket: d.socketPath(), TokenFile: tokenFile, StateDir: d.config().cfg.Daemon.StateDir}
	unix, err := d.api.Unix(ready.Socket)
	if err != nil {
		return err
	}
	listeners := []*httpapi.Listener{unix}
	d.listeners = []string{"unix:" + ready.Socket}
	if addr := d.config().cfg.Daemon.Listen; addr != "" {
		tcp, err := d.api.Loopback(addr)
		if err != nil {
			return errors.Join(err, unix.Close())
		}
		ready.Address = tcp.Addr().String()
		d.listeners = append(d.listeners, "http://"+ready.Address)
		listeners = append(listeners, tcp)
	}
	return d.drive(ctx, ready, listeners)
}

// drive runs the parts that live as long as the daemon. The first that fails stops the rest.
func (d *Daemon) drive(ctx context.Context, ready Ready, listeners []*httpapi.Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	run := func(name string, f func(context.Context) error) {
		group.Go(func() {
			err := f(ctx)
			if err != nil && !errors.Is(err, context.Canceled) {
				err = fmt.Errorf("%s: %w", name, err)
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				stop(err)
			}
		})
	}
	run("dispatch", d.dispatch.Run)
	run("trees", d.git.Run)
	run("record", d.watchRecord)
	run("reload", d.watchReload)
	run("api", func(ctx context.Context) error { return d.api.Serve(ctx, listeners...) })
	ready.Took = time.Since(d.started)
	d.log.Info("ready", "socket", ready.Socket, "address", ready.Address, "took", ready.Took.Round(time.Millisecond/10).String())
	if d.opt.Ready != nil {
		d.opt.Ready(ready)
	}
	<-ctx.Done()
	close(d.stopping)
	d.log.Info("stopping", "live_attempts", d.dispatch.Live())
	group.Wait()
	return errors.Join(errs...)
}

// watchRecord stops the daemon when the record can no longer be written: nothing may happen unrecorded.
func (d *Daemon) watchRecord(ctx context.Context) error {
	select {
	case <-d.store.Broken():
		return fault.New(fault.Internal, "the record can no longer be written").Fix("see the log, check the disk, start again")
	case <-ctx.Done():
		return nil
	}
}

func (d *Daemon) watchReload(ctx context.Context) error {
	for {
		select {
		case _, ok := <-d.opt.Reload:
			if !ok {
				<-ctx.Done()
				return nil
			}
			if _, err := d.reload(ctx, daemonActor()); err != nil {
				d.log.Error("reload refused; the configuration before stays in force", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *Daemon) socketPath() string {
	if d.opt.Socket != "" {
		return d.opt.Socket
	}
	return filepath.Join(d.config().cfg.Daemon.StateDir, "run", "drawspan.sock")
}

// token is the loopback port's secret, kept 0600 for programs of the same user.
func (d *Daemon) token() (token, path string, err error) {
	if d.config().cfg.Daemon.Listen == "" {
		return "", "", nil
	}
	path = filepath.Join(d.config().cfg.Daemon.StateDir, "run", "token")
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", "", fmt.Errorf("make token: %w", err)
	}
	token = hex.EncodeToString(raw[:])
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", "", fmt.Errorf("remove the last token: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", "", fmt.Errorf("write token: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	return token, path, errors.Join(err, f.Close())
}

// granted is what the configuration in force says of a client.
func (d *Daemon) granted(client string, op api.Op) (declared, granted bool) {
	for _, c := range d.config().cfg.Clients {
		if c.Name == client {
			return true, c.May(string(op))
		}
	}
	return false, false
}
