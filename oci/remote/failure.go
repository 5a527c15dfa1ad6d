// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	jsonv2 "github.com/go-json-experiment/json"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"ocm"
	"ocm/web"
)

// Limits of what is read and repeated of a registry's refusal.
const (
	maxRefusal = 8 << 10 // bytes of the body
	maxQuote   = 300     // characters that get into a message
)

// failure is an error whose text is complete: it has the registry, the request and the reason.
type failure struct {
	text  string
	code  int // HTTP status, 0 if there was no answer
	cause error
}

func (f *failure) Error() string {
	if f.cause == nil {
		return f.text
	}
	return f.text + ": " + f.cause.Error()
}

func (f *failure) Unwrap() error { return f.cause }

// place names a request in messages: never its query, in which registries keep secrets.
func (s *session) place(req *http.Request) string {
	return fmt.Sprintf("registry %s: %s %s://%s%s", s.name, req.Method, req.URL.Scheme, req.URL.Host, req.URL.Path)
}

// refusal makes an error of an answer that is no success. sent tells whether credentials went along.
func (s *session) refusal(req *http.Request, resp *http.Response, sent bool) error {
	codes, said := readRefusal(resp)
	said = s.scrub(req, said)
	f := &failure{code: resp.StatusCode, text: fmt.Sprintf("%s: status %d%s", s.place(req), resp.StatusCode, said)}
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		f.text = s.denial(req, resp, said, sent)
		f.cause = ocm.ErrDenied
	case resp.StatusCode == http.StatusRequestEntityTooLarge:
		f.cause = ocm.ErrLimit
	case strings.Contains(codes, "DIGEST_INVALID"):
		f.cause = ocm.ErrDigest
	case strings.Contains(codes, "BLOB_UNKNOWN"):
		f.cause = ocm.ErrNotFound // a manifest whose children are not there
	case strings.Contains(said, "HTTP request to an HTTPS server"):
		f.text += "; write https:// in front of the host"
	case resp.StatusCode == http.StatusInsufficientStorage || strings.Contains(said, "no space left"):
		f.text += "; the registry has no room left: make room there and run the same command again, which does not send again what has arrived"
	case resp.StatusCode == http.StatusInternalServerError && writes(req.Method):
		f.text += "; the registry itself failed: its log tells why, and often its disk is full; the same command goes on from here"
	case web.PassingStatus(resp.StatusCode):
		f.text += "; the registry is busy or down, try again later"
	}
	return f
}

// writes tells methods by which something is stored.
func writes(method string) bool {
	return method == http.MethodPut || method == http.MethodPost || method == http.MethodPatch
}

// scrub takes our secrets out of a text, for servers that repeat what they were sent.
func (s *session) scrub(req *http.Request, said string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, header, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	for _, secret := range []string{header, s.cred.password, s.cred.access, s.cred.refresh} {
		if secret != "" {
			said = strings.ReplaceAll(said, secret, "***")
		}
	}
	return said
}

// denial says who was refused what, and what can be done.
func (s *session) denial(req *http.Request, resp *http.Response, said string, sent bool) string {
	at := s.place(req)
	if name := repositoryOf(req.URL.Path); name != "" {
		at += " (repository " + name + ")"
	}
	if !web.SameOrigin(resp.Request.URL, req.URL) {
		return fmt.Sprintf("%s: redirected to %s, which answers with status %d%s; credentials are never sent there", at, resp.Request.URL.Host, resp.StatusCode, said)
	}
	if sent {
		return fmt.Sprintf("%s: status %d%s; credentials were sent: check them, and whether they allow this", at, resp.StatusCode, said)
	}
	host, _ := splitPort(s.name)
	return fmt.Sprintf("%s: status %d%s; no credentials were sent: run \"ocm login %s\" or add credentials for the consumer type OCIRegistry, hostname %s to .ocmconfig; \"ocm auth explain %s\" tells what is considered",
		at, resp.StatusCode, said, s.name, host, s.name)
}

// repositoryOf finds the repository in a path of the distribution API.
func repositoryOf(path string) string {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return ""
	}
	for _, part := range []string{"/blobs/", "/manifests/", "/tags/", "/referrers/"} {
		if i := strings.LastIndex(rest, part); i >= 0 {
			return rest[:i]
		}
	}
	return ""
}

// readRefusal returns the error codes of a registry's JSON and a text to append to a message:
// the registry's words, or the first line of something else.
func readRefusal(resp *http.Response) (codes, said string) {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	var body struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if jsonv2.Unmarshal(raw, &body) != nil || len(body.Errors) == 0 {
		if line := quote(string(raw)); line != "" {
			said = ": " + line
		}
		return "", said
	}
	var words []string
	for _, e := range body.Errors {
		codes += e.Code + " "
		words = append(words, strings.TrimSpace(e.Code+" "+e.Message))
	}
	return codes, ": " + quote(strings.Join(words, ", "))
}

func firstLine(resp *http.Response) string {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	return quote(string(raw))
}

// quote takes the first line of foreign text, without anything that could steer a terminal.
func quote(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxQuote {
		s = string(r[:maxQuote]) + "…"
	}
	return strings.TrimSpace(s)
}

// unreachable makes an error of a request that got no usable answer.
func (s *session) unreachable(req *http.Request, err error) error {
	err = web.WithoutURL(err)
	f := &failure{text: s.place(req) + web.Hint(req, err), cause: err}
	if req.Context().Err() != nil {
		f.cause = context.Cause(req.Context())
	}
	return f
}

// explain makes an error of this module of what oras-go returns. What is neither a failure of
// the session nor a 404 is oras-go's complaint about an answer that looked like a success;
// kind tells what that means.
func (r *repo) explain(what string, err, kind error) error {
	return explain(r.String(), what, err, kind)
}

// explain does the same for what is asked of at.
func explain(at, what string, err, kind error) error {
	var f *failure
	var answer *errcode.ErrorResponse
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, errdef.ErrNotFound), errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %s: %w", at, what, ocm.ErrNotFound)
	case errors.Is(err, errdef.ErrTooManyPages), errors.Is(err, errdef.ErrSizeExceedsLimit):
		return fmt.Errorf("%s: %s: %v: %w", at, what, err, ocm.ErrLimit)
	}
	return fmt.Errorf("%s: %s: the registry's answer cannot be used: %s: %w", at, what, quote(web.CutQueries(err.Error())), kind)
}
