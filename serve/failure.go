// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"

	"ocm"
)

// Error codes of the specification; the last one is Docker's, for what is no fault of the client.
const (
	codeBlobUnknown         = "BLOB_UNKNOWN"
	codeUploadInvalid       = "BLOB_UPLOAD_INVALID"
	codeUploadUnknown       = "BLOB_UPLOAD_UNKNOWN"
	codeDigestInvalid       = "DIGEST_INVALID"
	codeManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
	codeManifestInvalid     = "MANIFEST_INVALID"
	codeManifestUnknown     = "MANIFEST_UNKNOWN"
	codeNameInvalid         = "NAME_INVALID"
	codeNameUnknown         = "NAME_UNKNOWN"
	codeSizeInvalid         = "SIZE_INVALID"
	codeUnauthorized        = "UNAUTHORIZED"
	codeUnsupported         = "UNSUPPORTED"
	codeTooManyRequests     = "TOOMANYREQUESTS"
	codeUnknown             = "UNKNOWN"
)

// failure is an answer other than success.
type failure struct {
	status int
	header http.Header
	errors []problem
	cause  error // for the log only: it may name paths of this machine
}

// problem is one entry of an answer's list.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitzero"`
}

func (f *failure) Error() string { return f.errors[0].Code + ": " + f.errors[0].Message }

func (f *failure) Unwrap() error { return f.cause }

func refuse(status int, code, format string, args ...any) *failure {
	return &failure{status: status, errors: []problem{{Code: code, Message: fmt.Sprintf(format, args...)}}}
}

// because keeps the reason for the log.
func (f *failure) because(err error) *failure {
	f.cause = err
	return f
}

// fail answers with an error. If a part of another answer is on its way already, that is cut.
func (g *Registry) fail(x *exchange, err error) (cut bool) {
	var f *failure
	if !errors.As(err, &f) {
		f = judge(x, err)
	}
	if f.status >= http.StatusInternalServerError && x.r.Context().Err() == nil && !x.left(err) {
		g.options.Log.ErrorContext(x.r.Context(), "registry: "+f.errors[0].Message, "method", x.r.Method, "path", x.r.URL.Path, "reason", err)
	}
	if x.w.status != 0 {
		return true
	}
	maps.Copy(x.w.Header(), f.header)
	for _, name := range [...]string{"ETag", "Content-Length", "Docker-Content-Digest", "Content-Range"} {
		if f.header.Get(name) == "" {
			x.w.Header().Del(name)
		}
	}
	raw, merr := marshal(struct {
		Errors []problem `json:"errors"`
	}{f.errors})
	if merr != nil {
		raw = []byte("{}")
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(f.status)
	_, _ = x.w.Write(raw) // the client may be gone
	return false
}

// left reports whether the client went away, or took nothing for too long, while an answer was on its way: that is no failure here.
func (x *exchange) left(err error) bool {
	for _, way := range [...]error{syscall.EPIPE, syscall.ECONNRESET, os.ErrDeadlineExceeded} {
		if x.w.status != 0 && errors.Is(err, way) {
			return true
		}
	}
	return false
}

// judge turns errors of the store and of reading into answers. What the client did wrong was found out before.
func judge(x *exchange, err error) *failure {
	code := map[kind]string{kindManifest: codeManifestUnknown, kindBlob: codeBlobUnknown, kindUpload: codeUploadUnknown}[x.route.kind]
	if code == "" {
		code = codeNameUnknown
	}
	var f *failure
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f = refuse(http.StatusInsufficientStorage, codeUnknown, "the disk of the registry is full: nothing was stored; make room there (\"ocm clean archive\" takes out what nothing needs) and push again")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f = refuse(http.StatusServiceUnavailable, codeUnknown, "the request was given up")
	case errors.Is(err, ocm.ErrNotFound):
		f = refuse(http.StatusNotFound, code, "%.300q is not in repository %.300q", x.route.ref, x.route.name)
	case errors.Is(err, ocm.ErrDigest):
		f = refuse(http.StatusInternalServerError, codeUnknown, "what the registry has at %.300q is damaged", x.route.ref)
	case errors.Is(err, errors.ErrUnsupported):
		f = refuse(http.StatusMethodNotAllowed, codeUnsupported, "this registry cannot do that")
	default:
		f = refuse(http.StatusInternalServerError, codeUnknown, "the registry cannot do that now; its log says why")
	}
	return f.because(err)
}

// broken is the answer to a body that did not come as it should.
func broken(err error) *failure {
	switch {
	case errors.Is(err, errTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, codeSizeInvalid, "more than %d bytes", int64(MaxBlob)).because(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, codeUploadInvalid, "less than %d bytes in %s", PieceSize, PieceTime).because(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(http.StatusBadRequest, codeSizeInvalid, "fewer bytes came than were announced").because(err)
	}
	return refuse(http.StatusBadRequest, codeUploadInvalid, "the connection broke").because(err)
}

func allowed(actions map[string]action) []string {
	names := slices.Collect(maps.Keys(actions))
	if actions[http.MethodGet] != nil {
		names = append(names, http.MethodHead)
	}
	slices.Sort(names)
	return []string{strings.Join(names, ", ")}
}
