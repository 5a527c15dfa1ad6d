// SPDX-License-Identifier: Apache-2.0

// Package web is the one place for HTTP: a transport with settings per host, a [Peer] that repeats what failed for
// a reason that passes and ends what makes no progress, a [Download] that goes on where it broke off, and, over
// them, a [Client] for content that logs in at one place and follows redirects without carrying secrets elsewhere.
//
// # Servers are not trusted
//
//   - Credentials, client certificates and unusual headers go to the origin that they are for: scheme, host and port.
//     They end with the first redirect that leaves it, also for later steps that lead back.
//   - https never becomes http, and what was configured for https is not sent by http.
//   - No redirect leads to this computer or to a link-local address.
//   - Retries, redirects, waits and the time without progress are bounded.
//   - No secret, and no query of an address, gets into an error or a log record.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// UserAgent is how this client names itself.
const UserAgent = "ocm/1"

// Client sends requests with the credentials for one origin, and to others without. It may be used concurrently.
type Client struct {
	env    *ocm.Env
	origin *url.URL
	as     string // the type of consumer that it is, for messages
	secret ocm.Secret
	peer   *Peer
	// Sign, if not nil, is called for each request to the origin before it is sent, in place of the
	// credentials of the environment: for signatures over a request. It is set before the first request.
	Sign func(*http.Request) error
}

// For makes a client for the origin (scheme, host and port) of an address. Its credentials are those that the
// environment has for the address, as consumer of the first of the types that has any; none at all is
// no error. Properties that are used: identityToken, accessToken or token as bearer; username and password;
// certificate and privateKey, or certFile and keyFile, for TLS; certificateAuthority, or caFile, instead of the
// system's authorities.
//
// User names in the address are [ocm.ErrInvalid]: descriptors are no place for secrets. Link-local addresses, and
// credentials for https that would be sent by http, are [ocm.ErrDenied].
func For(ctx context.Context, env *ocm.Env, at *url.URL, consumers ...string) (*Client, error) {
	switch {
	case at.Scheme != "https" && at.Scheme != "http" || at.Hostname() == "":
		return nil, fmt.Errorf("address %s: expected https://host/path or http://host/path: %w", Place(at), ocm.ErrInvalid)
	case at.User != nil:
		return nil, fmt.Errorf("address %s has a user name; put it into the configuration of credentials: %w", Place(at), ocm.ErrInvalid)
	}
	if err := CheckHost(at.Hostname()); err != nil {
		return nil, fmt.Errorf("address %s: %w", Place(at), err)
	}
	if env == nil {
		env = &ocm.Env{}
	}
	own := *at
	c := &Client{env: env, origin: &own}
	if len(consumers) > 0 {
		c.as = consumers[0]
	}
	guarded := WithoutDowngrade(env, at.Scheme, at.Host)
	for _, typ := range consumers {
		secret, err := guarded.Resolve(ctx, Identity(typ, at))
		if err == nil {
			c.secret, c.as = secret, typ
			break
		}
		if !errors.Is(err, ocm.ErrNotFound) {
			return nil, fmt.Errorf("credentials for %s: %w", Place(at), err)
		}
	}
	base, err := withCertificates(env, at, c.secret)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", Place(at), err)
	}
	c.peer = &Peer{Env: env, Base: base, Pace: PaceFor(env, at.Host), Once: notIdempotent, Free: isGet}
	c.peer.share(at)
	return c, nil
}

// isGet tells requests for content, which an upload somewhere else may wait for.
func isGet(req *http.Request) bool { return req.Method == http.MethodGet }

// notIdempotent tells requests that may do something each time that they are done.
func notIdempotent(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return false
	}
	return true
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

// Place names an address in messages: never its query or user, in which there may be secrets.
func Place(at *url.URL) string {
	return (&url.URL{Scheme: at.Scheme, Host: at.Host, Path: at.Path}).String()
}

// Secret are the credentials that the client has found, perhaps none.
func (c *Client) Secret() ocm.Secret { return c.secret }

// Request is what is asked for.
type Request struct {
	URL        *url.URL
	Method     string // default GET
	Header     http.Header
	Body       []byte
	Stream     io.ReadCloser // in place of Body; it is sent once, and closed, perhaps after the answer has come
	Size       int64         // of Stream; below zero: not known
	NoRedirect bool          // a redirect is an error
}

func (r Request) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// Do sends a request and returns an answer of status 2xx; the caller closes its body, which is as the server stores
// it, not decompressed. Any other status is an error that says what was asked, without query, and what was
// answered: [ocm.ErrNotFound], [ocm.ErrDenied] where it fits.
//
// An address that is not at the origin comes from a document of the server: it may not lead where no redirect may
// ([CheckAddress]).
func (c *Client) Do(ctx context.Context, r Request) (*http.Response, error) {
	if !SameOrigin(r.URL, c.origin) {
		if err := CheckAddress(c.origin, r.URL); err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method(), Place(r.URL), err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method(), r.URL.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, WithoutURL(err)
	}
	if r.Stream != nil {
		req.Body, req.ContentLength, req.GetBody = r.Stream, r.Size, nil
		if r.Size == 0 {
			req.Body = http.NoBody // a length of 0 would mean that it is not known
		}
	}
	req.Header.Set("User-Agent", UserAgent)
	req.Header.Set("Accept-Encoding", "identity") // bytes as they are stored, in their true length
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if err := c.login(req); err != nil {
		return nil, err
	}
	follow := c.checkRedirect
	if r.NoRedirect {
		follow = func(req *http.Request, _ []*http.Request) error {
			return fmt.Errorf("redirected to %s, which is not to be followed: %w", Place(req.URL), ocm.ErrDenied)
		}
	}
	sent := req.Header.Get("Authorization") != "" || c.Sign != nil && SameOrigin(req.URL, c.origin)
	resp, err := (&http.Client{Transport: c.peer, CheckRedirect: follow}).Do(req)
	if err != nil {
		return nil, unreachable(req, err)
	}
	if resp.StatusCode/100 != 2 {
		defer Drop(resp)
		return nil, c.refusal(req, resp, sent)
	}
	return resp, nil
}

// patience is how many times the time without progress all of a document may take: a server that sends a byte now and then
// makes progress for ever.
const patience = 15

// Read returns a document of at most limit bytes, [ocm.ErrLimit] if it is larger. It ends with [ErrSilent] where the
// document takes very much longer than documents do, a quarter of an hour without other settings.
func (c *Client) Read(ctx context.Context, r Request, limit int64) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if all := patience * c.peer.Pace.Stall; all > 0 {
		defer time.AfterFunc(all, func() { cancel(fmt.Errorf("not complete after %v: %w", all, ErrSilent)) }).Stop()
	}
	resp, err := c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := blob.ReadDocument(resp.Body, resp.ContentLength, limit)
	if err != nil && errors.Is(context.Cause(ctx), ErrSilent) {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method(), Place(r.URL), err)
	}
	return raw, nil
}

// Content is what a request delivers. Nothing is sent before it is opened. root may be incomplete; its
// MediaType must be set. Where the answer breaks off, it is asked for the rest, see [Download].
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
func (f *fetcher) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	get := &Download{
		Ask: func(ctx context.Context, header http.Header) (*http.Response, error) {
			r := f.r
			r.Header = maps.Clone(r.Header)
			if r.Header == nil {
				r.Header = http.Header{}
			}
			maps.Copy(r.Header, header)
			return f.c.Do(ctx, r)
		},
		Size: d.Size, Name: f.r.method() + " " + Place(f.r.URL), Fixed: d.Digest != "",
		Whole: f.r.method() != http.MethodGet || len(f.r.Body) > 0,
		Pace:  f.c.peer.Pace, Job: f.c.env.Job, Passing: passing,
	}
	if d.Digest == "" && d.Size == 0 {
		get.Size = -1
	}
	if err := get.Open(ctx, get.Size <= SmallDownload); err != nil {
		return nil, err
	}
	return get, nil
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

// checkRedirect is [CheckRedirect]; a step that stays at the origin is signed anew.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if err := CheckRedirect(req, via); err != nil {
		return err
	}
	if c.Sign != nil && SameOrigin(via[0].URL, c.origin) && !leaves(req, via) {
		return c.Sign(req)
	}
	return nil
}
