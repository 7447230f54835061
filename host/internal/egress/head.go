package egress

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a request's head.
const (
	maxHead    = 32 << 10
	maxHeaders = 128
	maxMethod  = 32
)

// refusal is why a request is not served, with the status that answers it.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

func malformed(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) error {
	return &refusal{http.StatusForbidden, fmt.Sprintf(format, args...)}
}

// head is the part of a request before its body, checked byte by byte: what one more reader on the way
// could understand differently is refused.
type head struct {
	method string
	target string // as written
	minor  int    // of HTTP/1.x
	header http.Header

	shown  string // the host as it is recorded
	host   Host
	port   uint16
	path   string // with the query; "" for CONNECT
	length int64  // of the body; -1 is chunked
	waits  bool   // for 100 Continue before it sends the body
}

// readHead reads and checks a head. What could be read is returned with an error, too. io.EOF means
// that the client sent nothing.
func readHead(r *bufio.Reader) (*head, error) {
	h := &head{header: http.Header{}}
	left := maxHead
	line, err := readLine(r, &left)
	if err != nil {
		return h, err
	}
	if err := h.parseFirst(line); err != nil {
		return h, err
	}
	for n := 0; ; n++ {
		line, err := readLine(r, &left)
		if errors.Is(err, io.EOF) {
			return h, malformed("the head ends early")
		}
		if err != nil {
			return h, err
		}
		if line == "" {
			break
		}
		if n == maxHeaders {
			return h, &refusal{http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the head has more than %d lines", maxHeaders)}
		}
		if err := h.parseHeader(line); err != nil {
			return h, err
		}
	}
	return h, h.check()
}

// readLine reads one line that ends with CR LF and has no other control character than tabs.
func readLine(r *bufio.Reader, left *int) (string, error) {
	b, err := r.ReadSlice('\n')
	*left -= len(b)
	if errors.Is(err, bufio.ErrBufferFull) || *left < 0 {
		return "", &refusal{http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the head has more than %d bytes", maxHead)}
	}
	if errors.Is(err, io.EOF) && len(b) > 0 {
		return "", malformed("the head ends early")
	}
	if err != nil {
		return "", err
	}
	line, ok := bytes.CutSuffix(b, []byte("\r\n"))
	if !ok {
		return "", malformed("a line of the head does not end with CR LF")
	}
	if slices.ContainsFunc(line, control) {
		return "", malformed("the head has a control character")
	}
	return string(line), nil
}

func control(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// parseFirst reads the request line: exactly three words with single spaces, all printable ASCII.
func (h *head) parseFirst(line string) error {
	for _, c := range []byte(line) {
		if c < ' ' || c > '~' {
			return malformed("the request line has a character outside printable ASCII")
		}
	}
	words := strings.Split(line, " ")
	if len(words) != 3 {
		return malformed("the request line is not a method, a target and a version")
	}
	h.method, h.target = words[0], words[1]
	switch words[2] {
	case "HTTP/1.1":
		h.minor = 1
	case "HTTP/1.0":
	default:
		return malformed("the version is not HTTP/1.1 or HTTP/1.0")
	}
	if !token(h.method) || len(h.method) > maxMethod {
		return malformed("the method is not a token of at most %d bytes", maxMethod)
	}
	return nil
}

func (h *head) parseHeader(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !token(name) {
		return malformed("a header line is not a name, a colon and a value")
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	h.header[name] = append(h.header[name], strings.Trim(value, " \t"))
	return nil
}

func token(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// check reads the target, then holds the framing and the Host header against it.
func (h *head) check() error {
	authority, err := h.parseTarget()
	if err != nil {
		return err
	}
	h.shown = authority
	if strings.Contains(authority, "@") {
		return forbidden("the target has user information")
	}
	text, port, err := splitPort(authority)
	if err != nil {
		return forbidden("%v", err)
	}
	h.shown = text
	if port == 0 {
		if h.method == http.MethodConnect {
			return malformed("CONNECT needs host:port")
		}
		port = 80
	}
	h.port = port
	if h.host, err = ParseHost(text); err != nil {
		return forbidden("%v", err)
	}
	h.shown = h.host.String()
	if err := h.checkHost(); err != nil {
		return err
	}
	return h.checkFraming()
}

func (h *head) parseTarget() (authority string, err error) {
	if h.method == http.MethodConnect {
		if strings.ContainsAny(h.target, "/?#") {
			return "", malformed("the target of CONNECT is not host:port")
		}
		return h.target, nil
	}
	rest, ok := strings.CutPrefix(h.target, "http://")
	switch {
	case strings.HasPrefix(h.target, "https://"):
		return "", malformed("https is carried by CONNECT only")
	case !ok:
		return "", malformed("this is a proxy: the target is neither http://host/path nor that of CONNECT")
	case strings.Contains(rest, "#"):
		return "", malformed("the target has a fragment")
	}
	end := strings.IndexAny(rest, `/?\`)
	if end < 0 {
		end = len(rest)
	}
	h.path = rest[end:]
	if !strings.HasPrefix(h.path, "/") {
		h.path = "/" + h.path
	}
	return rest[:end], nil
}

// checkHost holds the Host header against the target: a server that believed another one would serve
// another site than the one that was allowed.
func (h *head) checkHost() error {
	values := h.header["Host"]
	switch {
	case len(values) == 0 && h.minor == 0:
		return nil
	case len(values) != 1:
		return malformed("there are %d Host headers", len(values))
	}
	text, port, err := splitPort(values[0])
	if err != nil {
		return forbidden("the Host header is not that of the target")
	}
	host, err := ParseHost(text)
	if err != nil || host != h.host || port != 0 && port != h.port {
		return forbidden("the Host header is not that of the target")
	}
	return nil
}

// checkFraming allows one length, or one chunked coding, and no body for CONNECT.
func (h *head) checkFraming() error {
	lengths, codings := h.header["Content-Length"], h.header["Transfer-Encoding"]
	if len(lengths)+len(codings) > 1 {
		return malformed("the length of the body is said more than once")
	}
	if len(codings) == 1 {
		if !strings.EqualFold(codings[0], "chunked") || h.minor == 0 {
			return malformed("the only transfer coding is chunked, of HTTP/1.1")
		}
		h.length = -1
	}
	if len(lengths) == 1 {
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != lengths[0] {
			return malformed("the length of the body is not a number")
		}
		h.length = int64(n)
	}
	return h.checkExpect()
}

func (h *head) checkExpect() error {
	if h.method == http.MethodConnect && h.length != 0 {
		return malformed("CONNECT has a body")
	}
	expect := h.header["Expect"]
	if len(expect) > 1 || len(expect) == 1 && !strings.EqualFold(expect[0], "100-continue") {
		return &refusal{http.StatusExpectationFailed, "the only expectation is 100-continue"}
	}
	h.waits = len(expect) == 1 && h.minor > 0 && h.length != 0
	return nil
}
