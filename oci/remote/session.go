// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
	"ocm/blob"
	"ocm/web"
)

// UserAgent is how this client names itself.
const UserAgent = web.UserAgent

// session talks to one registry with the credentials for it. It is the client that oras-go
// sends its requests through, and the only place where a secret meets a request.
//
// oras-go's own auth client is not used for one reason: it refuses every token service on
// another host that resolves to a private address, which is how most companies run theirs, and
// allows every other one that is public. See [session.tokenService] for the rule here.
type session struct {
	env        *ocm.Env
	name       string   // host[:port] as users write it
	origin     *url.URL // scheme and host that requests go to
	id         ocm.Identity
	tokenHosts []string
	http       *http.Client
	tokens     auth.Cache
	pace       pace
	peer       *web.Peer
	rate       rate
	mounts     mounts
	pending    pending

	mu    sync.Mutex
	asked bool // cred holds the environment's answer
	cred  credential
}

// Do sends a request to the registry, with credentials where it demands them. A request to any
// other place is refused: next links and upload locations come from the registry, and may not
// lead us, or our token, elsewhere. The response is a success or a 404; everything else is a
// *failure.
func (s *session) Do(req *http.Request) (*http.Response, error) {
	if !web.SameOrigin(req.URL, s.origin) {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, s.elsewhere(req)
	}
	out := req.Clone(req.Context())
	out.Header.Set("User-Agent", UserAgent)
	out.Header.Set("Accept-Encoding", "identity") // bytes as they are stored, in their true length
	key := s.attachCached(out)
	resp, err := s.http.Do(out)
	if err != nil {
		return nil, s.unreachable(out, err)
	}
	if resp.StatusCode == http.StatusUnauthorized && web.SameOrigin(resp.Request.URL, s.origin) {
		again, err := s.authenticate(out, key, resp.Header.Values("WWW-Authenticate"))
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
		if again != nil {
			resp.Body.Close()
			out = again
			if resp, err = s.http.Do(out); err != nil {
				return nil, s.unreachable(out, err)
			}
		}
	}
	return s.accept(out, resp)
}

// elsewhere is the refusal of a request that would leave the registry.
func (s *session) elsewhere(req *http.Request) error {
	hint := ""
	if req.URL.Scheme == "http" && s.origin.Scheme == "https" && strings.EqualFold(req.URL.Hostname(), s.origin.Hostname()) {
		hint = "; a proxy in front of the registry may have to tell it about https (X-Forwarded-Proto)"
	}
	return &failure{
		text:  fmt.Sprintf("registry %s names %s://%s for the next step, which is not the registry and is not contacted%s", s.name, req.URL.Scheme, req.URL.Host, hint),
		cause: ocm.ErrDenied,
	}
}

// attachCached sets the Authorization header if a fitting one is known. It returns the key
// under which a token for this request is kept.
func (s *session) attachCached(req *http.Request) (key string) {
	ctx, host := req.Context(), s.origin.Host
	key = strings.Join(auth.GetAllScopesForHost(ctx, host), " ")
	switch scheme, _ := s.tokens.GetScheme(ctx, host); scheme {
	case auth.SchemeBasic:
		if t, err := s.tokens.GetToken(ctx, host, scheme, ""); err == nil {
			req.Header.Set("Authorization", "Basic "+t)
		}
	case auth.SchemeBearer:
		if t, err := s.tokens.GetToken(ctx, host, scheme, key); err == nil {
			req.Header.Set("Authorization", "Bearer "+t)
		}
	}
	return key
}

// authenticate answers a 401 with the request to send next, nil if there is nothing to add or
// the body was spent.
func (s *session) authenticate(req *http.Request, key string, headers []string) (*http.Request, error) {
	ctx, host := req.Context(), s.origin.Host
	ch, ok := pickChallenge(headers)
	if !ok || req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return nil, nil
	}
	again := req.Clone(ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		again.Body = body
	}
	if ch.scheme == "basic" {
		cred, err := s.credential(ctx)
		if err != nil || cred.anonymous() {
			return nil, err
		}
		t, err := s.tokens.Set(ctx, host, auth.SchemeBasic, "", func(context.Context) (string, error) { return cred.basic() })
		if err != nil {
			return nil, &failure{text: "registry " + s.name, cause: err}
		}
		again.Header.Set("Authorization", "Basic "+t)
		return again, nil
	}
	scopes := auth.GetAllScopesForHost(ctx, host)
	if more := ch.params["scope"]; more != "" {
		scopes = auth.CleanScopes(append(scopes, strings.Fields(more)...))
	}
	// Kept under what was asked for, although the registry may have widened it: the next
	// request of this kind then finds it at once.
	t, err := s.tokens.Set(ctx, host, auth.SchemeBearer, key, func(ctx context.Context) (string, error) { return s.token(ctx, ch, scopes) })
	if err != nil {
		return nil, err
	}
	again.Header.Set("Authorization", "Bearer "+t)
	return again, nil
}

// accept passes a success or a 404 on and makes a *failure of everything else.
func (s *session) accept(req *http.Request, resp *http.Response) (*http.Response, error) {
	err := error(nil)
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return resp, nil
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		s.mu.Lock()
		sent := !s.cred.anonymous() && req.Header.Get("Authorization") != ""
		s.mu.Unlock()
		err = s.refusal(req, resp, sent)
	case isWebPage(req, resp):
		err = &failure{
			code:  resp.StatusCode,
			text:  s.place(req) + ": expected the answer of a registry, found a web page; is there a proxy that asks for a login?",
			cause: ocm.ErrInvalid,
		}
	default:
		err = s.checkDigestHeader(req, resp)
	}
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// checkDigestHeader compares what was asked for by digest with what the registry says it sends.
// Behind it the header is absent or a well-formed digest.
func (s *session) checkDigestHeader(req *http.Request, resp *http.Response) error {
	found := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	want := digest.Digest(path.Base(req.URL.Path))
	if q := digest.Digest(req.URL.Query().Get("digest")); q != "" {
		want = q // the end of an upload
	}
	if found == "" {
		return nil
	}
	if err := blob.CheckDigest(found); err != nil {
		return &failure{text: s.place(req) + ": Docker-Content-Digest", cause: err}
	}
	switch {
	case blob.CheckDigest(want) != nil || found == want:
		return nil
	case found.Algorithm() != want.Algorithm():
		// The registry tells its own, canonical digest: no statement about the one asked for.
		resp.Header.Del("Docker-Content-Digest")
		return nil
	}
	return &failure{text: fmt.Sprintf("%s: expected %s, the registry says %.100q", s.place(req), want, string(found)), cause: ocm.ErrDigest}
}

// isWebPage spots the login page of a proxy or a portal where JSON should be.
func isWebPage(req *http.Request, resp *http.Response) bool {
	return strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "text/html") && !strings.Contains(req.URL.Path, "/blobs/")
}
