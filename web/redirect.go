// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"

	"ocm"
)

// MaxRedirects bounds a chain of redirects.
const MaxRedirects = 5

// harmless are the headers that go along to another origin. All others stay: besides credentials there are
// signatures, keys in headers of somebody's own making, and cookies.
var harmless = []string{"Accept", "Accept-Encoding", "Accept-Language", "If-Range", "Range", "User-Agent"}

// CheckRedirect is for [http.Client.CheckRedirect]. Reads without body follow redirects, which is how servers hand
// out content from an object storage; nothing else does. Credentials and unusual headers end at the first step that
// leaves the origin, for the rest of the chain. https never becomes http, and no step leads to where
// [CheckAddress] does not allow.
func CheckRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	to := req.URL.Scheme + "://" + req.URL.Host
	switch {
	case first.Method != http.MethodGet && first.Method != http.MethodHead || first.Body != nil && first.Body != http.NoBody:
		return fmt.Errorf("%s is redirected to %s, which is not followed; use that address instead if it is right: %w", first.Method, to, ocm.ErrDenied)
	case len(via) > MaxRedirects:
		return fmt.Errorf("more than %d redirects: %w", MaxRedirects, ocm.ErrLimit)
	case first.URL.Scheme == "https" && req.URL.Scheme != "https":
		return fmt.Errorf("redirect from https to %s is not followed: %w", to, ocm.ErrDenied)
	case req.URL.Scheme != "https" && req.URL.Scheme != "http":
		return fmt.Errorf("redirect to %s is not followed: %w", to, ocm.ErrDenied)
	}
	if err := CheckAddress(first.URL, req.URL); err != nil {
		return fmt.Errorf("redirect: %w", err)
	}
	// net/http builds the headers of every step anew from the first request, so this is
	// decided for the whole chain at every step.
	if leaves(req, via) {
		for name := range req.Header {
			if !slices.Contains(harmless, textproto.CanonicalMIMEHeaderKey(name)) {
				delete(req.Header, name)
			}
		}
	}
	req.Header.Del("Referer") // the address before may be a signed one
	return nil
}

// leaves tells whether a chain of redirects has left the origin of its first request, at any step.
func leaves(req *http.Request, via []*http.Request) bool {
	outside := func(r *http.Request) bool { return !SameOrigin(via[0].URL, r.URL) }
	return outside(req) || slices.ContainsFunc(via[1:], outside)
}

// WithoutURL takes the inner error out of net/http's: its text has the whole address, in whose
// query there may be secrets. Where the inner text quotes an address too, its query is cut.
func WithoutURL(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	if text := err.Error(); queryForm.MatchString(text) {
		return &cut{CutQueries(text), err}
	}
	return err
}

// CutQueries takes the queries of addresses out of a text; after a redirect they are signatures.
func CutQueries(text string) string { return queryForm.ReplaceAllString(text, "?…") }

// queryForm finds the queries of addresses in a text.
var queryForm = regexp.MustCompile(`\?[^\s"]+`)

// cut is an error with another text.
type cut struct {
	text string
	err  error
}

func (c *cut) Error() string { return c.text }
func (c *cut) Unwrap() error { return c.err }
