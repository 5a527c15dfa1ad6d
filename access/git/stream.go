// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"ocm"
)

const (
	buffer      = 64 << 10
	patience    = 2 * time.Minute // without progress; servers send a sign of life every few seconds
	dialTimeout = 30 * time.Second
)

// stream is the protocol over a connection that stays.
type stream struct {
	r     *bufio.Reader
	w     io.Writer
	close func() error
	// told is what the other side says beside the protocol, where it has a way to.
	told func() string
}

func (s *stream) hello(context.Context) (*bufio.Reader, error) { return s.answer() }

func (s *stream) ask(_ context.Context, request []byte) (*bufio.Reader, error) {
	if _, err := s.w.Write(request); err != nil {
		return nil, err
	}
	return s.answer()
}

// answer waits for the first byte, because where there is none, the reason was told elsewhere.
func (s *stream) answer() (*bufio.Reader, error) {
	if _, err := s.r.Peek(1); err != nil {
		if s.told != nil {
			if msg := s.told(); msg != "" {
				return nil, refused(msg)
			}
		}
		return nil, cut(err)
	}
	return s.r, nil
}

func (s *stream) Close() error { return s.close() }

// dialGit connects to git's own port, where nobody logs in.
func dialGit(ctx context.Context, env *ocm.Env, at Address) (service, error) {
	conn, err := dial(ctx, env, at.hostport("9418"))
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("git-upload-pack %s\x00host=%s\x00\x00version=2\x00", at.path, at.URL.Host)
	s := &stream{r: bufio.NewReaderSize(conn, buffer), w: conn, close: conn.Close}
	if _, err := fmt.Fprintf(conn, "%04x%s", len(request)+4, request); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// dial opens a connection that ends with the context, and where nothing moves for too long.
func dial(ctx context.Context, env *ocm.Env, hostport string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", hostport)
	if err != nil {
		return nil, err
	}
	c := &patient{Conn: conn, wait: patience}
	if env != nil && env.Timeout > 0 {
		c.wait = env.Timeout
	}
	c.stop = context.AfterFunc(ctx, func() { conn.Close() })
	return c, nil
}

// patient is a connection whose other side must not be silent for longer than wait.
type patient struct {
	net.Conn
	wait time.Duration
	stop func() bool
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(p.wait)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(p.wait)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

func (p *patient) Close() error {
	p.stop()
	return p.Conn.Close()
}
