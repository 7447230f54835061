// Package journal keeps the live stream of one attempt: every event in order as JSON lines
// (events.jsonl) and the executor's output as raw bytes (stdout.log, stderr.log).
//
// It guarantees a gapless sequence stamped by the host, that everything is masked before it reaches the
// disk, that nothing beyond the declared cap is written and that the cut is marked, and that a follower
// who starts at an offset sees every byte from there once. The files are sealed as artifacts when the
// attempt ends. It must not know plugins, the record or where artifacts are kept.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/drawspan/drawspan/sdk"
)

// ErrFull is returned by Append once the cap is reached. What came before is kept.
var ErrFull = errors.New("the attempt's output cap is reached")

// Names of the files, which are also the artifacts' names.
const (
	EventsName = "events.jsonl"
	StdoutName = "stdout.log"
	StderrName = "stderr.log"
)

// Masker hides secrets. Stream masks what is written to it before it reaches dst and holds back at most
// the tail that could be the beginning of a secret, until Close; JSON does so for a whole JSON text.
type Masker interface {
	Stream(dst io.Writer) io.WriteCloser
	JSON(p []byte) []byte
}

// Options of a journal.
type Options struct {
	Dir       string // made by Create, 0700
	AttemptID string
	Limit     int64 // bytes of output and event data together
	Mask      Masker
	Now       func() time.Time
	Wake      func() // called after every append; may be nil
}

// Journal is the stream of one attempt. Its methods are safe for concurrent use.
type Journal struct {
	opt Options

	mu        sync.Mutex
	events    *os.File
	logs      map[string]*logFile
	seq       int64
	used      int64
	truncated bool
	sealed    bool
}

type logFile struct {
	name   string
	file   *os.File
	size   int64
	masked io.WriteCloser
}

// line is the envelope of one event.
type line struct {
	V         int             `json:"v"`
	AttemptID string          `json:"attempt_id"`
	Seq       int64           `json:"seq"`
	Time      time.Time       `json:"time"`
	AgentTime *time.Time      `json:"agent_time,omitempty"`
	Source    string          `json:"source"`
	Type      string          `json:"type"`
	ItemID    string          `json:"item_id,omitempty"`
	ParentID  string          `json:"parent_id,omitempty"`
	Turn      int             `json:"turn,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Raw       *rawRef         `json:"raw,omitempty"`
}

// rawRef says where the exact bytes of a log event are.
type rawRef struct {
	Artifact string `json:"artifact"`
	Offset   int64  `json:"offset"`
	Len      int    `json:"len"`
}

// Create makes the directory and the event file. The log files come with their first byte.
func Create(o Options) (*Journal, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make journal directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(o.Dir, EventsName), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create event file: %w", err)
	}
	return &Journal{opt: o, events: f, logs: map[string]*logFile{}}, nil
}

// Append writes one event. Log events go to their log file, with a reference in the event line.
func (j *Journal) Append(source string, e sdk.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.sealed {
		return errors.New("append to a sealed journal")
	}
	size := int64(len(e.Log) + len(e.Data))
	if j.used+size > j.opt.Limit {
		return j.overflow(source, e)
	}
	j.used += size
	return j.put(source, e)
}

func (j *Journal) put(source string, e sdk.Event) error {
	if e.Type == sdk.EventLog && len(e.Log) > 0 {
		return j.putLog(source, e)
	}
	data := e.Data
	if len(data) > 0 {
		data = j.opt.Mask.JSON(data)
		if !json.Valid(data) {
			quoted, err := json.Marshal(string(data))
			if err != nil {
				return fmt.Errorf("quote event data: %w", err)
			}
			data = quoted
		}
	}
	return j.writeLine(source, e, data, nil)
}

// overflow keeps what still fits of a log event, marks the cut once, and reports ErrFull.
func (j *Journal) overflow(source string, e sdk.Event) error {
	if !j.truncated {
		j.truncated = true
		if room := j.opt.Limit - j.used; e.Type == sdk.EventLog && room > 0 {
			e.Log = e.Log[:min(room, int64(len(e.Log)))]
			j.used += int64(len(e.Log))
			if err := j.put(source, e); err != nil {
				return err
			}
		}
		cut := sdk.Event{Type: sdk.EventOutputTruncated, Data: fmt.Appendf(nil, `{"limit_bytes":%d}`, j.opt.Limit)}
		if err := j.put("host", cut); err != nil {
			return err
		}
	}
	return ErrFull
}

// maskedLog receives masked bytes of one log stream and writes file and event line.
type maskedLog struct {
	j      *Journal
	log    *logFile
	source string
	stream string
}

// Write is called by the masker with j.mu held, since only Append and Seal feed it.
func (m *maskedLog) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := m.log.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("write %s: %w", m.log.name, err)
	}
	ref := &rawRef{Artifact: m.log.name, Offset: m.log.size, Len: n}
	m.log.size += int64(n)
	data, err := json.Marshal(map[string]string{"stream": m.stream, "text": string(p)})
	if err != nil {
		return n, fmt.Errorf("encode log text: %w", err)
	}
	return n, m.j.writeLine(m.source, sdk.Event{Type: sdk.EventLog}, data, ref)
}

func (j *Journal) putLog(source string, e sdk.Event) error {
	log, err := j.logFor(source, e.Stream)
	if err != nil {
		return err
	}
	if _, err := log.masked.Write(e.Log); err != nil {
		return fmt.Errorf("mask log: %w", err)
	}
	return nil
}

func (j *Journal) logFor(source, stream string) (*logFile, error) {
	name := StdoutName
	if stream == "stderr" {
		name = StderrName
	} else {
		stream = "stdout"
	}
	if log, ok := j.logs[name]; ok {
		return log, nil
	}
	f, err := os.OpenFile(filepath.Join(j.opt.Dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create log file: %w", err)
	}
	log := &logFile{name: name, file: f}
	log.masked = j.opt.Mask.Stream(&maskedLog{j: j, log: log, source: source, stream: stream})
	j.logs[name] = log
	return log, nil
}

func (j *Journal) writeLine(source string, e sdk.Event, data json.RawMessage, ref *rawRef) error {
	j.seq++
	l := line{
		V: 1, AttemptID: j.opt.AttemptID, Seq: j.seq, Time: j.opt.Now().UTC(), Source: source, Type: string(e.Type),
		ItemID: e.ItemID, ParentID: e.Parent, Turn: e.Turn, Data: data, Raw: ref,
	}
	if !e.Time.IsZero() {
		at := e.Time.UTC()
		l.AgentTime = &at
	}
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if _, err := j.events.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if j.opt.Wake != nil {
		j.opt.Wake()
	}
	return nil
}

// File is one sealed file.
type File struct {
	Name  string
	Kind  string
	Media string
	Path  string
	Size  int64
}

// Sealed is what a journal became.
type Sealed struct {
	Files     []File
	Events    int64
	Output    int64
	Truncated bool
}

// Seal flushes what the maskers held back and closes the files; later appends fail. It may be called
// again and then answers the same.
func (j *Journal) Seal() (Sealed, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	if !j.sealed {
		for _, log := range j.logs {
			errs = append(errs, log.masked.Close(), log.file.Close())
		}
		errs = append(errs, j.events.Close())
		j.sealed = true
	}
	s := Sealed{Events: j.seq, Output: j.used, Truncated: j.truncated}
	for _, name := range []string{EventsName, StdoutName, StderrName} {
		path := filepath.Join(j.opt.Dir, name)
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		kind, media := "log", "text/plain; charset=utf-8"
		if name == EventsName {
			kind, media = "events", "application/jsonl"
		}
		s.Files = append(s.Files, File{Name: name, Kind: kind, Media: media, Path: path, Size: info.Size()})
	}
	if err := errors.Join(errs...); err != nil {
		return s, fmt.Errorf("seal journal: %w", err)
	}
	if j.opt.Wake != nil {
		j.opt.Wake()
	}
	return s, nil
}
