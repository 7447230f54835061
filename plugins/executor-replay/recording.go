package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/drawspan/drawspan/sdk"
)

// The bounds of a recording.
const (
	maxLine   = 4 << 20
	maxEvents = 256 << 20 // bytes of events.jsonl
	maxLog    = 256 << 20
	maxResult = 4 << 20
	maxPatch  = 64 << 20
)

// recording is an open directory with the artifacts of one attempt.
type recording struct {
	dir     *os.Root
	name    string
	events  *os.File
	logs    map[string]*os.File // by artifact name; the exact bytes of the output, where they were kept
	dropped int                 // events of the host
}

// open finds a recording: below the tree, without leaving it, or where an absolute path leads.
func open(tree, name string) (*recording, error) {
	root, err := root(tree, name)
	if err != nil {
		text := fmt.Sprintf("the recording %q cannot be opened: %v: keep it in the repository, or name its directory in the sandbox's filesystem { read }", name, reason(err))
		return nil, &sdk.Failure{Class: "policy", Message: text}
	}
	r := &recording{dir: root, name: name, logs: map[string]*os.File{}}
	if r.events, err = r.file("events.jsonl", maxEvents); err != nil {
		r.close()
		return nil, err
	}
	for _, log := range []string{"stdout.log", "stderr.log"} {
		f, err := r.file(log, maxLog)
		switch {
		case err == nil:
			r.logs[log] = f
		case !errors.Is(err, errNoFile):
			r.close()
			return nil, err
		}
	}
	return r, nil
}

func root(tree, name string) (*os.Root, error) {
	if filepath.IsAbs(name) {
		return os.OpenRoot(name)
	}
	in, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // it was only looked at through it
	return in.OpenRoot(name)
}

// reason is the system's own word for an error.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func (r *recording) close() {
	for _, f := range r.logs {
		f.Close() //nolint:errcheck // it was only read
	}
	if r.events != nil {
		r.events.Close() //nolint:errcheck // as above
	}
	r.dir.Close() //nolint:errcheck // as above
}

// file opens one file of the recording. It does not wait for what is no file.
func (r *recording) file(name string, limit int64) (*os.File, error) {
	f, err := r.dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", bad("%s has no %s", r.name, name), errNoFile)
	}
	if err != nil {
		return nil, bad("%s of %s cannot be opened: %v", name, r.name, reason(err))
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = bad("%s cannot be looked at: %v", name, reason(err))
	case !info.Mode().IsRegular():
		err = bad("%s is no file", name)
	case info.Size() > limit:
		err = bad("%s has %d bytes; at most %d are read", name, info.Size(), limit)
	}
	if err != nil {
		f.Close() //nolint:errcheck // it was only looked at
		return nil, err
	}
	return f, nil
}

// line is one line of events.jsonl, as the host writes it.
type line struct {
	V         int             `json:"v"`
	AttemptID string          `json:"attempt_id"`
	Seq       int64           `json:"seq"`
	Time      time.Time       `json:"time"`
	Source    string          `json:"source"`
	Type      sdk.EventType   `json:"type"`
	ItemID    string          `json:"item_id"`
	ParentID  string          `json:"parent_id"`
	Turn      int             `json:"turn"`
	Data      json.RawMessage `json:"data"`
	Raw       *struct {
		Artifact string `json:"artifact"`
		Offset   int64  `json:"offset"`
		Len      int64  `json:"len"`
	} `json:"raw"`
}

// each reads the events from the beginning, checks them, and hands over those of the executor.
func (r *recording) each(take func(line, sdk.Event) error) error {
	if _, err := r.events.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the recording: %w", err)
	}
	r.dropped = 0
	lines := bufio.NewReaderSize(r.events, 64<<10)
	attempt := ""
	for seq := int64(1); ; seq++ {
		raw, err := readLine(lines)
		if errors.Is(err, io.EOF) && seq > 1 {
			return nil
		}
		var l line
		if err == nil {
			l, err = check(raw, seq, attempt)
		}
		if err != nil {
			return bad("line %d: %v", seq, err)
		}
		attempt = l.AttemptID
		if err := r.pass(l, take); err != nil {
			return err
		}
	}
}

// pass hands an event of the executor on, and counts one of the host.
func (r *recording) pass(l line, take func(line, sdk.Event) error) error {
	if l.Source == "host" || strings.HasPrefix(string(l.Type), "host.") {
		r.dropped++
		return nil
	}
	e, err := r.event(l)
	if err != nil {
		return bad("line %d: %v", l.Seq, err)
	}
	return take(l, e)
}

// readLine reads one line, which ends in a newline and has a bounded length.
func readLine(lines *bufio.Reader) ([]byte, error) {
	var all []byte
	for {
		piece, err := lines.ReadSlice('\n')
		if len(all)+len(piece) > maxLine {
			return nil, fmt.Errorf("longer than %d bytes", maxLine)
		}
		all = append(all, piece...)
		switch {
		case err == nil:
			return all, nil
		case errors.Is(err, io.EOF) && len(all) > 0:
			return nil, errors.New("it has no end: the file was cut")
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, reason(err)
		}
	}
}

// check decodes a line and holds it against the one before.
func check(raw []byte, seq int64, attempt string) (line, error) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return line{}, errors.New("it is no event as JSON")
	}
	switch {
	case l.V != 1:
		return line{}, fmt.Errorf("version %d of the format; version 1 is known", l.V)
	case l.Seq != seq:
		return line{}, fmt.Errorf("event %d where %d is due: the sequence has a gap", l.Seq, seq)
	case l.AttemptID == "" || l.AttemptID != cmp.Or(attempt, l.AttemptID):
		return line{}, errors.New("an event of another attempt, or of none")
	case l.Source != "executor" && l.Source != "host":
		return line{}, fmt.Errorf("the unknown source %.40q", l.Source)
	case !slices.Contains(sdk.EventTypes(), l.Type):
		return line{}, fmt.Errorf("the unknown type %.40q", string(l.Type))
	}
	return l, nil
}

// event is what the executor told, as it told it.
func (r *recording) event(l line) (sdk.Event, error) {
	e := sdk.Event{Type: l.Type, ItemID: l.ItemID, Parent: l.ParentID, Turn: l.Turn, Data: l.Data}
	if l.Turn < 0 || l.Turn > math.MaxInt32 {
		return sdk.Event{}, errors.New("a turn out of bounds")
	}
	if l.Type == sdk.EventLog {
		return r.log(e, l)
	}
	if data := bytes.TrimSpace(l.Data); len(data) > 0 && data[0] == '"' { // masking made its data unreadable
		return sdk.NewEvent(sdk.EventRaw, sdk.Unparsed{Text: clip(string(data)), Bytes: len(data)})
	}
	return e, e.Validate()
}

// clip is the beginning of a text.
func clip(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), sdk.MaxText)], "")
}

// log is a piece of output: the exact bytes where the log file is there, else their text.
func (r *recording) log(e sdk.Event, l line) (sdk.Event, error) {
	var d struct {
		Stream string `json:"stream"`
		Text   string `json:"text"`
	}
	if err := json.Unmarshal(l.Data, &d); err != nil || d.Stream != "stdout" && d.Stream != "stderr" {
		return sdk.Event{}, errors.New("output of no known stream")
	}
	e.Data, e.Stream, e.Log = nil, d.Stream, []byte(d.Text)
	if file := r.logs[d.Stream+".log"]; file != nil && l.Raw != nil {
		var err error
		if e.Log, err = l.output(d.Stream+".log", file); err != nil {
			return sdk.Event{}, err
		}
	}
	return e, nil
}

// output reads the bytes that an event names.
func (l line) output(name string, file *os.File) ([]byte, error) {
	if l.Raw.Artifact != name || l.Raw.Offset < 0 || l.Raw.Len < 0 || l.Raw.Len > maxLine {
		return nil, errors.New("a reference to output that cannot be")
	}
	all := make([]byte, l.Raw.Len)
	if _, err := file.ReadAt(all, l.Raw.Offset); err != nil {
		return nil, fmt.Errorf("%s does not hold the output that the event names: it was cut", name)
	}
	return all, nil
}
