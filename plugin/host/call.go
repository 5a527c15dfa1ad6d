// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ocm"
	"ocm/plugin/proxy"
	"ocm/plugin/wire"
)

// calls are the calls of a process that go on. Its questions are answered only in the name of one of them.
type calls struct {
	stop context.CancelFunc
	mu   sync.Mutex
	open map[string]*call
}

// call is one of them.
type call struct {
	ctx     context.Context
	cancel  context.CancelFunc
	plugin  *Plugin
	process *running
	env     *ocm.Env
	secret  string

	mu       sync.Mutex
	contents map[string]ocm.Content
	streams  bool // the call ends with its stream
}

// offers numbers what is offered to plugins, so that a handle never means two things.
var offers atomic.Int64

// serveCalls answers a plugin's questions.
func serveCalls(l net.Listener) *calls {
	ctx, stop := context.WithCancel(context.Background())
	c := &calls{stop: stop, open: map[string]*call{}}
	mux := http.NewServeMux()
	mux.Handle(wire.ResolvePath, wire.Answer(c.resolve))
	mux.Handle(wire.FetchPath, wire.AnswerStream(c.fetch))
	mux.Handle(wire.SkipPath, wire.Answer(c.skip))
	go func() { _ = wire.Serve(ctx, l, mux) }() // ends with the process
	return c
}

func (c *calls) close() { c.stop() }

func (c *calls) of(secret string) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.open[secret]
	if !ok {
		return nil, fmt.Errorf("%s: no such call goes on: %w", wire.CallHeader, ocm.ErrDenied)
	}
	return found, nil
}

func (c *calls) resolve(ctx context.Context, secret string, q wire.Resolve) (wire.Secret, error) {
	in, err := c.of(secret)
	if err != nil {
		return wire.Secret{}, err
	}
	found, err := in.env.Resolve(ctx, q.Identity)
	return wire.Secret{Secret: found}, err
}

func (c *calls) content(secret, handle string) (ocm.Content, error) {
	in, err := c.of(secret)
	if err != nil {
		return ocm.Content{}, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	found, ok := in.contents[handle]
	if !ok {
		return found, fmt.Errorf("content %.100q: not offered in this call: %w", handle, ocm.ErrNotFound)
	}
	return found, nil
}

func (c *calls) fetch(ctx context.Context, secret string, q wire.Fetch) (io.ReadCloser, int64, error) {
	found, err := c.content(secret, q.Handle)
	if err != nil {
		return nil, 0, err
	}
	return wire.Bytes(ctx, found, q.Descriptor)
}

func (c *calls) skip(_ context.Context, secret string, q wire.Fetch) (wire.Skipped, error) {
	found, err := c.content(secret, q.Handle)
	if err != nil || found.Skip == nil {
		return wire.Skipped{}, err
	}
	return wire.Skipped{Skip: found.Skip(q.Descriptor)}, nil
}

// Call begins a call; the plugin is started if it does not run.
func (p *Plugin) Call(ctx context.Context, env *ocm.Env) (proxy.Call, error) {
	if p.Capabilities.OneShot {
		return p.shoot(ctx), nil
	}
	process, err := p.start()
	if err != nil {
		return nil, err
	}
	c := &call{plugin: p, env: env, secret: rand.Text(), contents: map[string]ocm.Content{}}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.enter(process)
	return c, nil
}

// enter makes it a call of a process.
func (c *call) enter(process *running) {
	c.process = process
	process.calls.mu.Lock()
	defer process.calls.mu.Unlock()
	process.calls.open[c.secret] = c
}

func (c *call) leave() {
	c.process.calls.mu.Lock()
	defer c.process.calls.mu.Unlock()
	delete(c.process.calls.open, c.secret)
}

// Offer lets the plugin read a content.
func (c *call) Offer(content ocm.Content, handle string) wire.Content {
	if handle == "" {
		handle = "h" + strconv.FormatInt(offers.Add(1), 10)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.contents[handle] = content
	return wire.Describe(content, handle)
}

// endGrace is how long a process whose connection broke may take to end. One that has not is asked again.
const endGrace = time.Second

// Ask asks a question.
func (c *call) Ask(path string, question, answer any, again bool) error {
	err := c.process.client.Ask(c.ctx, c.secret, path, question, answer)
	if again && errors.Is(err, wire.ErrBroken) {
		select { // its connections break before it is seen to have ended
		case <-c.process.ended:
		case <-time.After(endGrace):
		case <-c.ctx.Done():
		}
		process, failed := c.plugin.start()
		if failed != nil {
			return failed
		}
		c.leave()
		c.enter(process)
		err = c.process.client.Ask(c.ctx, c.secret, path, question, answer)
	}
	return c.named(err)
}

// Stream asks for bytes.
func (c *call) Stream(path string, question any) (io.ReadCloser, int64, error) {
	body, size, err := c.process.client.Stream(c.ctx, c.secret, path, question)
	if err != nil {
		return nil, 0, c.named(err)
	}
	c.streams = true
	return &stream{body, c}, size, nil
}

// stream ends its call when it is closed.
type stream struct {
	io.ReadCloser
	call *call
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		err = s.call.named(err)
	}
	return n, err
}

func (s *stream) Close() error {
	err := s.ReadCloser.Close()
	s.call.end()
	return err
}

// End ends the call, unless a stream goes on.
func (c *call) End() {
	if !c.streams {
		c.end()
	}
}

func (c *call) end() {
	c.cancel()
	c.leave()
}

func (c *call) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("plugin %s: %w", c.plugin.Name, err)
}
