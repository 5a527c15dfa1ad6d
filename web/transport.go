// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ocm"
	"ocm/config"
)

// What a transport keeps.
const (
	idlePerHost = 64       // as many as the largest number of things that are done at once
	idleInAll   = 256      // connections
	wireBuffer  = 64 << 10 // bytes, twice per connection
	wireChunk   = 256 << 10
	smallPiece  = 64 << 10 // has a buffer of its own size
)

// Transport is an HTTP transport for large content and many requests at once, with settings per
// host. As [ocm.Env.HTTP] it also tells how often to repeat a request, and how long a server may
// make no progress, see [PaceFor]. Proxies come from the settings, else from the environment.
//
// Files of certificates are read when a host that they are for is first asked for something. One that cannot be
// used fails that request.
//
// A configured timeout bounds the time without progress, not the whole of a request: content
// has no size that would tell how long it may take. After the last byte of an upload a server
// has the timeout or [CommitTimeout], whichever is longer, unless responseHeaderTimeout says less.
type Transport struct {
	settings config.HTTP

	mu     sync.Mutex
	byHost map[config.HTTPOptions]*http.Transport // hosts with equal settings share one
}

// NewTransport makes the one transport of a program. Its connections are kept until CloseIdleConnections.
func NewTransport(settings config.HTTP) *Transport {
	return &Transport{settings: settings, byHost: map[config.HTTPOptions]*http.Transport{}}
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.transport(t.settings.For(req.URL.Host)).RoundTrip(req)
}

// Settings are those for "host:port" or "host".
func (t *Transport) Settings(host string) config.HTTPOptions { return t.settings.For(host) }

// Clone makes a transport with the settings for "host:port" or "host" and connections of its own, for
// somebody who has TLS certificates that are for this host alone.
func (t *Transport) Clone(host string) *http.Transport {
	return tuned(t.settings.For(host))
}

// CloseIdleConnections closes what is not in use.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.byHost {
		one.CloseIdleConnections()
	}
}

func (t *Transport) transport(o config.HTTPOptions) *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.byHost[o]
	if !ok {
		one = tuned(o)
		t.byHost[o] = one
	}
	return one
}

// tuned is an HTTP transport with buffers that fit large content, and room for its connections. If its files
// cannot be used it sends nothing and fails with the reason.
func tuned(o config.HTTPOptions) *http.Transport {
	proxy, err := proxyOf(o.Proxy)
	secure := &tls.Config{InsecureSkipVerify: o.InsecureSkipVerify, MinVersion: tls.VersionTLS12} //nolint:gosec // only where the user configured it
	if err == nil && o.Trust != nil {
		secure.RootCAs, err = rootsOf(*o.Trust)
	}
	if err == nil && o.CertificateFile != "" {
		var pair *tls.Certificate
		if pair, err = certificateOf(ocm.Secret{"certFile": o.CertificateFile, "keyFile": o.KeyFile}); err == nil {
			secure.Certificates = []tls.Certificate{*pair}
			proxy = unlessEncrypted(proxy)
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", config.HTTPType, err)
		proxy = func(*http.Request) (*url.URL, error) { return nil, err } // is asked before each request
	}
	dialer := &net.Dialer{Timeout: o.TCPDialTimeout, KeepAlive: o.TCPKeepAlive}
	return &http.Transport{
		Proxy:                 proxy,
		DialContext:           wide(dialer),
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       secure,
		TLSHandshakeTimeout:   o.TLSHandshakeTimeout,
		ResponseHeaderTimeout: o.ResponseHeaderTimeout,
		IdleConnTimeout:       o.IdleConnTimeout,
		MaxIdleConns:          idleInAll,
		MaxIdleConnsPerHost:   idlePerHost,
		ReadBufferSize:        wireBuffer,
		WriteBufferSize:       wireBuffer,
	}
}

// proxyOf reads the setting of that name.
func proxyOf(setting string) (func(*http.Request) (*url.URL, error), error) {
	switch setting {
	case "":
		return http.ProxyFromEnvironment, nil
	case config.NoProxy:
		return nil, nil
	}
	u, err := url.Parse(setting)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", ocm.ErrInvalid) // its text may hold a password
	}
	return http.ProxyURL(u), nil
}

// rootsOf are the authorities of the system and those of the settings.
func rootsOf(trust config.Trust) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificates: %w", err)
	}
	for _, k := range trust.Roots {
		text, err := pemOf(ocm.Secret{"text": k.Text, "CA file": k.Path}, "text", "CA file")
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("CA file %s: no certificate in it: %w", k, ocm.ErrInvalid)
		}
	}
	return pool, nil
}

// shared serves every environment that brings no transport.
var shared = sync.OnceValue(func() *http.Transport {
	return tuned(config.HTTPOptions{TCPDialTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 90 * time.Second})
})

// TransportOf is the environment's transport, or one that all environments without share.
func TransportOf(env *ocm.Env) http.RoundTripper {
	if env == nil || env.HTTP == nil {
		return shared()
	}
	return env.HTTP
}

// wide makes connections that take large pieces: net/http copies a body into a connection 32 KiB
// at a time, unless the connection has a way of its own.
func wide(d *net.Dialer) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			return wideConn{tcp}, nil
		}
		return conn, err
	}
}

type wideConn struct{ *net.TCPConn }

// wireChunks are the buffers of connections that are sending.
var wireChunks = sync.Pool{New: func() any { return new([wireChunk]byte) }}

// ReadFrom implements io.ReaderFrom.
func (c wideConn) ReadFrom(r io.Reader) (n int64, err error) {
	var buf []byte
	if l, ok := r.(*io.LimitedReader); ok && l.N < smallPiece {
		buf = make([]byte, l.N+1)
	} else {
		chunk := wireChunks.Get().(*[wireChunk]byte) //nolint:errcheck,forcetypeassert // the pool holds nothing else
		defer wireChunks.Put(chunk)
		buf = chunk[:]
	}
	for err == nil {
		var m int
		m, err = r.Read(buf)
		if m > 0 {
			written, werr := c.Write(buf[:m])
			if n += int64(written); werr != nil {
				return n, werr
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}
