package panel

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Bounds of validators that stay alive between checks.
const (
	maxResidents = 16
	residentIdle = 10 * time.Minute
)

// residents are validators that see no tree and answer one check after another: one process for each
// program, configuration and sandbox.
type residents struct {
	p    *Panel
	mu   sync.Mutex
	live map[string]*resident
}

// resident is one of them. Who holds its turn may use what is below it.
type resident struct {
	key  string
	turn chan struct{}

	plugin  Plugin
	kill    func() // ends the plugin
	retired bool
	idle    *time.Timer

	over sync.Mutex
	stop func(error) // of the check that is under way
}

// resides reports whether a rule's validator stays alive: it says so itself, it needs no tree of the base,
// and no limit of its sandbox counts what it did for others.
func resides(rule work.GateRule, q question) bool {
	return rule.Resident && q.launch.BaseTree == "" && rule.Digest != "" && (rule.Sandbox == nil || rule.Sandbox.CPUTime == 0)
}

// take is the validator for a check, started where it has to be, for nobody else until it is given back.
func (r *residents) take(ctx context.Context, rule work.GateRule, launch Launch, stop func(error)) (*resident, error) {
	box, err := json.Marshal(rule.Sandbox)
	if err != nil {
		return nil, err
	}
	key := digestOf([]byte(rule.Validator + "\x00" + rule.Digest + "\x00" + string(rule.Config) + "\x00" + string(box)))
	for {
		one := r.find(key)
		select {
		case one.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if one.retired { // while this one waited for its turn
			<-one.turn
			continue
		}
		if one.died() {
			r.mourn(one)
			continue
		}
		one.idle.Stop()
		one.during(stop)
		if one.plugin == nil {
			launch.OnExceeded = one.exceeded
			if one.plugin, err = r.p.opt.Plugins.Start(ctx, launch); err != nil {
				r.drop(one)
				return nil, err
			}
			one.kill = func() { r.p.bury(context.WithoutCancel(ctx), one.plugin) }
			go r.watch(one, one.plugin.Done()) // ends with the plugin
		}
		return one, nil
	}
}

// watch clears away a validator that died by itself, once nobody is at it: whose check it died under has
// its error, and the next one starts another.
func (r *residents) watch(one *resident, died <-chan struct{}) {
	<-died
	one.turn <- struct{}{}
	if one.retired {
		<-one.turn
		return
	}
	r.mourn(one)
}

// mourn drops a validator that died by itself.
func (r *residents) mourn(one *resident) {
	r.p.opt.Log.Warn("validator died between checks", "plugin", one.plugin.Identity().Name)
	r.drop(one)
}

// died reports whether the process has ended by itself. The caller has the turn.
func (o *resident) died() bool {
	if o.plugin == nil {
		return false
	}
	select {
	case <-o.plugin.Done():
		return true
	default:
		return false
	}
}

// find is the one of a key, made where there is none. Of too many the one that nobody uses goes.
func (r *residents) find(key string) *resident {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one, ok := r.live[key]; ok {
		return one
	}
	if len(r.live) >= maxResidents {
		for _, other := range r.live {
			if other.try() {
				delete(r.live, other.key)
				go r.end(other) // ends when the process is dead
				break
			}
		}
	}
	one := &resident{key: key, turn: make(chan struct{}, 1)}
	one.idle = time.AfterFunc(residentIdle, func() {
		if one.try() {
			r.drop(one)
		}
	})
	r.live[key] = one
	return one
}

// try takes the turn if nobody has it.
func (o *resident) try() bool {
	select {
	case o.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// during says who is told when the process goes over a limit.
func (o *resident) during(stop func(error)) {
	o.over.Lock()
	o.stop = stop
	o.over.Unlock()
}

func (o *resident) exceeded(err error) {
	o.over.Lock()
	defer o.over.Unlock()
	if o.stop != nil {
		o.stop(exceeded{err})
	}
}

// giveBack ends a turn. A validator that did not answer as it should is not asked again.
func (r *residents) giveBack(one *resident, sound bool) {
	one.during(nil)
	if !sound || one.retired {
		r.drop(one)
		return
	}
	one.idle.Reset(residentIdle)
	<-one.turn
}

// drop ends a validator whose turn the caller has; who waits for it starts another.
func (r *residents) drop(one *resident) {
	r.mu.Lock()
	if r.live[one.key] == one {
		delete(r.live, one.key)
	}
	r.mu.Unlock()
	r.end(one)
}

// bury stops a validator and wants the proof of its death.
func (p *Panel) bury(ctx context.Context, plugin Plugin) {
	if death, err := plugin.Stop(ctx); err != nil || !death.Proved {
		p.opt.Log.Error("validator's death is not proved", "plugin", plugin.Identity().Name, "error", err)
	}
}

// end stops the process. The caller has the turn.
func (r *residents) end(one *resident) {
	one.retired = true
	one.idle.Stop()
	if one.plugin != nil {
		one.kill()
		one.plugin = nil
	}
	<-one.turn
}

// release ends all of them, each after the check that it may be at. What begins meanwhile starts others.
func (r *residents) release(ctx context.Context) {
	r.mu.Lock()
	all := r.live
	r.live = map[string]*resident{}
	r.mu.Unlock()
	for _, one := range all {
		select {
		case one.turn <- struct{}{}:
			r.end(one)
		case <-ctx.Done():
			return
		}
	}
}
