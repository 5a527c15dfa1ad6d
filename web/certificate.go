// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"ocm"
)

const (
	// maxPEM bounds files of keys and certificates, in bytes.
	maxPEM = 1 << 20
	// certifiedIdle is how long a connection with certificates of its own is kept when it is not in use.
	certifiedIdle = 30 * time.Second
)

// cloner is a transport that makes a copy with all its settings for a host.
type cloner interface {
	Clone(host string) *http.Transport
}

// withCertificates is the environment's transport, or one that presents the certificate of a secret to the origin,
// and trusts the authority of the secret there, and does neither elsewhere.
func withCertificates(env *ocm.Env, origin *url.URL, secret ocm.Secret) (http.RoundTripper, error) {
	base := TransportOf(env)
	certificate, err := certificateOf(secret)
	if err != nil {
		return nil, err
	}
	roots, err := authorityOf(secret)
	if err != nil || origin.Scheme != "https" || certificate == nil && roots == nil {
		return base, err
	}
	var own *http.Transport
	switch t := base.(type) {
	case *http.Transport:
		own = t.Clone()
	case cloner:
		own = t.Clone(origin.Host)
	default:
		return nil, fmt.Errorf("the HTTP transport of this program (%T) takes no certificates: %w", t, errors.ErrUnsupported)
	}
	if own.TLSClientConfig == nil {
		own.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if certificate != nil {
		own.TLSClientConfig.Certificates = []tls.Certificate{*certificate}
		own.Proxy = unlessEncrypted(own.Proxy)
	}
	if roots != nil {
		own.TLSClientConfig.RootCAs = roots
	}
	if own.IdleConnTimeout == 0 || own.IdleConnTimeout > certifiedIdle {
		own.IdleConnTimeout = certifiedIdle // nobody closes them
	}
	return &certified{origin, own, base}, nil
}

// certified sends requests to the origin by one transport, and all others by another one.
type certified struct {
	origin     *url.URL
	own, other http.RoundTripper
}

// RoundTrip implements [http.RoundTripper]. A chain of redirects that has left the origin and comes back to it
// is not the origin's own any more.
func (c *certified) RoundTrip(req *http.Request) (*http.Response, error) {
	for r := req; ; r = r.Response.Request {
		if !SameOrigin(r.URL, c.origin) {
			return c.other.RoundTrip(req)
		}
		if r.Response == nil || r.Response.Request == nil {
			return c.own.RoundTrip(req)
		}
	}
}

// unlessEncrypted refuses a proxy that is itself reached by TLS: it would be shown the client
// certificate that is for the server behind it.
func unlessEncrypted(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	if choose == nil {
		return nil
	}
	return func(req *http.Request) (*url.URL, error) {
		proxy, err := choose(req)
		if err == nil && proxy != nil && proxy.Scheme == "https" {
			return nil, fmt.Errorf("proxy %s would be shown the client certificate for %s; name that host in NO_PROXY, or configure another proxy for it: %w", proxy.Host, req.URL.Host, errors.ErrUnsupported)
		}
		return proxy, err
	}
}

// certificateOf is the client certificate of a secret, nil if it has none.
func certificateOf(secret ocm.Secret) (*tls.Certificate, error) {
	cert, e1 := pemOf(secret, "certificate", "certFile")
	key, e2 := pemOf(secret, "privateKey", "keyFile")
	switch {
	case errors.Join(e1, e2) != nil:
		return nil, errors.Join(e1, e2)
	case cert == nil && key == nil:
		return nil, nil
	case cert == nil || key == nil:
		return nil, fmt.Errorf("expected both, certificate and privateKey (or certFile and keyFile), found one: %w", ocm.ErrInvalid)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate and privateKey: %v: %w", err, ocm.ErrInvalid) // its texts show no key
	}
	return &pair, nil
}

// authorityOf are the roots that a secret says to trust, nil if it says nothing.
func authorityOf(secret ocm.Secret) (*x509.CertPool, error) {
	text, err := pemOf(secret, "certificateAuthority", "caFile")
	if err != nil || text == nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("certificateAuthority (or caFile): no certificate in it: %w", ocm.ErrInvalid)
	}
	return pool, nil
}

// pemOf is the property with a text, or the content of the file that the other one names; nil for neither.
func pemOf(secret ocm.Secret, text, file string) ([]byte, error) {
	if t := secret[text]; t != "" {
		return []byte(t), nil
	}
	path := secret[file]
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(raw) > maxPEM {
		err = ocm.ErrLimit
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", file, path, err)
	}
	return raw, nil
}
