// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"ocm"
)

// HTTPOptions are the settings for one host. Times of 0 are unlimited, or left to the
// operating system.
type HTTPOptions struct {
	Timeout               time.Duration // without progress, see web.Transport; default 30s
	TCPDialTimeout        time.Duration
	TCPKeepAlive          time.Duration // negative: no keep-alive
	TLSHandshakeTimeout   time.Duration
	ResponseHeaderTimeout time.Duration
	IdleConnTimeout       time.Duration
	InsecureSkipVerify    bool
	MaxRetries            int           // default 5; 0: without end, -1: none
	MinWait, MaxWait      time.Duration // between retries; default 200ms and 3s

	Trust                    *Trust // authorities beside those of the system; nil: none
	CertificateFile, KeyFile string // PEM, the client certificate for servers that ask for one; empty: none
	Proxy                    string // URL, or [NoProxy]; empty: by the environment
}

// NoProxy is the value of [HTTPOptions].Proxy for direct connections.
const NoProxy = "none"

// RootCertsType is the type of entries with authorities for all hosts, as the older tool configures them.
const RootCertsType = "rootcerts.config.ocm.software"

// Trust are certificates of authorities, as PEM files or texts. Nothing of them has been read.
type Trust struct{ Roots []Key }

// HTTP holds the settings of the HTTP client.
type HTTP struct {
	Default HTTPOptions
	Hosts   map[string]HTTPOptions // by host:port or host, lower-case; complete with the defaults
}

// For returns the settings for "host:port" or "host".
func (h HTTP) For(host string) HTTPOptions {
	host = strings.ToLower(host)
	if o, ok := h.Hosts[host]; ok {
		return o
	}
	if i := strings.LastIndexByte(host, ':'); i > 0 && !strings.HasSuffix(host, "]") {
		if o, ok := h.Hosts[host[:i]]; ok {
			return o
		}
	}
	return h.Default
}

// httpFields are the settings on the wire: what is not set is nil.
type httpFields struct {
	Timeout               *duration `json:"timeout"`
	TCPDialTimeout        *duration `json:"tcpDialTimeout"`
	TCPKeepAlive          *duration `json:"tcpKeepAlive"`
	TLSHandshakeTimeout   *duration `json:"tlsHandshakeTimeout"`
	ResponseHeaderTimeout *duration `json:"responseHeaderTimeout"`
	IdleConnTimeout       *duration `json:"idleConnTimeout"`
	InsecureSkipVerify    *bool     `json:"insecureSkipVerify"`
	CAFiles               []string  `json:"caFiles"`
	CertificateFile       *string   `json:"certificateFile"`
	KeyFile               *string   `json:"keyFile"`
	Proxy                 *string   `json:"proxy"`
	Retry                 struct {
		MaxRetries *int      `json:"maxRetries"`
		MinWait    *duration `json:"minWait"`
		MaxWait    *duration `json:"maxWait"`
	} `json:"retry"`
}

// HTTP returns the settings of the HTTP client, merged field by field; later entries win, and authorities add up.
// Files that they name are not read yet.
func (c *Config) HTTP() (HTTP, error) {
	all := HTTP{
		Default: HTTPOptions{Timeout: 30 * time.Second, MaxRetries: 5, MinWait: 200 * time.Millisecond, MaxWait: 3 * time.Second},
		Hosts:   map[string]HTTPOptions{},
	}
	var err error
	if all.Default.Trust, err = c.rootCerts(); err != nil {
		return all, err
	}
	hosts := map[string][]httpFields{}
	for _, s := range c.Of(HTTPType) {
		var v struct {
			httpFields
			Hosts map[string]httpFields `json:"hosts"`
		}
		if err := s.Decode(&v); err != nil {
			return all, err
		}
		if err := all.Default.apply(v.httpFields); err != nil {
			return all, fmt.Errorf("%s: %w", s.Type, err)
		}
		for h, f := range v.Hosts {
			h = strings.ToLower(h)
			hosts[h] = append(hosts[h], f)
		}
	}
	for h := range maps.Keys(hosts) {
		o := all.Default
		for _, f := range hosts[h] {
			if err := o.apply(f); err != nil {
				return all, fmt.Errorf("%s: hosts: %s: %w", HTTPType, h, err)
			}
		}
		if err := o.checkPair(); err != nil {
			return all, fmt.Errorf("%s: hosts: %s: %w", HTTPType, h, err)
		}
		all.Hosts[h] = o
	}
	if err := all.Default.checkPair(); err != nil {
		return all, fmt.Errorf("%s: %w", HTTPType, err)
	}
	return all, nil
}

// rootCerts are the authorities that the older tool has for all hosts.
func (c *Config) rootCerts() (*Trust, error) {
	var t *Trust
	for _, s := range c.Of(RootCertsType) {
		var e struct {
			Roots []keyData `json:"rootCertificates"`
		}
		if err := s.Decode(&e); err != nil {
			return nil, err
		}
		for i, data := range e.Roots {
			k, err := data.key()
			if err != nil {
				return nil, fmt.Errorf("%s: rootCertificates[%d]: %w", s.Type, i, err)
			}
			t = t.with(k)
		}
	}
	return t, nil
}

// with is t and one more; t itself may belong to other hosts too.
func (t *Trust) with(k Key) *Trust {
	if t == nil {
		return &Trust{[]Key{k}}
	}
	return &Trust{append(slices.Clone(t.Roots), k)}
}

// checkPair demands a key for a certificate.
func (o *HTTPOptions) checkPair() error {
	if (o.CertificateFile == "") != (o.KeyFile == "") {
		return fmt.Errorf("expected both, certificateFile and keyFile, found one: %w", ocm.ErrInvalid)
	}
	return nil
}

// apply overwrites what is set.
func (o *HTTPOptions) apply(f httpFields) error {
	for _, d := range []struct {
		name     string
		to       *time.Duration
		from     *duration
		negative bool
	}{
		{"timeout", &o.Timeout, f.Timeout, false},
		{"tcpDialTimeout", &o.TCPDialTimeout, f.TCPDialTimeout, false},
		{"tcpKeepAlive", &o.TCPKeepAlive, f.TCPKeepAlive, true},
		{"tlsHandshakeTimeout", &o.TLSHandshakeTimeout, f.TLSHandshakeTimeout, false},
		{"responseHeaderTimeout", &o.ResponseHeaderTimeout, f.ResponseHeaderTimeout, false},
		{"idleConnTimeout", &o.IdleConnTimeout, f.IdleConnTimeout, false},
		{"retry.minWait", &o.MinWait, f.Retry.MinWait, false},
		{"retry.maxWait", &o.MaxWait, f.Retry.MaxWait, false},
	} {
		if d.from == nil {
			continue
		}
		if *d.from < 0 && !d.negative {
			return fmt.Errorf("%s is %s, expected 0 or more: %w", d.name, time.Duration(*d.from), ocm.ErrInvalid)
		}
		*d.to = time.Duration(*d.from)
	}
	if f.InsecureSkipVerify != nil {
		o.InsecureSkipVerify = *f.InsecureSkipVerify
	}
	if n := f.Retry.MaxRetries; n != nil {
		if *n < -1 {
			return fmt.Errorf("retry.maxRetries is %d, expected -1 (none) or more: %w", *n, ocm.ErrInvalid)
		}
		o.MaxRetries = *n
	}
	return o.applyTLS(f)
}

// applyTLS overwrites what is set, and adds authorities.
func (o *HTTPOptions) applyTLS(f httpFields) error {
	for i, file := range f.CAFiles {
		if file == "" {
			return fmt.Errorf("caFiles[%d] is empty, expected the name of a PEM file: %w", i, ocm.ErrInvalid)
		}
		o.Trust = o.Trust.with(Key{Path: file})
	}
	if f.CertificateFile != nil {
		o.CertificateFile = *f.CertificateFile
	}
	if f.KeyFile != nil {
		o.KeyFile = *f.KeyFile
	}
	if f.Proxy == nil {
		return nil
	}
	if o.Proxy = *f.Proxy; o.Proxy == "" || o.Proxy == NoProxy {
		return nil
	}
	u, err := url.Parse(o.Proxy) // its text may hold a password
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return fmt.Errorf("proxy: expected http://host:port, https://host:port, socks5://host:port or %s: %w", NoProxy, ocm.ErrInvalid)
	}
	return nil
}
