// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/config"
	"ocm/oci"
	"ocm/plugin/wire"
	"ocm/web"
)

// server answers what the host asks.
type server struct {
	kit  *ocm.Kit
	log  *slog.Logger
	host *wire.Client
	http http.RoundTripper

	contents wire.Table[wire.Offered]
	places   places
}

// Handler answers the questions of a host, which is asked back by a client.
func Handler(kit *ocm.Kit, log *slog.Logger, host *wire.Client) http.Handler {
	s := &server{kit: kit, log: log, host: host, http: web.NewTransport(config.HTTP{})}
	mux := http.NewServeMux()
	mux.Handle(wire.OpenPath, answer(s.open))
	mux.Handle(wire.FetchPath, wire.AnswerStream(s.fetch))
	mux.Handle(wire.AttachedPath, answer(s.attached))
	mux.Handle(wire.ClosePath, answer(s.close))
	mux.Handle(wire.SignPath, answer(s.sign))
	mux.Handle(wire.VerifyPath, answer(s.verify))
	mux.Handle(wire.CredentialsPath, answer(s.credentials))
	s.handleRepositories(mux)
	mux.Handle(wire.UploadPath, answer(s.upload))
	mux.Handle(wire.TransformPath, answer(s.transform))
	return mux
}

// token is the key under which a context has the secret of the call that it belongs to.
type token struct{}

// answer is a handler of a function that need not know of tokens.
func answer[Q, A any](fn func(ctx context.Context, q Q) (A, error)) http.Handler {
	return wire.Answer(func(ctx context.Context, secret string, q Q) (A, error) {
		return fn(context.WithValue(ctx, token{}, secret), q)
	})
}

func tokenOf(ctx context.Context) string {
	secret, _ := ctx.Value(token{}).(string)
	return secret
}

// env is what an implementation may use. What outlives a call, such as a content, can go on using it: the host is asked in the name of
// the call that is going on.
func (s *server) env(e wire.Env) *ocm.Env {
	env := &ocm.Env{
		Credentials: secrets{s.host}, HTTP: s.http, Dir: e.Dir, Temp: e.Temp, Durable: e.Durable, Confined: e.Confined,
		Log: s.log, Job: ocm.NewJob(parallel),
	}
	if !e.Time.IsZero() {
		ahead := time.Until(e.Time)
		env.Now = func() time.Time { return time.Now().Add(ahead) }
	}
	return env
}

// parallel is how many things one call does at once.
const parallel = 16

// secrets are the host's credentials.
type secrets struct{ host *wire.Client }

// Resolve asks the host.
func (s secrets) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	var found wire.Secret
	err := s.host.Ask(ctx, tokenOf(ctx), wire.ResolvePath, wire.Resolve{Identity: id}, &found)
	return found.Secret, err
}

func (s *server) open(ctx context.Context, q wire.Open) (wire.Content, error) {
	from := s.kit.Access
	if q.Kind == wire.Input {
		from = s.kit.Inputs
	}
	method, err := from.For(q.Spec.Type)
	if err != nil {
		return wire.Content{}, err
	}
	c, err := method.Open(ctx, s.env(q.Env), q.Spec)
	if err != nil {
		return wire.Content{}, err
	}
	return s.offer(c), nil
}

// offer keeps a content for the host.
func (s *server) offer(c ocm.Content) wire.Content {
	return wire.Describe(c, s.contents.Put(wire.Offer(c, ocm.NewJob(parallel))))
}

func (s *server) fetch(ctx context.Context, secret string, q wire.Fetch) (io.ReadCloser, int64, error) {
	c, err := s.contents.Get(q.Handle)
	if err != nil {
		return nil, 0, err
	}
	return wire.Bytes(context.WithValue(ctx, token{}, secret), c.Content, q.Descriptor)
}

// attached tells what is attached to a manifest of a content, or to the one of a version.
func (s *server) attached(ctx context.Context, q wire.AskAttached) (wire.Attached, error) {
	if c, err := s.contents.Get(q.Handle); err == nil {
		return c.Attached(ctx, q)
	}
	v, err := s.places.versions.Get(q.Handle)
	if err != nil {
		return wire.Attached{}, err
	}
	a, ok := v.(oci.Attacher)
	if !ok || q.Digest != v.Manifest().Digest {
		return wire.Attached{}, fmt.Errorf("what is attached to %.200q cannot be told: %w", q.Digest, errors.ErrUnsupported)
	}
	list, err := a.Attached(ctx)
	return wire.Attached{Attached: list}, err
}

func (s *server) close(_ context.Context, q wire.Close) (wire.Empty, error) {
	_, _ = s.contents.Take(q.Handle) // not known: nothing to do
	return wire.Empty{}, s.places.close(q.Handle)
}

// content is a content of the host, which is read in the name of the call that goes on. What of it stays behind is asked in the name of
// this one.
func (s *server) content(ctx context.Context, c wire.Content) (ocm.Content, error) {
	out, err := c.Content(&theirs{s.host, c.Handle})
	if err != nil {
		return out, fmt.Errorf("the host's content: %w", err)
	}
	if c.Partial {
		out.Skip = func(d ociv1.Descriptor) bool {
			var skipped wire.Skipped
			// Without an answer it is asked for, and the host says what is wrong.
			_ = s.host.Ask(ctx, tokenOf(ctx), wire.SkipPath, wire.Fetch{Handle: c.Handle, Descriptor: d}, &skipped)
			return skipped.Skip
		}
	}
	return out, nil
}

// theirs is a content of the host.
type theirs struct {
	host   *wire.Client
	handle string
}

// Fetch implements [wire.Source].
func (t *theirs) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	body, _, err := t.host.Stream(ctx, tokenOf(ctx), wire.FetchPath, wire.Fetch{Handle: t.handle, Descriptor: d})
	return body, err
}

// Attached implements [wire.Source].
func (t *theirs) Attached(ctx context.Context, subject digest.Digest) ([]oci.Attached, error) {
	var said wire.Attached
	err := t.host.Ask(ctx, tokenOf(ctx), wire.AttachedPath, wire.AskAttached{Handle: t.handle, Digest: subject}, &said)
	return said.Attached, err
}
