// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"ocm"
)

// MaxPEMSize is the greatest size in bytes of PEM text in a property or its file.
const MaxPEMSize = 1 << 20

// connection is a way to the server, with or without certificates of our own.
type connection struct {
	transport http.RoundTripper
	close     func()
	identity  ocm.Identity
	known     bool // a client certificate is presented
}

// cloner is a transport that makes a copy with all its settings for a host, which may get
// certificates that are for this host alone.
type cloner interface {
	Clone(host string) *http.Transport
}

// dial prepares the connection to the server; nothing is sent yet.
func dial(ctx context.Context, env *ocm.Env, at *url.URL) (*connection, error) {
	c := &connection{transport: env.Transport(), close: func() {}, identity: identity(at)}
	secret, err := env.Resolve(ctx, c.identity)
	if errors.Is(err, ocm.ErrNotFound) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	certificates, roots, err := material(secret)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", c.identity, err)
	}
	if at.Scheme != "https" || certificates == nil && roots == nil {
		return c, nil
	}
	own, err := copyOf(c.transport, at.Host)
	if err != nil {
		return nil, err
	}
	if own.TLSClientConfig == nil {
		own.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	own.TLSClientConfig.Certificates = certificates
	if roots != nil {
		own.TLSClientConfig.RootCAs = roots
	}
	own.Proxy = unlessEncrypted(own.Proxy)
	c.transport, c.close, c.known = own, own.CloseIdleConnections, certificates != nil
	return c, nil
}

func copyOf(t http.RoundTripper, host string) (*http.Transport, error) {
	switch t := t.(type) {
	case *http.Transport:
		return t.Clone(), nil
	case cloner:
		return t.Clone(host), nil
	}
	return nil, fmt.Errorf("the HTTP transport of this program (%T) takes no certificates: %w", t, errors.ErrUnsupported)
}

// unlessEncrypted refuses a proxy that is itself reached by TLS: it would be shown the certificates
// that are for the server behind it.
func unlessEncrypted(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	if choose == nil {
		return nil
	}
	return func(req *http.Request) (*url.URL, error) {
		proxy, err := choose(req)
		if err == nil && proxy != nil && proxy.Scheme == "https" {
			return nil, fmt.Errorf("proxy %s would be shown the client certificate for the signing server, name the server in NO_PROXY: %w", proxy.Host, errors.ErrUnsupported)
		}
		return proxy, err
	}
}

// identity is what the server's credentials are configured for.
func identity(at *url.URL) ocm.Identity {
	id := ocm.Identity{"type": IdentityType, "scheme": at.Scheme, "hostname": strings.ToLower(at.Hostname())}
	if p := at.Port(); p != "" {
		id["port"] = p
	}
	if p := strings.Trim(at.Path, "/"); p != "" {
		id["path"] = p
	}
	return id
}

// explain tells what may be missing where the server did not want us.
func (c *connection) explain(err error) error {
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return fmt.Errorf("%w; the roots of the server are configured by caCerts for the consumer %s", err, c.identity)
	}
	// Go reports a server's alert as text only.
	alert := strings.Contains(err.Error(), "remote error: tls:")
	if alert && !errors.Is(err, ocm.ErrDenied) {
		err = fmt.Errorf("%w: %w", ocm.ErrDenied, err)
	}
	if !errors.Is(err, ocm.ErrDenied) {
		return err
	}
	if c.known {
		return fmt.Errorf("%w; the client certificate for the consumer %s was presented", err, c.identity)
	}
	return fmt.Errorf("%w; no client certificate is configured for the consumer %s: set clientCert and privateKey", err, c.identity)
}

// material reads what a secret has for TLS; nil for what it has not.
func material(s ocm.Secret) ([]tls.Certificate, *x509.CertPool, error) {
	texts := map[string][]byte{}
	for _, name := range []string{"clientCert", "privateKey", "caCerts"} {
		text, err := property(s, name)
		if err != nil {
			return nil, nil, err
		}
		texts[name] = text
	}
	var roots *x509.CertPool
	if text := texts["caCerts"]; text != nil {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, nil, fmt.Errorf("caCerts: no certificate in it: %w", ocm.ErrInvalid)
		}
	}
	chain, key := texts["clientCert"], texts["privateKey"]
	if chain == nil && key == nil {
		return nil, roots, nil
	}
	if chain == nil || key == nil {
		return nil, nil, fmt.Errorf("clientCert and privateKey belong together, but only one is set: %w", ocm.ErrInvalid)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, nil, fmt.Errorf("clientCert and privateKey: %v: %w", err, ocm.ErrInvalid)
	}
	return []tls.Certificate{pair}, roots, nil
}

// property returns the text of a property, inline or from the file that its variant names.
func property(s ocm.Secret, name string) ([]byte, error) {
	text := []byte(s[name])
	if path := s[name+"File"]; len(text) == 0 && path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%sFile: %w", name, err)
		}
		defer f.Close()
		if text, err = io.ReadAll(io.LimitReader(f, MaxPEMSize+1)); err != nil {
			return nil, fmt.Errorf("%sFile: %w", name, err)
		}
	}
	if len(text) > MaxPEMSize {
		return nil, fmt.Errorf("%s has more than %d bytes: %w", name, MaxPEMSize, ocm.ErrLimit)
	}
	if len(text) == 0 {
		return nil, nil
	}
	return text, nil
}
