// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"ocm"
	"ocm/web"
)

// checkRedirect lets reads follow redirects, which is how registries hand out blobs from an
// object storage, and nothing else. Credentials end at the first step that leaves the registry,
// for the rest of the chain. https never becomes http, and no step leads to this computer or to
// a link-local address such as a cloud's metadata service.
func (s *session) checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Context().Value(stayHere{}) != nil && !web.SameOrigin(first.URL, req.URL) {
		return http.ErrUseLastResponse // the redirect itself is the answer
	}
	to := req.URL.Scheme + "://" + req.URL.Host
	switch {
	case first.Method != http.MethodGet && first.Method != http.MethodHead:
		return fmt.Errorf("%s is redirected to %s, which is not followed; use that address instead if it is right: %w", first.Method, to, ocm.ErrDenied)
	case len(via) > web.MaxRedirects:
		return fmt.Errorf("more than %d redirects: %w", web.MaxRedirects, ocm.ErrLimit)
	case first.URL.Scheme == "https" && req.URL.Scheme != "https":
		return fmt.Errorf("redirect from https to %s is not followed: %w", to, ocm.ErrDenied)
	case req.URL.Scheme != "https" && req.URL.Scheme != "http":
		return fmt.Errorf("redirect to %s is not followed: %w", to, ocm.ErrDenied)
	}
	if err := s.checkAddress(req.URL); err != nil {
		return fmt.Errorf("redirect: %w", err)
	}
	// net/http builds the headers of every step anew from the first request, so this is
	// decided for the whole chain at every step.
	outside := func(r *http.Request) bool { return !web.SameOrigin(first.URL, r.URL) }
	if outside(req) || slices.ContainsFunc(via[1:], outside) {
		req.Header.Del("Authorization")
	}
	req.Header.Del("Referer") // the address before may be a signed one
	return nil
}

// checkAddress refuses addresses that a registry has no business to send us to. It looks at
// what is written, not at what DNS answers: object storage in a private network is usual.
func (s *session) checkAddress(u *url.URL) error {
	if u.User != nil {
		return fmt.Errorf("address on %s with a user name is not used: %w", u.Host, ocm.ErrDenied)
	}
	host := strings.ToLower(u.Hostname())
	if isLoopback(u.Host) && !isLoopback(s.origin.Host) {
		return fmt.Errorf("%s is this computer, registry %s is not: %w", host, s.name, ocm.ErrDenied)
	}
	addr, err := netip.ParseAddr(host)
	if addr = addr.Unmap(); err == nil && (addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast()) {
		return fmt.Errorf("%s is a link-local or unspecified address: %w", host, ocm.ErrDenied)
	}
	return nil
}

// withoutURL takes the inner error out of net/http's: its text has the whole address, in whose
// query there may be secrets.
func withoutURL(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}
