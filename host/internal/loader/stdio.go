package loader

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/sdk/wire"
)

const (
	maxHandshake = 4 << 10  // bytes of the first line of standard output
	maxTail      = 64 << 10 // bytes of standard error that are kept
	maxLogLine   = 4 << 10
	logBurst     = 200 // lines of standard error that are logged at once,
	logRate      = 100 // and per second after that
)

// handshake reads a plugin's standard output: its first line, judged, for go-plugin; the rest away.
type handshake struct {
	mask Masker // nil for none
	// named is told the network and address of a line that is in order, before go-plugin sees it.
	named func(network, address string) *StartError

	forward *io.PipeWriter // to go-plugin: one canonical line, or nothing
	reader  *io.PipeReader

	mu      sync.Mutex
	failure *StartError
	closed  bool // standard output ended before a line came
}

func newHandshake(mask Masker) *handshake {
	r, w := io.Pipe()
	return &handshake{mask: mask, forward: w, reader: r}
}

// run reads until the end of the pipe.
func (h *handshake) run(stdout io.Reader) {
	in := bufio.NewReaderSize(stdout, maxHandshake)
	raw, err := in.ReadSlice('\n')
	line := strings.TrimSpace(string(raw))
	switch {
	case err != nil && line == "":
		h.mu.Lock()
		h.closed = true
		h.mu.Unlock()
	default:
		canonical, failure := judgeHandshake(line)
		if failure != nil { // its words are the plugin's
			failure = inMaskedWords(failure, words(h.mask, line))
		}
		if failure == nil {
			parts := strings.Split(canonical, "|")
			failure = h.named(parts[2], parts[3])
		}
		if failure == nil {
			fmt.Fprintln(h.forward, canonical) //nolint:errcheck // an error means that go-plugin has given up
		} else {
			h.fail(failure)
		}
	}
	h.forward.Close()       //nolint:errcheck // never fails
	io.Copy(io.Discard, in) //nolint:errcheck // drained so that the plugin never blocks; its end is no news
}

func (h *handshake) fail(e *StartError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failure == nil {
		h.failure = e
	}
}

// verdict is what is wrong with the handshake, nil while nothing is; closed says that none came.
func (h *handshake) verdict() (failure *StartError, closed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failure, h.closed
}

// judgeHandshake reads go-plugin's line, core|protocol|network|address|type and more, and makes the one
// that go-plugin gets to see. It gets nothing else of the line: a certificate in it, for one, would
// take go-plugin 1.8.0 down.
func judgeHandshake(line string) (canonical string, failure *StartError) {
	parts := strings.Split(line, "|")
	if len(parts) < 5 {
		return "", &StartError{Reason: StdoutPolluted, Line: printable(line, 200),
			Detail: fmt.Sprintf(`its first line of output is "%s" instead of the handshake`, printable(line, 200))}
	}
	core, coreErr := strconv.Atoi(parts[0])
	version, versionErr := strconv.Atoi(parts[1])
	switch {
	case coreErr != nil || versionErr != nil:
		return "", &StartError{Reason: StdoutPolluted, Line: printable(line, 200),
			Detail: fmt.Sprintf(`its first line of output is "%s" instead of the handshake`, printable(line, 200))}
	case core != 1 || version != wire.ProtocolVersion || parts[4] != "grpc":
		return "", &StartError{Reason: ProtocolMismatch, Line: printable(line, 200),
			Detail: fmt.Sprintf("it speaks %s protocol %d over core %d; this daemon speaks grpc protocol %d over core 1",
				printable(parts[4], 20), version, core, wire.ProtocolVersion)}
	}
	return strings.Join([]string{parts[0], parts[1], parts[2], parts[3], parts[4]}, "|"), nil
}

// inMaskedWords is a failure in the words of the masked line. Masking can bring a refused line into order: a credential
// may hold a separator. It stays refused.
func inMaskedWords(failure *StartError, line string) *StartError {
	if _, again := judgeHandshake(line); again != nil {
		return again
	}
	return &StartError{Reason: failure.Reason, Line: printable(line, 200), Detail: fmt.Sprintf(`its first line of output is "%s", which is in order only with its credentials masked`, printable(line, 200))}
}

// tailLog reads a plugin's standard error: it keeps the end for crash reports and logs the lines, at a
// bounded rate.
type tailLog struct {
	log   hclog.Logger
	mask  Masker        // nil for none
	ended chan struct{} // closed when the pipe has been read

	mu   sync.Mutex
	kept []byte
}

// final is the end of what was written by a process that is dead.
func (t *tailLog) final() []byte {
	select {
	case <-t.ended:
	case <-time.After(2 * drain):
	}
	return t.tail()
}

// tail is the end of what was written so far.
func (t *tailLog) tail() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.kept[max(0, len(t.kept)-maxTail):])
}

func (t *tailLog) keep(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxTail {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxTail:]...)
	}
}

// run reads until the end of the pipe.
func (t *tailLog) run(stderr io.Reader) {
	defer close(t.ended)
	in := bufio.NewReaderSize(masked(t.mask, stderr), maxLogLine)
	rate := bucket{tokens: logBurst, last: time.Now()}
	rest := false // of a line that is longer than the buffer
	for {
		piece, err := in.ReadSlice('\n')
		t.keep(piece)
		if line := bytes.TrimSpace(piece); len(line) > 0 && !rest {
			if ok, dropped := rate.take(time.Now()); ok {
				if dropped > 0 {
					t.log.Warn("plugin wrote too much to standard error", "dropped_lines", dropped)
				}
				t.line(line)
			}
		}
		rest = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !rest {
			break
		}
	}
	if rate.dropped > 0 {
		t.log.Warn("plugin wrote too much to standard error", "dropped_lines", rate.dropped)
	}
}

// masked reads a stream without its secrets.
func masked(m Masker, from io.Reader) io.Reader {
	if m == nil {
		return from
	}
	r, w := io.Pipe()
	go func() {
		to := m.Stream(w)
		io.Copy(to, from) //nolint:errcheck // the end of a pipe, whatever it is
		to.Close()        //nolint:errcheck // as above
		w.Close()         //nolint:errcheck // as above
	}()
	return r
}

// words are a plugin's own, without the secrets in them.
func words(m Masker, s string) string {
	if m == nil {
		return s
	}
	return m.Text(s)
}

// line logs one line: with its own level where it is one of hclog's JSON lines, as debug elsewhere.
func (t *tailLog) line(raw []byte) {
	var fields map[string]any
	if raw[0] != '{' || json.Unmarshal(raw, &fields) != nil {
		t.log.Debug(printable(string(raw), maxLogLine))
		return
	}
	level, message := fmt.Sprint(fields["@level"]), fmt.Sprint(fields["@message"])
	var extra []any
	for key, value := range fields {
		if strings.HasPrefix(key, "@") || len(extra) >= 32 {
			continue
		}
		extra = append(extra, "plugin."+printable(words(t.mask, key), 64), printable(words(t.mask, fmt.Sprint(value)), 512))
	}
	at := hclog.LevelFromString(level)
	if at == hclog.NoLevel {
		at = hclog.Debug
	}
	t.log.Log(at, printable(words(t.mask, message), maxLogLine), extra...)
}

// bucket is a token bucket.
type bucket struct {
	tokens  float64
	last    time.Time
	dropped int
}

// take asks for leave to log one line; with it comes the number of lines that were not logged before.
func (b *bucket) take(now time.Time) (ok bool, dropped int) {
	b.tokens = min(logBurst, b.tokens+now.Sub(b.last).Seconds()*logRate)
	b.last = now
	if b.tokens < 1 {
		b.dropped++
		return false, 0
	}
	b.tokens--
	dropped, b.dropped = b.dropped, 0
	return true, dropped
}

// printable makes a plugin's words fit for a log line: no control characters, bounded.
func printable(s string, most int) string {
	if len(s) > most {
		s = s[:most] + "..."
	}
	quoted := strconv.Quote(strings.ToValidUTF8(s, "\uFFFD"))
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}

// pipes are the two pipes of one launch.
type pipes struct{ stdoutR, stdoutW, stderrR, stderrW *os.File }

func newPipes() (*pipes, error) {
	var p pipes
	var err error
	if p.stdoutR, p.stdoutW, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	if p.stderrR, p.stderrW, err = os.Pipe(); err != nil {
		closeAll(p.stdoutR, p.stdoutW)
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	return &p, nil
}

// closeAll closes files whose close cannot lose anything.
func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close() //nolint:errcheck // pipes and descriptors without data
		}
	}
}
