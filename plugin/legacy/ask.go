// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf16"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/plugin/wire"
)

// question is one that a plugin is asked.
type question struct {
	path  string
	query url.Values // of a GET; nil: POST with body
	body  any
	auth  authorization
	again bool // it may be asked twice
	slow  bool // it moves content
	quiet bool // what it says of an error may have secrets in it
}

// authorization are credentials on their way to a plugin.
type authorization struct {
	header string // empty: none
	secret ocm.Secret
}

// noAnswer is an error after which nobody knows whether the question was heard.
type noAnswer struct{ error }

func (e noAnswer) Unwrap() error { return e.error }

// ask asks a question. answer nil: none is expected.
func (i *instance) ask(ctx context.Context, q question, answer any) error {
	_, err := i.exchange(ctx, q, answer)
	return err
}

// exchange is ask, and tells who has answered. A process is started if there is none; one that was just ending itself, because it was idle, is
// started again.
func (i *instance) exchange(ctx context.Context, q question, answer any) (*process, error) {
	p, err := i.process(ctx)
	if err == nil {
		err = p.ask(ctx, i.plugin.limit(q), q, answer)
	}
	if p != nil && i.mayRepeat(ctx, p, q, err) {
		if p, err = i.process(ctx); err == nil {
			err = p.ask(ctx, i.plugin.limit(q), q, answer)
		}
	}
	return p, i.plugin.named(err)
}

// endingTime is how long a process that no longer listens may take to end.
const endingTime = time.Second

// mayRepeat reports whether a question has no answer because the process has ended, and may be asked again: because it was not heard, or
// changes nothing.
func (i *instance) mayRepeat(ctx context.Context, p *process, q question, err error) bool {
	var lost noAnswer
	if !errors.As(err, &lost) || ctx.Err() != nil {
		return false
	}
	if dialled := (*net.OpError)(nil); !q.again && (!errors.As(err, &dialled) || dialled.Op != "dial") {
		return false
	}
	select {
	case <-p.Ended():
		return true
	case <-time.After(endingTime):
		return false
	}
}

func (p *Plugin) limit(q question) time.Duration {
	if q.slow {
		return p.o.Timeout
	}
	return min(QuestionTimeout, p.o.Timeout)
}

// ask asks this very process.
func (p *process) ask(ctx context.Context, limit time.Duration, q question, answer any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s: no answer after %s: %w", q.path, limit, context.DeadlineExceeded))
	defer cancel()
	req, err := p.request(ctx, q)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return broken(ctx, q.path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxAnswer+1))
	switch {
	case err != nil:
		return broken(ctx, q.path, err)
	case resp.StatusCode != http.StatusOK:
		return failed(q, resp.StatusCode, raw)
	case len(raw) > wire.MaxAnswer:
		return fmt.Errorf("%s: its answer has more than %d bytes: %w", q.path, wire.MaxAnswer, ocm.ErrLimit)
	case answer == nil:
		return nil
	}
	if into, ok := answer.(*[]byte); ok {
		*into = raw
		return nil
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("%s: its answer cannot be read: %s: %w", q.path, unquoted(q, err), ocm.ErrInvalid)
	}
	return nil
}

// unquoted is an error in an answer; of an answer with secrets it says nothing.
func unquoted(q question, err error) string {
	if q.quiet {
		return "it is not what is expected there"
	}
	return wire.Text(err.Error(), maxMessage)
}

func (p *process) request(ctx context.Context, q question) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	at := p.base + q.path
	if q.query != nil {
		at += "?" + q.query.Encode()
	} else {
		raw, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		method, body = http.MethodPost, bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if q.auth.header != "" {
		req.Header.Set("Authorization", q.auth.header)
	}
	return req, nil
}

func broken(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the address, which has the query in it
	}
	return noAnswer{fmt.Errorf("%s: %w: %w", path, wire.ErrBroken, err)}
}

const maxMessage = 4096 // bytes of a plugin's message that are shown

// failed is an answer that is no success: any status but 200. Its text is the message.
func failed(q question, status int, raw []byte) error {
	text := strings.TrimSpace(string(raw[:min(len(raw), 2*maxMessage)]))
	for _, secret := range q.auth.secret {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if text = wire.Text(text, maxMessage); q.quiet {
		text = "its message is not shown, because it may have secrets in it"
	} else if text == "" {
		text = "failed without a message"
	}
	kind := statuses[status]
	if kind == nil && bytes.Contains(bytes.ToLower(raw[:min(len(raw), 2*maxMessage)]), []byte("not found")) {
		kind = ocm.ErrNotFound
	}
	if kind == nil {
		return fmt.Errorf("%s: status %d: %s", q.path, status, text)
	}
	return fmt.Errorf("%s: status %d: %s: %w", q.path, status, text, kind)
}

// statuses are the errors that can be told from a status. Existing plugins answer most with 500, and what is not found with nothing but
// these two words in the text.
var statuses = map[int]error{
	http.StatusBadRequest:            ocm.ErrInvalid,
	http.StatusUnauthorized:          ocm.ErrDenied,
	http.StatusForbidden:             ocm.ErrDenied,
	http.StatusNotFound:              ocm.ErrNotFound,
	http.StatusMethodNotAllowed:      errors.ErrUnsupported,
	http.StatusConflict:              ocm.ErrExists,
	http.StatusRequestEntityTooLarge: ocm.ErrLimit,
	http.StatusNotImplemented:        errors.ErrUnsupported,
}

// missing reports whether an error is that of a question that the plugin does not know.
func missing(err error) bool {
	return errors.Is(err, ocm.ErrNotFound) || errors.Is(err, errors.ErrUnsupported)
}

const maxIdentity = 64 // attributes of a consumer

// authorize asks the plugin for which consumer it needs credentials, and finds them. bare: the answer is the identity itself.
func (i *instance) authorize(ctx context.Context, env *ocm.Env, path string, body any, bare bool) (ocm.Identity, authorization, error) {
	var raw []byte
	err := i.ask(ctx, question{path: path, body: body, again: true}, &raw)
	if missing(err) {
		return nil, authorization{}, nil // it needs none
	}
	if err != nil {
		return nil, authorization{}, err
	}
	var answer struct {
		Identity ocm.Identity `json:"identity"`
	}
	into := any(&answer)
	if bare {
		into = &answer.Identity
	}
	if err := json.Unmarshal(raw, into); err != nil || len(answer.Identity) > maxIdentity {
		return nil, authorization{}, i.plugin.named(fmt.Errorf("%s: its answer is no identity: a map of at most %d texts: %w", path, maxIdentity, ocm.ErrInvalid))
	}
	if len(answer.Identity) == 0 {
		return nil, authorization{}, nil
	}
	secret, err := env.Resolve(ctx, answer.Identity)
	if errors.Is(err, ocm.ErrNotFound) {
		return answer.Identity, authorization{}, nil
	}
	if err != nil {
		return nil, authorization{}, err
	}
	auth, err := typed(secret)
	return answer.Identity, auth, err
}

// typed is a secret as such plugins read it.
func typed(secret ocm.Secret) (authorization, error) {
	raw, err := json.Marshal(struct {
		Type       string     `json:"type"`
		Properties ocm.Secret `json:"properties"`
	}{"DirectCredentials/v1", secret}, json.Deterministic(true))
	if err != nil {
		return authorization{}, fmt.Errorf("credentials: not text: %w", ocm.ErrInvalid) // the error may quote them
	}
	return authorization{ascii(raw), secret}, nil
}

// ascii escapes what a header cannot carry of a JSON text.
func ascii(raw []byte) string {
	var b strings.Builder
	for _, r := range string(raw) {
		if r >= ' ' && r < 0x7f {
			b.WriteRune(r)
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	return b.String()
}
