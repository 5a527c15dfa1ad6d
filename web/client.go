// SPDX-License-Identifier: Apache-2.0

// Package web is the one HTTP client for content: a transport with settings per host, and a [Client] that
// logs in at one place, follows redirects without carrying secrets elsewhere, repeats what failed for
// a reason that passes, and goes on where a download broke off.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// MaxRedirects bounds a chain of redirects.
const MaxRedirects = 5

// Client sends requests with the credentials for one origin, and to others without. It may be used concurrently.
type Client struct {
	env    *ocm.Env
	origin *url.URL
	secret ocm.Secret
	http   *http.Client
	// Sign, if not nil, is called for each request to the origin before it is sent, in place of the
	// credentials of the environment: for signatures over a request.
	Sign func(*http.Request) error
}

// For makes a client for the origin (scheme, host and port) of an address. Its credentials are those that the
// environment has for the address, as consumer of the first of the types that has any; none at all is
// no error. User names in the address are [ocm.ErrInvalid]: descriptors are no place for secrets.
func For(ctx context.Context, env *ocm.Env, at *url.URL, consumers ...string) (*Client, error) {
	switch {
	case at.Scheme != "https" && at.Scheme != "http" || at.Host == "":
		return nil, fmt.Errorf("address %q: expected https://host/path or http://host/path: %w", at.Redacted(), ocm.ErrInvalid)
	case at.User != nil:
		return nil, fmt.Errorf("address %s://%s has a user name; put it into the configuration of credentials: %w", at.Scheme, at.Host, ocm.ErrInvalid)
	}
	c := &Client{env: env, origin: at}
	for _, typ := range consumers {
		secret, err := env.Resolve(ctx, Identity(typ, at))
		if err == nil {
			c.secret = secret
			break
		}
		if !errors.Is(err, ocm.ErrNotFound) {
			return nil, err
		}
	}
	c.http = &http.Client{Transport: TransportOf(env), CheckRedirect: c.checkRedirect}
	return c, nil
}

// Identity is the consumer of credentials for an address: type, scheme, hostname, port if it is said, and
// path without the first slash.
func Identity(typ string, at *url.URL) ocm.Identity {
	id := ocm.Identity{"type": typ, "scheme": at.Scheme, "hostname": at.Hostname()}
	for name, value := range map[string]string{"port": at.Port(), "path": strings.Trim(at.Path, "/")} {
		if value != "" {
			id[name] = value
		}
	}
	return id
}

// Secret are the credentials that the client has found, perhaps none.
func (c *Client) Secret() ocm.Secret { return c.secret }

// Request is what is asked for.
type Request struct {
	URL        *url.URL
	Method     string // default GET
	Header     http.Header
	Body       []byte
	NoRedirect bool // a redirect is an error
}

// Do sends a request and returns an answer of status 2xx; the caller closes its body. Any other status is an
// error that says what was asked, without query, and what was answered: [ocm.ErrNotFound],
// [ocm.ErrDenied] where it fits.
func (c *Client) Do(ctx context.Context, r Request) (*http.Response, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if err := c.login(req); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		resp.Body.Close()
		kind := errors.New("unexpected answer")
		switch resp.StatusCode {
		case http.StatusNotFound, http.StatusGone:
			kind = ocm.ErrNotFound
		case http.StatusUnauthorized, http.StatusForbidden:
			kind = ocm.ErrDenied
		}
		return nil, fmt.Errorf("%s %s://%s%s: status %d: %w", method, r.URL.Scheme, r.URL.Host, r.URL.Path, resp.StatusCode, kind)
	}
	return resp, nil
}

// Read returns a document of at most limit bytes, [ocm.ErrLimit] if it is larger.
func (c *Client) Read(ctx context.Context, r Request, limit int64) ([]byte, error) {
	resp, err := c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return blob.ReadDocument(resp.Body, resp.ContentLength, limit)
}

// Content is what a request delivers. Nothing is sent before it is opened. root may be incomplete; its
// MediaType must be set. Where the answer breaks off, it is asked for the rest.
func (c *Client) Content(r Request, root ociv1.Descriptor) ocm.Content {
	if root.Size == 0 && root.Digest == "" {
		root.Size = -1
	}
	return ocm.Content{Root: root, From: &fetcher{c, r}, Name: r.URL.Host + r.URL.Path}
}

type fetcher struct {
	c *Client
	r Request
}

// Fetch implements [ocm.Fetcher].
func (f *fetcher) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	resp, err := f.c.Do(ctx, f.r)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// login adds the credentials if the request goes to the client's origin.
func (c *Client) login(req *http.Request) error {
	if !SameOrigin(req.URL, c.origin) {
		return nil
	}
	if c.Sign != nil {
		return c.Sign(req)
	}
	for _, name := range []string{"identityToken", "accessToken", "token"} {
		if t := c.secret[name]; t != "" {
			req.Header.Set("Authorization", "Bearer "+t)
			return nil
		}
	}
	if c.secret["username"] != "" {
		req.SetBasicAuth(c.secret["username"], c.secret["password"])
	}
	return nil
}

func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return fmt.Errorf("more than %d redirects: %w", MaxRedirects, ocm.ErrLimit)
	}
	if !SameOrigin(req.URL, c.origin) {
		req.Header.Del("Authorization")
	}
	return nil
}

// SameOrigin compares scheme, host and port, the default ports filled in.
func SameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "http"):
		return "80"
	}
	return "443"
}
