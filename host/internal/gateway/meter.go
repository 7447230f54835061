package gateway

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Usage is what one call took of a model. Input includes what was read from and written to a cache,
// Output what was reasoned.
type Usage struct {
	Input, CachedRead, CachedWrite int64
	Output, Reasoning              int64
	Estimated                      bool // the upstream did not say, or not all of it
}

// field is one of the values that are read out of answers and requests.
type field uint8

const (
	_ field = iota
	fInput
	fInputToo // a part of the input that fInput does not include
	fCachedRead
	fCachedWrite
	fOutput
	fOutputSoFar // of an answer that goes on
	fOutputToo   // a part of the output that fOutput does not include
	fReasoning
	fTotal
	fModel
	fBackground
	fields
)

// maxTokens is the largest number that is believed.
const maxTokens = 1e12

// meter reads the usage out of an answer on its way, as JSON or as a stream of records. It holds nothing
// of it.
type meter struct {
	wire    *wire
	walker  walker
	have    [fields]bool
	values  [fields]int64
	model   string
	records bool // the answer is a stream of records
	begun   bool
	line    lineState
	matched int  // bytes of the line that are the beginning of "data:"
	cr      bool // the last byte was a carriage return
}

type lineState uint8

const (
	lineStart lineState = iota
	lineData
	lineOther
)

func newMeter(w *wire) *meter {
	m := &meter{wire: w}
	m.walker.want, m.walker.tell = w.usage, m.take
	return m
}

// Write takes the next bytes of the answer. It never fails.
func (m *meter) Write(p []byte) (int, error) {
	n := len(p)
	if !m.begun {
		for len(p) > 0 && bytes.IndexByte([]byte(" \t\r\n\xef\xbb\xbf"), p[0]) >= 0 { // the last three are a byte order mark
			p = p[1:]
		}
		if len(p) == 0 {
			return n, nil
		}
		m.begun, m.records = true, p[0] != '{' && p[0] != '['
	}
	if !m.records {
		m.walker.feed(p)
		return n, nil
	}
	for len(p) > 0 {
		p = p[m.record(p):]
	}
	return n, nil
}

const dataName = "data:"

// record reads a part of a line.
func (m *meter) record(p []byte) int {
	c := p[0]
	if m.cr && c == '\n' { // the second half of the line's end
		m.cr = false
		return 1
	}
	m.cr = false
	switch {
	case c == '\r' || c == '\n':
		m.cr = c == '\r'
		if m.line == lineStart && m.matched == 0 {
			m.walker.reset() // an empty line ends a record
		}
		m.line, m.matched = lineStart, 0
		return 1
	case m.line != lineStart:
		return m.rest(p)
	}
	if m.matched++; c != dataName[m.matched-1] {
		m.line = lineOther
	} else if m.matched == len(dataName) {
		m.line = lineData
	}
	return 1
}

// rest reads the line as far as it is there.
func (m *meter) rest(p []byte) int {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		end = len(p)
	}
	if cr := bytes.IndexByte(p[:end], '\r'); cr >= 0 {
		end = cr
	}
	if m.line == lineData {
		m.walker.feed(p[:end])
	}
	return end
}

// take keeps one value. The last one counts: all wires that repeat themselves do so cumulatively.
func (m *meter) take(f field, raw []byte) {
	if f == fModel {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			m.model = printable(s)
		}
		return
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		return // null, as a rule
	}
	m.have[f], m.values[f] = true, min(n, maxTokens)
}

// usage is what the answer said, completed from above where it did not: sent and received are the bytes of
// the call.
func (m *meter) usage(sent, received int64) Usage {
	v := &m.values
	u := Usage{
		CachedRead: v[fCachedRead], CachedWrite: v[fCachedWrite], Reasoning: v[fReasoning] + v[fOutputToo],
		Input: v[fInput] + v[fInputToo], Output: max(v[fOutput], v[fOutputSoFar]) + v[fOutputToo],
	}
	if m.wire.cacheApart {
		u.Input += u.CachedRead + u.CachedWrite
	}
	if !m.have[fInput] {
		u.Estimated, u.Input = true, max(u.Input, estimate(sent))
	}
	if !m.have[fOutput] && !m.have[fTotal] { // with a total, what is left out is 0
		u.Estimated, u.Output = true, max(u.Output, estimate(received))
	}
	return u
}

// estimate is the number of tokens of a text with some room: four bytes are common, and around the text are
// names and punctuation.
func estimate(bytes int64) int64 { return (bytes + 3) / 4 }
