// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ocm"
	"ocm/config"
	"ocm/web"
)

// ownIdle is how long a connection waits that only one chart is read through, in nobody else's pool.
const ownIdle = 10 * time.Second

// trusting is an environment that, for one host, trusts the given certificates and no others.
func trusting(env *ocm.Env, host, certificates string) (*ocm.Env, error) {
	if certificates == "" {
		return env, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(certificates)) {
		return nil, fmt.Errorf("caCert: expected certificates in PEM, found none: %w", ocm.ErrInvalid)
	}
	settings, ok := env.HTTP.(*web.Transport)
	if !ok {
		settings = web.NewTransport(config.HTTP{})
	}
	own := settings.Clone(host)
	if own.TLSClientConfig == nil {
		own.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	own.TLSClientConfig.RootCAs, own.TLSClientConfig.InsecureSkipVerify = pool, false
	own.TLSClientConfig.Certificates = nil // who vouches for the server is not who the certificate of the configuration is for
	own.IdleConnTimeout = ownIdle
	guarded := *env
	guarded.HTTP = &byHost{host: host, own: own, others: web.TransportOf(env)}
	return &guarded, nil
}

// byHost is a transport that is another one for one host.
type byHost struct {
	host        string
	own, others http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b *byHost) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.EqualFold(req.URL.Host, b.host) {
		return b.own.RoundTrip(req)
	}
	return b.others.RoundTrip(req)
}
