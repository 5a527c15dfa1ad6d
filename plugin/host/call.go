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
	"sync"
	"time"

	"ocm"
	"ocm/plugin/proxy"
	"ocm/plugin/wire"
)

// Limits of what a plugin asks.
const (
	maxConnections = 64      // at once; others wait
	maxQuestion    = 4 << 20 // bytes
)

// calls are the calls of a process that go on. Its questions are answered only in the name of one of them.
type calls struct {
	stop context.CancelFunc
	idle time.Duration

	mu   sync.Mutex
	open map[string]*call
	late *time.Timer // runs while no call goes on; nil: no end
	gone bool        // no call begins any more
}

// call is one of them.
type call struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	plugin  *Plugin
	process *running
	env     *ocm.Env
	secret  string
	watch   *watch

	mu       sync.Mutex
	contents map[string]wire.Offered
	streams  bool // the call ends with its stream
}

// serveCalls answers a plugin's questions.
func serveCalls(l net.Listener) *calls {
	ctx, stop := context.WithCancel(context.Background())
	c := &calls{stop: stop, open: map[string]*call{}}
	mux := http.NewServeMux()
	mux.Handle(wire.ResolvePath, wire.Answer(c.resolve))
	mux.Handle(wire.FetchPath, wire.AnswerStream(c.fetch))
	mux.Handle(wire.AttachedPath, wire.Answer(c.attached))
	mux.Handle(wire.SkipPath, wire.Answer(c.skip))
	go func() { _ = wire.Serve(ctx, bounded(l, maxConnections), http.MaxBytesHandler(mux, maxQuestion)) }() // ends with the process
	return c
}

func (c *calls) close() {
	c.retire()
	c.stop()
}

// retire lets no call begin any more.
func (c *calls) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	if c.late != nil {
		c.late.Stop()
	}
}

// expire lets no call begin any more after so much time without one; then stop is called.
func (c *calls) expire(idle time.Duration, stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = idle
	c.late = time.AfterFunc(idle, func() {
		c.mu.Lock()
		unused := len(c.open) == 0 && !c.gone
		c.gone = c.gone || unused
		c.mu.Unlock()
		if unused {
			stop()
		}
	})
}

// of finds the call in whose name a question is asked. What is done for it ends with it: the context, until release is called.
func (c *calls) of(ctx context.Context, secret string) (found *call, in context.Context, release func(), err error) {
	c.mu.Lock()
	found, ok := c.open[secret]
	c.mu.Unlock()
	if !ok {
		return nil, ctx, nil, fmt.Errorf("%s: no such call goes on: %w", wire.CallHeader, ocm.ErrDenied)
	}
	found.watch.progress()
	in, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(found.ctx, cancel)
	return found, in, func() { stop(); cancel() }, nil
}

func (c *calls) resolve(ctx context.Context, secret string, q wire.Resolve) (wire.Secret, error) {
	in, ctx, release, err := c.of(ctx, secret)
	if err != nil {
		return wire.Secret{}, err
	}
	defer release()
	found, err := in.env.Resolve(ctx, q.Identity)
	return wire.Secret{Secret: found}, err
}

// content finds what was offered.
func (c *call) content(handle string) (wire.Offered, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.contents[handle]
	if !ok {
		return found, fmt.Errorf("content %.100q: not offered in this call: %w", handle, ocm.ErrNotFound)
	}
	return found, nil
}

func (c *calls) fetch(ctx context.Context, secret string, q wire.Fetch) (io.ReadCloser, int64, error) {
	in, ctx, release, err := c.of(ctx, secret)
	if err != nil {
		return nil, 0, err
	}
	found, err := in.content(q.Handle)
	if err == nil {
		var body io.ReadCloser
		var size int64
		if body, size, err = wire.Bytes(ctx, found.Content, q.Descriptor); err == nil {
			return &served{progressing{body, in.watch}, release}, size, nil
		}
	}
	release()
	return nil, 0, err
}

// served is a content that the plugin reads.
type served struct {
	progressing
	release func()
}

func (s *served) Close() error {
	err := s.progressing.Close()
	s.release()
	return err
}

func (c *calls) skip(ctx context.Context, secret string, q wire.Fetch) (wire.Skipped, error) {
	in, _, release, err := c.of(ctx, secret)
	if err != nil {
		return wire.Skipped{}, err
	}
	defer release()
	found, err := in.content(q.Handle)
	if err != nil || found.Skip == nil {
		return wire.Skipped{}, err
	}
	return wire.Skipped{Skip: found.Skip(q.Descriptor)}, nil
}

func (c *calls) attached(ctx context.Context, secret string, q wire.AskAttached) (wire.Attached, error) {
	in, ctx, release, err := c.of(ctx, secret)
	if err != nil {
		return wire.Attached{}, err
	}
	defer release()
	found, err := in.content(q.Handle)
	if err != nil {
		return wire.Attached{}, err
	}
	return found.Attached(ctx, q)
}

// Call begins a call; the plugin is started if it does not run.
func (p *Plugin) Call(ctx context.Context, env *ocm.Env) (proxy.Call, error) {
	if p.Capabilities.OneShot {
		return p.shoot(ctx), nil
	}
	c := &call{plugin: p, env: env, secret: rand.Text(), contents: map[string]wire.Offered{}}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	if err := c.enter(); err != nil {
		c.cancel(nil)
		return nil, err
	}
	c.watch = newWatch(p.timeout(), c.cancel)
	return c, nil
}

// enter makes it a call of the plugin's process.
func (c *call) enter() error {
	for {
		process, err := c.plugin.start(c.ctx)
		if err != nil {
			return fmt.Errorf("plugin %s: %w", c.plugin.Name, err)
		}
		if process.calls.enter(c) {
			c.process = process
			return nil
		}
	}
}

func (c *calls) enter(one *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return false
	}
	if c.late != nil {
		c.late.Stop()
	}
	c.open[one.secret] = one
	return true
}

func (c *calls) leave(one *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, one.secret)
	if len(c.open) == 0 && !c.gone && c.late != nil {
		c.late.Reset(c.idle)
	}
}

// Offer lets the plugin read a content.
func (c *call) Offer(content ocm.Content, handle string) wire.Content {
	if handle == "" {
		handle = rand.Text() // never means two things
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.contents[handle] = wire.Offer(content, c.job())
	return wire.Describe(content, handle)
}

func (c *call) job() *ocm.Job {
	if c.env == nil {
		return nil
	}
	return c.env.Job
}

// Ask asks a question.
func (c *call) Ask(path string, question, answer any, again bool) error {
	c.watch.wait()
	defer c.watch.done()
	err := c.process.client.Ask(c.ctx, c.secret, path, question, answer)
	if again && errors.Is(err, wire.ErrBroken) {
		c.process.calls.leave(c)
		c.process.settle()
		if failed := c.enter(); failed != nil {
			return failed
		}
		err = c.process.client.Ask(c.ctx, c.secret, path, question, answer)
	}
	return c.named(err)
}

// Stream asks for bytes.
func (c *call) Stream(path string, question any) (io.ReadCloser, int64, error) {
	c.watch.wait()
	defer c.watch.done()
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
	s.call.watch.wait()
	n, err := s.ReadCloser.Read(b)
	s.call.watch.done()
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
	c.cancel(nil)
	c.watch.end()
	c.process.calls.leave(c)
}

// named says which plugin an error comes from, and why it does not answer.
func (c *call) named(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, wire.ErrBroken) && c.ctx.Err() == nil && c.process.settle() {
		err = fmt.Errorf("%w: %w", err, c.process.obituary())
	}
	return fmt.Errorf("plugin %s: %w", c.plugin.Name, err)
}

// settling is how long the end of a process is waited for whose connections broke.
const settling = 500 * time.Millisecond

// settle reports whether the process has ended, where its connection broke.
func (r *running) settle() bool {
	late := time.NewTimer(settling)
	defer late.Stop()
	select {
	case <-r.ended:
		return true
	case <-late.C:
		return false
	}
}

// bounded accepts so many connections at once.
func bounded(l net.Listener, n int) net.Listener {
	return &listener{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

type listener struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a slot, and for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &connection{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close also ends an Accept that waits for a slot.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// connection frees its slot when it is closed.
type connection struct {
	net.Conn
	free func()
}

func (c *connection) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}
