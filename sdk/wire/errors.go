package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Code is a plugin's typed reason for refusing a call.
type Code = pb.ErrorCode

// The codes.
const (
	CodeSession        = pb.ErrorCode_ERROR_CODE_SESSION
	CodeConfig         = pb.ErrorCode_ERROR_CODE_CONFIG
	CodeNotConfigured  = pb.ErrorCode_ERROR_CODE_NOT_CONFIGURED
	CodeBusy           = pb.ErrorCode_ERROR_CODE_BUSY
	CodeUnknownAttempt = pb.ErrorCode_ERROR_CODE_UNKNOWN_ATTEMPT
	CodeUnknownItem    = pb.ErrorCode_ERROR_CODE_UNKNOWN_ITEM
	CodeAttached       = pb.ErrorCode_ERROR_CODE_ATTACHED
	CodeUnsupported    = pb.ErrorCode_ERROR_CODE_UNSUPPORTED
	CodeShuttingDown   = pb.ErrorCode_ERROR_CODE_SHUTTING_DOWN
)

// Refusal is the error of a call that the plugin refused in the words of the protocol.
type Refusal struct {
	Code      Code
	Message   string
	Retryable bool
	Config    []*sdk.ConfigError
}

// Error is the plugin's message.
func (r *Refusal) Error() string { return "plugin refused: " + r.Message }

// Violation is the error of a plugin that broke the protocol.
type Violation struct{ What string }

// Error says how.
func (v *Violation) Error() string { return "plugin broke the protocol: " + v.What }

func violated(format string, args ...any) error {
	return &Violation{fmt.Sprintf(format, args...)}
}

// ErrSilent is the error of a plugin that is connected and sends nothing, not even heartbeats.
var ErrSilent = errors.New("plugin is silent")

// ErrBroken is in the chain of errors that mean a lost connection.
var ErrBroken = errors.New("connection to the plugin is lost")

// refuse makes the status error of a typed refusal.
func refuse(c codes.Code, code Code, message string, diagnostics ...*pb.Diagnostic) error {
	st, err := status.New(c, message).WithDetails(&pb.ErrorDetail{Code: code, Diagnostics: diagnostics})
	if err != nil {
		return status.Error(c, message)
	}
	return st.Err()
}

// callError turns the error of a unary call into the package's errors.
func callError(ctx context.Context, call string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("call %s: %w", call, cause)
	}
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("call %s: %w", call, err)
	}
	for _, d := range st.Details() {
		if detail, ok := d.(*pb.ErrorDetail); ok {
			return refusalOf(st.Message(), detail)
		}
	}
	if _, limited := ctx.Deadline(); limited && st.Code() == codes.DeadlineExceeded {
		return fmt.Errorf("call %s: %w", call, context.DeadlineExceeded) // the plugin's clock was first
	}
	return statusError(call, st)
}

func statusError(call string, st *status.Status) error {
	switch st.Code() {
	case codes.ResourceExhausted:
		return violated("a message of %s is larger than %d bytes", call, MaxMessage)
	case codes.Unavailable, codes.Canceled: // the context was not the reason: the connection was closed here
		return fmt.Errorf("call %s: %w", call, ErrBroken)
	case codes.Unimplemented:
		return violated("it does not serve %s", call)
	case codes.Internal:
		return violated("%s failed in transport: %q", call, clip(st.Message(), 200))
	default:
		return violated("%s was answered %s: %q", call, st.Code(), clip(st.Message(), 200))
	}
}

func refusalOf(message string, detail *pb.ErrorDetail) *Refusal {
	r := &Refusal{Code: detail.GetCode(), Message: oneLine(message), Retryable: detail.GetRetryable()}
	for _, d := range detail.GetDiagnostics() {
		r.Config = append(r.Config, &sdk.ConfigError{
			Attribute: oneLine(d.GetAttribute()),
			Message:   oneLine(d.GetMessage()),
		})
	}
	return r
}

// recvError turns the error of a stream's Recv into the package's errors; io.EOF stays io.EOF.
func recvError(ctx context.Context, call string, err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return callError(ctx, call, err)
}

// oneLine makes a plugin's words fit to be part of a message.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, clip(s, maxFindingText))
}

// clip bounds a text by bytes and makes it valid UTF-8.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
