// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of connections.
const (
	MaxConnections = 2048             // at the same time; who comes later waits
	MaxHeaderBytes = 64 << 10         // of a request
	HeaderTime     = 20 * time.Second // for the header of a request, and for the handshake of TLS
	IdleTime       = 2 * time.Minute  // that a connection waits for the next request
	GraceTime      = 5 * time.Second  // for requests that run when the server ends
)

// Run answers the requests that come to a listener, which it closes, until the context ends; then those that run have
// [GraceTime] to end. With tlsConfig, which names the certificate, it speaks HTTPS. nil if it was the context that ended it.
func Run(ctx context.Context, on net.Listener, h http.Handler, tlsConfig *tls.Config, log *slog.Logger) error {
	connections := newCounted(on, MaxConnections)
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: HeaderTime, ReadTimeout: PieceTime, IdleTimeout: IdleTime, MaxHeaderBytes: MaxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), ConnState: connections.state,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1 alone: large files gain nothing by HTTP/2
	}
	if tlsConfig != nil {
		srv.TLSConfig = tlsConfig.Clone()
		srv.TLSConfig.MinVersion = max(srv.TLSConfig.MinVersion, tls.VersionTLS12)
		srv.TLSConfig.NextProtos = []string{"http/1.1"}
	}
	ended := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			ended <- srv.ServeTLS(connections, "", "")
		} else {
			ended <- srv.Serve(connections)
		}
	}()
	select {
	case err := <-ended:
		srv.Close()
		return err
	case <-ctx.Done():
	}
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), GraceTime)
	defer stop()
	connections.end()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// counted is a listener that has so many connections at once. It hands them out as they are, so that the kernel can
// send files into them; the server says when they end.
type counted struct {
	net.Listener
	free chan struct{}
	done chan struct{}
	once sync.Once
}

func newCounted(on net.Listener, n int) *counted {
	return &counted{Listener: on, free: make(chan struct{}, n), done: make(chan struct{})}
}

func (c *counted) Accept() (net.Conn, error) {
	select {
	case c.free <- struct{}{}:
	case <-c.done:
		return nil, net.ErrClosed
	}
	conn, err := c.Listener.Accept()
	if err != nil {
		<-c.free
	}
	return conn, err
}

// end lets an Accept return that waits for a connection to end.
func (c *counted) end() { c.once.Do(func() { close(c.done) }) }

func (c *counted) state(_ net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		<-c.free
	}
}
