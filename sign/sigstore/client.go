// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ocm"
)

const (
	// maxAnswer is the greatest size of a service's answer in bytes.
	maxAnswer = 1 << 20
	// patience is how long one answer may take: a log collects entries for some seconds before it answers.
	patience = time.Minute
)

// client asks the services.
type client struct{ env *ocm.Env }

// request is one question.
type request struct {
	what        string // who is asked, for messages
	method, url string
	contentType string
	body        []byte
	token       string // "": none. It stands in no message.
}

// answer is what a service says.
type answer struct {
	status   int
	location string // of the Location header
	body     []byte
}

// do asks and returns the whole answer of a status that is expected. Redirects are not followed: they would lead to
// places that nobody configured, perhaps with the token.
func (c client) do(ctx context.Context, q request, expected ...int) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, bytes.NewReader(q.body))
	if err != nil {
		return a, fmt.Errorf("%s: not an address: %w", q.what, ocm.ErrInvalid)
	}
	if q.contentType != "" {
		req.Header.Set("Content-Type", q.contentType)
	}
	if q.token != "" {
		req.Header.Set("Authorization", "Bearer "+q.token)
	}
	h := http.Client{Transport: c.env.Transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := h.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // its text has the address with its query
		}
		return a, fmt.Errorf("%s at %s: %w", q.what, place(req.URL), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil {
		err = req.Context().Err() // a server that sees us hang up may still end its answer as if it were whole
	}
	switch {
	case err != nil:
		return a, fmt.Errorf("%s at %s: %w", q.what, place(req.URL), err)
	case len(body) > maxAnswer:
		return a, fmt.Errorf("%s at %s answers with more than %d bytes: %w", q.what, place(req.URL), maxAnswer, ocm.ErrLimit)
	}
	for _, status := range expected {
		if resp.StatusCode == status {
			return answer{status, resp.Header.Get("Location"), body}, nil
		}
	}
	err = fmt.Errorf("%s at %s answers %s%s", q.what, place(req.URL), resp.Status, q.said(body))
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		err = fmt.Errorf("%w: %w", err, ocm.ErrDenied)
	}
	return a, err
}

// said quotes the beginning of an answer for a message, without what is secret.
func (q *request) said(body []byte) string {
	text := string(body)
	if q.token != "" {
		text = strings.ReplaceAll(text, q.token, "***")
	}
	if text == "" {
		return ""
	}
	return fmt.Sprintf(": %.300q", text)
}

// place is an address without what may be secret in it.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }
