package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/event"
	"github.com/drawspan/drawspan/host/internal/httpapi"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
)

// operatorHandlers answers the log, the audit, and what only the operator's machine may ask.
func (d *Daemon) operatorHandlers(h httpapi.Handlers) {
	h[api.OpEventsRead] = httpapi.Handle(d.eventsRead)
	h[api.OpEventsSubscribe] = httpapi.Handle(d.eventsSubscribe)
	h[api.OpAuditQuery] = httpapi.Handle(d.auditQuery)
	h[api.OpAuditVerify] = httpapi.Handle(d.auditVerify)
	h[api.OpAuditExport] = httpapi.Handle(d.auditExport)
	h[api.OpConfigShow] = httpapi.Handle(d.configShow)
	h[api.OpConfigPlan] = httpapi.Handle(d.configPlan)
	h[api.OpConfigReload] = httpapi.Handle(d.configReload)
	h[api.OpPluginList] = httpapi.Handle(d.pluginList)
	h[api.OpPluginVerify] = httpapi.Handle(d.pluginVerify)
	h[api.OpDoctor] = httpapi.Handle(d.doctor)
	h[api.OpGC] = httpapi.Handle(d.gc)
	h[api.OpBackup] = httpapi.Handle(d.backup)
}

func eventOf(e work.Event) api.Event {
	return api.Event{
		Pos: store.Position{Epoch: e.Epoch, Seq: e.Seq}.String(), At: e.At, Kind: e.Kind, Actor: actorOf(e.Actor),
		RunID: e.RunID, StepID: e.StepID, AttemptID: e.AttemptID, Body: json.RawMessage(e.Body), Purged: e.Body == nil,
	}
}

// eventFilter is the store's filter for a request on the log.
func eventFilter(r api.EventsRequest) (store.EventFilter, error) {
	after, err := position(r.After)
	if err != nil {
		return store.EventFilter{}, err
	}
	if err := check(map[ident.Prefix]string{ident.Run: r.RunID, ident.Step: r.StepID}); err != nil {
		return store.EventFilter{}, err
	}
	return store.EventFilter{After: after, Limit: pageSize(api.Page{Limit: r.Limit}), RunID: r.RunID, StepID: r.StepID, Kind: r.Kind}, nil
}

func (d *Daemon) eventsRead(ctx context.Context, _ api.Actor, r api.EventsRequest) (api.List[api.Event], error) {
	f, err := eventFilter(r)
	if err != nil {
		return api.List[api.Event]{}, err
	}
	return d.eventPage(ctx, f)
}

// eventPage reads one part of the log. A part may hold fewer than the limit, since answers are bounded in
// bytes too: only an empty one is the end, so the next is looked at before a cursor is promised.
func (d *Daemon) eventPage(ctx context.Context, f store.EventFilter) (api.List[api.Event], error) {
	events, err := d.store.Events(ctx, f)
	out := api.List[api.Event]{Items: mapAll(events, eventOf)}
	if err != nil || len(events) == 0 {
		return out, err
	}
	last := events[len(events)-1]
	f.After, f.Limit = store.Position{Epoch: last.Epoch, Seq: last.Seq}, 1
	more, err := d.store.Events(ctx, f)
	if len(more) > 0 {
		out.Next = f.After.String()
	}
	return out, err
}

// eventsSubscribe follows the log from a position, or from now. The store is what is read; the bus only
// says that there is more.
func (d *Daemon) eventsSubscribe(ctx context.Context, _ api.Actor, r api.EventsRequest) (api.Events, error) {
	f, err := eventFilter(r)
	if err != nil {
		return api.Events{}, err
	}
	if r.After == "" {
		head, err := d.store.Head(ctx)
		if err != nil {
			return api.Events{}, err
		}
		f.After = head.Position
	}
	s := &subscription{d: d, filter: f}
	return api.Events{Start: f.After.String(), Next: s.next}, nil
}

// subscription reads the log forward.
type subscription struct {
	d      *Daemon
	filter store.EventFilter
	ready  []work.Event
}

// logKey wakes those who follow the log.
const logKey = "log"

func (s *subscription) next(ctx context.Context) (api.Event, error) {
	for len(s.ready) == 0 {
		waitCtx, done := context.WithCancel(ctx)
		woken := s.d.bus.Wait(waitCtx, logKey)
		events, err := s.d.store.Events(ctx, s.filter)
		if err != nil {
			done()
			return api.Event{}, err
		}
		if s.ready = events; len(events) > 0 {
			done()
			break
		}
		select {
		case <-woken:
		case <-s.d.stopping:
			done()
			return api.Event{}, io.EOF
		case <-ctx.Done():
			done()
			return api.Event{}, ctx.Err()
		}
		done()
	}
	e := s.ready[0]
	s.ready = s.ready[1:]
	s.filter.After = store.Position{Epoch: e.Epoch, Seq: e.Seq}
	return eventOf(e), nil
}

// published hands committed events to those who wait.
func published(bus *event.Bus) func([]work.Event) {
	return func(events []work.Event) {
		for _, e := range events {
			bus.Publish(e)
		}
		bus.Wake(logKey)
	}
}

func (d *Daemon) auditQuery(ctx context.Context, _ api.Actor, r api.AuditQueryRequest) (api.List[api.Event], error) {
	none := api.List[api.Event]{}
	f, err := eventFilter(api.EventsRequest{After: r.Cursor, Limit: r.Limit, RunID: r.RunID, StepID: r.StepID, Kind: r.Kind})
	if err != nil {
		return none, err
	}
	f.Newest, f.Actor = true, r.Actor
	for _, t := range []struct {
		name, text string
		at         *time.Time
	}{{"since", r.Since, &f.Since}, {"until", r.Until, &f.Until}} {
		if t.text == "" {
			continue
		}
		if *t.at, err = time.Parse(time.RFC3339, t.text); err != nil {
			return none, fault.New(fault.InvalidRequest, "%s is %q, which is not an RFC 3339 time", t.name, t.text).At(t.name)
		}
	}
	return d.eventPage(ctx, f)
}

// auditVerify recomputes the whole log and, when asked, every artifact.
func (d *Daemon) auditVerify(ctx context.Context, _ api.Actor, r api.AuditVerifyRequest) (api.AuditVerdict, error) {
	began := time.Now()
	v, err := d.store.Verify(ctx, nil)
	if err != nil {
		return api.AuditVerdict{}, err
	}
	out := api.AuditVerdict{
		Events: v.Events, Runs: v.Runs, Checkpoints: v.Checkpoints, Bodies: v.Bodies, Purged: v.Purged, Root: v.Root, Key: v.Key, Problems: []string{},
	}
	for _, p := range v.Problems {
		out.Problems = append(out.Problems, problemText(p))
	}
	folded, err := d.store.Fold(ctx)
	if err != nil {
		return api.AuditVerdict{}, err
	}
	for _, p := range folded {
		out.Problems = append(out.Problems, problemText(p))
	}
	if r.Artifacts {
		if err := d.verifyArtifacts(ctx, &out); err != nil {
			return api.AuditVerdict{}, err
		}
	}
	out.OK = len(out.Problems) == 0
	out.TookMS = float64(time.Since(began)) / float64(time.Millisecond)
	return out, nil
}

// verifyArtifacts reads every artifact of every attempt against its digest.
func (d *Daemon) verifyArtifacts(ctx context.Context, out *api.AuditVerdict) error {
	attempts, err := all(func(cursor string) (store.Page[work.Attempt], error) {
		return d.store.Attempts(ctx, store.AttemptFilter{Cursor: cursor})
	})
	if err != nil {
		return err
	}
	for _, at := range attempts {
		rows, err := d.store.Artifacts(ctx, at.ID)
		if err != nil {
			return err
		}
		for _, row := range rows {
			full, err := d.store.Artifact(ctx, at.ID, row.Name)
			if err == nil {
				var body io.ReadSeekCloser
				if body, err = d.bytesOf(ctx, full); err == nil {
					err = body.Close()
				}
			}
			if err != nil {
				out.Problems = append(out.Problems, "artifact "+row.Name+" of "+at.ID+": "+fault.From(err).Message)
			}
			out.Artifacts++
		}
	}
	return ctx.Err()
}

func (d *Daemon) runExport(ctx context.Context, a api.Actor, r api.RunRef) (api.Blob, error) {
	if _, err := d.runGet(ctx, a, r); err != nil {
		return api.Blob{}, err
	}
	return d.export(ctx, r.RunID), nil
}

func (d *Daemon) auditExport(ctx context.Context, a api.Actor, r api.AuditExportRequest) (api.Blob, error) {
	if r.RunID != "" {
		return d.runExport(ctx, a, api.RunRef(r))
	}
	return d.export(ctx, ""), nil
}

// export streams the log, or one run of it, as JSON lines: envelope bytes as hashed, salt and body, then
// the newest signed checkpoint.
func (d *Daemon) export(ctx context.Context, runID string) api.Blob {
	r, w := io.Pipe()
	go func() { // ends when the log is written or the reader goes away
		buf := bufio.NewWriterSize(w, 64<<10)
		err := d.store.Export(ctx, runID, buf)
		w.CloseWithError(errors.Join(err, buf.Flush()))
	}()
	return api.Blob{Media: "application/jsonl", Size: -1, Name: "audit.jsonl", Body: r}
}

func (d *Daemon) backup(ctx context.Context, a api.Actor, r api.BackupRequest) (api.BackupReport, error) {
	report, err := d.copyState(ctx, r.Dir)
	if err != nil {
		return api.BackupReport{}, err
	}
	err = d.record(ctx, work.Fact{Kind: "record.backed_up", Actor: work.Actor(a), At: time.Now().UTC(), Body: report})
	return report, err
}
