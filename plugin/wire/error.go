// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"ocm"
)

// ErrGone says that a handle is not known: the plugin has forgotten it, or was started again.
var ErrGone = errors.New("no longer known")

// Error is an error on its way to the other side, which finds the same sentinel in it.
type Error struct {
	Kind    string `json:"kind,omitempty"`  // empty: none of the kinds
	Check   string `json:"check,omitempty"` // of an [ocm.CheckError]
	Message string `json:"message"`
}

// failed is the body of an answer that is an error.
type failed struct {
	Error *Error `json:"error"`
}

// kinds are the errors that have a meaning for both sides. The status is for people who read logs; the kind decides.
var kinds = []struct {
	name   string
	err    error
	status int
}{
	{"gone", ErrGone, http.StatusGone},
	{"notFound", ocm.ErrNotFound, http.StatusNotFound},
	{"exists", ocm.ErrExists, http.StatusConflict},
	{"conflict", ocm.ErrConflict, http.StatusConflict},
	{"digest", ocm.ErrDigest, http.StatusUnprocessableEntity},
	{"signature", ocm.ErrSignature, http.StatusUnprocessableEntity},
	{"unknownType", ocm.ErrUnknownType, http.StatusBadRequest},
	{"limit", ocm.ErrLimit, http.StatusRequestEntityTooLarge},
	{"denied", ocm.ErrDenied, http.StatusForbidden},
	{"unsupported", errors.ErrUnsupported, http.StatusNotImplemented},
	{"invalid", ocm.ErrInvalid, http.StatusBadRequest},
	{"cancelled", context.Canceled, http.StatusRequestTimeout},
	{"timeout", context.DeadlineExceeded, http.StatusGatewayTimeout},
}

// maxMessage bounds what is shown of somebody else's message, in bytes.
const maxMessage = 4096

// NewError is err as it goes over the wire; nil if err is nil.
func NewError(err error) *Error {
	if err == nil {
		return nil
	}
	e := &Error{Message: err.Error()}
	if len(e.Message) > maxMessage {
		e.Message = strings.ToValidUTF8(e.Message[:maxMessage], "") + "…"
	}
	var check *ocm.CheckError
	if errors.As(err, &check) {
		e.Check = check.Check
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			e.Kind = k.name
			break
		}
	}
	return e
}

// status is the HTTP status of an error.
func (e *Error) status() int {
	for _, k := range kinds {
		if k.name == e.Kind {
			return k.status
		}
	}
	return http.StatusInternalServerError
}

// remote is an error of the other side.
type remote struct {
	message string
	kind    error
}

func (r *remote) Error() string { return r.message }
func (r *remote) Unwrap() error { return r.kind }

// Err is the error with its meaning; nil if e is nil. Characters that would control a terminal are replaced. That the other side has given
// up does not mean that we were interrupted, which only our own context says: it is no [context.Canceled].
func (e *Error) Err() error {
	if e == nil {
		return nil
	}
	message := Text(e.Message, maxMessage)
	if message == "" {
		message = "failed without a message"
	}
	r := &remote{message: message}
	for _, k := range kinds {
		if k.name == e.Kind && k.err != context.Canceled { //nolint:errorlint // the entry of the table
			r.kind = k.err
		}
	}
	if e.Check != "" {
		return &ocm.CheckError{Check: Text(e.Check, 100), Err: r}
	}
	return r
}

// Text is what the other side wrote, in at most limit bytes and without what would control a terminal.
func Text(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '�'
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

func unexpected(status int) error {
	return fmt.Errorf("its answer has status %d and is no error of the protocol: %w", status, ocm.ErrInvalid)
}
