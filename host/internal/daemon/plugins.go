package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/egress"
	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// pluginsPort joins the loader to the dispatcher. It hands credentials in and opens the way out, and
// masks on the way back whatever a plugin says.
type pluginsPort struct {
	loader   *loader.Loader
	programs *programs
	vault    *vault
	resolver egress.Resolver
	dial     func(context.Context, netip.AddrPort) (net.Conn, error)
	record   func(ctx context.Context, facts ...work.Mutation) error
	log      hclog.Logger
}

func (d *Daemon) pluginsPort() pluginsPort {
	return pluginsPort{loader: d.loader, programs: d.programs, vault: d.vault, resolver: d.opt.Resolver, dial: d.opt.Dial, record: d.record, log: d.log.Named("egress")}
}

func (p pluginsPort) Start(ctx context.Context, l dispatch.Launch) (dispatch.Plugin, error) {
	mode := sandbox.TreeWritable
	switch {
	case l.Tree == "":
		mode = ""
	case l.Sealed:
		mode = sandbox.TreeOverlay
	}
	launch := loader.Launch{
		Kind: l.Kind, Name: l.Name, Config: l.Config, Policy: l.Policy, Tree: l.Tree, Mode: mode, Dev: l.Dev, Ino: l.Ino, BaseTree: l.BaseTree, AttemptID: l.AttemptID,
	}
	if g := l.Git; g != nil {
		launch.Git = &sandbox.Git{Dir: g.Dir, Protect: g.Protect, Objects: g.Objects}
	}
	if l.OnViolation != nil {
		launch.OnViolation = func(v sandbox.Violation) {
			l.OnViolation(dispatch.Violation{Syscall: v.Name, PID: v.PID, Comm: v.Comm, Count: v.Count})
		}
	}
	if l.OnExceeded != nil {
		launch.OnExceeded = func(x sandbox.Exceeded) {
			l.OnExceeded(dispatch.Excess{Limit: x.Limit, Used: x.Used, Cap: x.Cap})
		}
	}
	driven, err := p.programs.ready(ctx, l.Executor, l.Program)
	if err != nil {
		return nil, err
	}
	launch.Program = driven.launch()
	if launch.Secrets, err = p.vault.open(l.Policy); err != nil {
		return nil, err
	}
	launch.Env, launch.Binds = slices.Concat(p.vault.pass(l.Policy), l.Env), bindsOf(l.Binds)
	out, err := p.ways(ctx, l)
	if err != nil {
		return nil, err
	}
	launch.OnListener, launch.OnGateway = out.network.onListener(), out.model.onListener()
	i, err := p.loader.Start(ctx, launch)
	if err != nil {
		out.end()
		return nil, p.vault.conceal(err)
	}
	go func() { // ends with the plugin
		<-i.Done()
		out.end()
	}()
	return pluginPort{i, p.vault, out, driven, &aliases{}}, nil
}

// pluginPort is one started plugin.
type pluginPort struct {
	*loader.Instance
	vault  *vault
	ways   ways
	driven *driven // nil where it drives no program
	items  *aliases
}

// aliases are the ids of a plugin's questions that masking changed: the answer goes to the plugin's own.
type aliases struct {
	mu  sync.Mutex
	own map[string]string
}

const maxAliases = 1000

func (a *aliases) remember(masked, own string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.own == nil || len(a.own) >= maxAliases {
		a.own = map[string]string{}
	}
	a.own[masked] = own
}

func (a *aliases) resolve(masked string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if own, ok := a.own[masked]; ok {
		return own
	}
	return masked
}

// Input answers a question under the id that the plugin knows.
func (p pluginPort) Input(ctx context.Context, item string, answer sdk.Answer, decision sdk.Decision) error {
	return p.Instance.Input(ctx, p.items.resolve(item), answer, decision)
}

// Unchanged looks again at the program that was driven.
func (p pluginPort) Unchanged(ctx context.Context) error { return p.driven.unchanged(ctx) }

// Identity masks what the plugin said of itself: it had its credentials when it was asked.
func (p pluginPort) Identity() work.PluginIdentity {
	id := p.Instance.Identity()
	id.Version = p.vault.Text(id.Version)
	return id
}

// Leftovers is how many processes were alive beside the plugin when it ended; asked after Stop.
func (p pluginPort) Leftovers() int { return p.Instance.Exit().Leftovers }

// ModelUse is what the gateway counted.
func (p pluginPort) ModelUse() *sdk.Usage { return p.ways.model.used() }

// endWithin is how long a plugin that has answered may take to end by itself before it is killed.
const endWithin = 500 * time.Millisecond

// Stop also ends the plugin's ways out, whether its death is proved or not.
func (p pluginPort) Stop(ctx context.Context) (work.Death, error) {
	death, err := p.Instance.Stop(ctx, endWithin)
	p.ways.end()
	return death, err
}

// Execute masks events and the result. Output is masked by the journal, which sees all of a stream.
func (p pluginPort) Execute(ctx context.Context, a sdk.Attempt, sink func(context.Context, sdk.Event) error) (sdk.Result, error) {
	a.Gateway = p.ways.model.given()
	result, err := p.Instance.Execute(ctx, a, func(ctx context.Context, e sdk.Event) error {
		if len(e.Data) > 0 {
			e.Data = p.vault.JSON(e.Data)
		}
		own := e.ItemID
		e.ItemID, e.Parent = p.vault.Text(own), p.vault.Text(e.Parent)
		if e.ItemID != own {
			p.items.remember(e.ItemID, own)
		}
		return sink(ctx, e)
	})
	result.Summary, result.Message = p.vault.Text(result.Summary), p.vault.Text(result.Message)
	result.Class, result.Signal, result.StopReason = p.vault.Text(result.Class), p.vault.Text(result.Signal), p.vault.Text(result.StopReason)
	result.Session, result.Version = p.vault.Text(result.Session), p.vault.Text(result.Version)
	if u := result.Usage; u != nil {
		masked := *u
		masked.Currency, masked.Model = p.vault.Text(u.Currency), p.vault.Text(u.Model)
		result.Usage = &masked
	}
	result.State = slices.Clone(result.State)
	for i, f := range result.State { // each for itself: what they become together is encoded
		result.State[i] = sdk.StateFile{Path: p.vault.Text(f.Path), Data: p.vault.JSON(f.Data)}
	}
	return result, p.vault.conceal(err)
}

// Check masks the validator's output, which may cut a value in two, and its verdict.
func (p pluginPort) Check(ctx context.Context, c sdk.Check, output func(stream string, b []byte) error) (sdk.Verdict, error) {
	streams := map[string]io.WriteCloser{}
	verdict, err := p.Instance.Check(ctx, c, func(stream string, b []byte) error {
		if streams[stream] == nil {
			streams[stream] = p.vault.Stream(pieces{stream, output})
		}
		_, err := streams[stream].Write(b)
		return err
	})
	for _, name := range sortedKeys(streams) {
		if closed := streams[name].Close(); err == nil {
			err = closed
		}
	}
	if err != nil {
		return sdk.Verdict{}, p.vault.conceal(err)
	}
	return p.masked(verdict), nil
}

// pieces hands what is written to it on as output of a stream.
type pieces struct {
	stream string
	output func(stream string, b []byte) error
}

func (p pieces) Write(b []byte) (int, error) {
	if err := p.output(p.stream, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p pluginPort) masked(v sdk.Verdict) sdk.Verdict {
	text := p.vault.Text
	v.Message = text(v.Message)
	v.Findings = slices.Clone(v.Findings)
	for i, f := range v.Findings {
		f.Rule, f.Severity, f.Path = text(f.Rule), text(f.Severity), text(f.Path)
		f.Message, f.Help, f.Fingerprint = text(f.Message), text(f.Help), text(f.Fingerprint)
		v.Findings[i] = f
	}
	if v.Ran != nil {
		ran := *v.Ran
		ran.Signal, ran.Argv = text(ran.Signal), mapAll(ran.Argv, text)
		v.Ran = &ran
	}
	return v
}

// lockState is what the lock file says of a plugin.
func (d *Daemon) lockState(kind, name string) (simulated, locked bool, digest string) {
	entry, ok := d.config().lock.Find(kind, name)
	if !ok || entry.Digest() == "" {
		return false, false, ""
	}
	return entry.Simulated, true, entry.Digest()
}

// simulators are the declared executors that only play a part.
func (d *Daemon) simulators() []string {
	var out []string
	policy := d.dispatch.Policy()
	for _, name := range sortedKeys(policy.Executors) {
		if simulated, _, _ := d.lockState("executor", policy.Executors[name].Plugin); simulated {
			out = append(out, name)
		}
	}
	return out
}

// levels are the sandbox levels that an operator can require on this machine, tried by launching.
func (d *Daemon) levels(ctx context.Context) []string { return d.sandbox.Levels(ctx) }

func problemText(p audit.Problem) string {
	text := p.What
	if p.Seq >= 0 {
		text = fmt.Sprintf("event %d: %s", p.Seq, text)
	}
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	return text
}

func (d *Daemon) pluginList(context.Context, api.Actor, api.Empty) (api.List[api.Plugin], error) {
	l := d.config()
	rows, err := Plugins(PluginDirs(l.cfg, d.opt.Libexec), used(l.cfg), l.lock)
	return api.List[api.Plugin]{Items: rows}, err
}

func (d *Daemon) pluginVerify(ctx context.Context, a api.Actor, e api.Empty) (api.List[api.Plugin], error) {
	return d.pluginList(ctx, a, e)
}

// Plugins compares the named programs with the lock file. Every file is hashed anew.
func Plugins(dirs, names []string, lock *pluginlock.File) ([]api.Plugin, error) {
	programs, err := pluginlock.Installed(dirs)
	if err != nil {
		return nil, err
	}
	rows := []api.Plugin{}
	for _, name := range names {
		p := pluginlock.Program{Name: name}
		if i := slices.IndexFunc(programs, func(q pluginlock.Program) bool { return q.Name == name }); i >= 0 {
			p = programs[i]
		}
		row, err := pluginRow(p, lock)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func pluginRow(p pluginlock.Program, lock *pluginlock.File) (api.Plugin, error) {
	row := api.Plugin{Name: p.Plugin(), Kind: p.Kind(), Path: p.Path, State: "missing"}
	entry, locked := lock.Find(p.Kind(), p.Plugin())
	if locked {
		row.Version, row.Simulated, row.Locked = entry.Version, entry.Simulated, entry.Digest()
	}
	if p.Path == "" {
		return row, nil
	}
	var err error
	if row.Digest, err = pluginlock.DigestFile(p.Path); err != nil {
		return row, err
	}
	switch row.Locked {
	case "":
		row.State = "not_locked"
	case row.Digest:
		row.State = "ok"
	default:
		row.State = "mismatch"
	}
	return row, nil
}
