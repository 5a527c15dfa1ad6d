// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"ocm"
	"ocm/web"
)

// httpService is the protocol over HTTP, where each request stands for itself.
type httpService struct {
	client *web.Client
	at     *url.URL // of the repository
	body   io.Closer
}

func newHTTP(ctx context.Context, env *ocm.Env, at Address) (service, error) {
	client, err := web.For(ctx, env, at.URL, Consumer)
	if err != nil {
		return nil, err
	}
	s := &httpService{client: client, at: at.URL}
	if user, password := login(client.Secret()); password != "" {
		client.Sign = func(r *http.Request) error { r.SetBasicAuth(user, password); return nil }
	}
	return s, nil
}

// login is the user and password of a secret. A token is sent as a password, because git servers expect
// it there; they ignore the user name, but want one.
func login(secret ocm.Secret) (user, password string) {
	user, password = secret["username"], secret["password"]
	for _, name := range []string{"token", "accessToken", "identityToken"} {
		if secret[name] != "" {
			password = secret[name]
			if user == "" {
				user = "x-access-token"
			}
			break
		}
	}
	return user, password
}

func (s *httpService) hello(ctx context.Context) (*bufio.Reader, error) {
	u := s.at.JoinPath("info", "refs")
	u.RawQuery = "service=git-upload-pack"
	br, final, err := s.do(ctx, web.Request{URL: u}, "advertisement")
	if err != nil {
		return nil, err
	}
	// A server may add ".git" to the path; that is where the next request goes then.
	path, ok := strings.CutSuffix(final.Path, "/info/refs")
	if !ok {
		return nil, fmt.Errorf("the server redirects to %s, which is no repository: %w", final.Path, ocm.ErrInvalid)
	}
	s.at = &url.URL{Scheme: final.Scheme, Host: final.Host, Path: path}
	p := &packets{r: br}
	head, err := br.Peek(5)
	if err != nil {
		return nil, cut(err)
	}
	if head[4] != '#' {
		return br, nil // some servers leave the title out in version 2
	}
	for k := data; k == data; {
		if _, k, err = p.line(); err != nil {
			return nil, err
		}
	}
	return br, nil
}

func (s *httpService) ask(ctx context.Context, request []byte) (*bufio.Reader, error) {
	header := http.Header{"Content-Type": {"application/x-git-upload-pack-request"}}
	br, _, err := s.do(ctx, web.Request{URL: s.at.JoinPath("git-upload-pack"), Method: http.MethodPost, Header: header, Body: request, NoRedirect: true}, "result")
	return br, err
}

// do sends a request. A redirect to another host is refused, though its answer would be read without credentials:
// what comes from there is not what was named (CVE-2026-41506 is the same with credentials).
func (s *httpService) do(ctx context.Context, r web.Request, answer string) (*bufio.Reader, *url.URL, error) {
	if err := s.Close(); err != nil {
		return nil, nil, err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Git-Protocol", "version=2")
	want := "application/x-git-upload-pack-" + answer
	r.Header.Set("Accept", want)
	resp, err := s.client.Do(ctx, r) //nolint:bodyclose // Close does it, or the next request
	if err != nil {
		return nil, nil, err
	}
	s.body = resp.Body
	final := r.URL
	if resp.Request != nil && resp.Request.URL != nil {
		final = resp.Request.URL
	}
	if !web.SameOrigin(final, r.URL) {
		return nil, nil, fmt.Errorf("the server redirects to %s://%s; if that is right, write this address: %w", final.Scheme, final.Host, ocm.ErrDenied)
	}
	if found := resp.Header.Get("Content-Type"); found != want {
		return nil, nil, fmt.Errorf("no git server answers there: expected %s, found %.100q: %w", want, found, ocm.ErrInvalid)
	}
	if resp.Request != nil && resp.Request.Method != "" && r.Method != "" && resp.Request.Method != r.Method {
		return nil, nil, fmt.Errorf("the server redirects a request of this kind: %w", ocm.ErrInvalid)
	}
	return bufio.NewReaderSize(resp.Body, buffer), final, nil
}

func (s *httpService) Close() error {
	if s.body == nil {
		return nil
	}
	body := s.body
	s.body = nil
	return body.Close()
}
