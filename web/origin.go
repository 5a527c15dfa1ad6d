// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ocm"
)

// SameOrigin compares scheme, host and port, the default ports filled in.
func SameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "http"):
		return "80"
	}
	return "443"
}

// IsLoopback tells names and addresses of this computer, without asking anybody. host has no port; an
// IPv6 address may stand in brackets.
func IsLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// CheckAddress refuses addresses that a server has no business to send us to ([ocm.ErrDenied]): this
// computer, unless the server is on it, link-local addresses such as a cloud's metadata service, and
// addresses with a user name. It looks at what is written, not at what DNS answers: object
// storage in a private network is usual.
func CheckAddress(from, to *url.URL) error {
	host := strings.ToLower(to.Hostname())
	if to.User != nil {
		return fmt.Errorf("address on %s with a user name is not used: %w", to.Host, ocm.ErrDenied)
	}
	if IsLoopback(host) && !IsLoopback(from.Hostname()) {
		return fmt.Errorf("%s is this computer, %s is not: %w", host, from.Host, ocm.ErrDenied)
	}
	return checkLinkLocal(host)
}

// metadata are services of clouds that hand out credentials to whoever asks, beside the link-local ones.
var metadata = []string{"fd00:ec2::254", "100.100.100.200", "metadata.google.internal"}

// checkLinkLocal refuses what is never a server for content. Numbers that are no address are read as one by some
// systems, as in 127.1 or 0x7f000001.
func checkLinkLocal(host string) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	addr, err := netip.ParseAddr(host)
	if err != nil {
		last := host[strings.LastIndexByte(host, '.')+1:]
		if _, err := strconv.ParseUint(last, 0, 64); err == nil || strings.HasPrefix(last, "0x") {
			return fmt.Errorf("%s is neither a name nor an address in its usual form: %w", host, ocm.ErrDenied)
		}
	}
	if addr = addr.Unmap(); err == nil && (addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast()) || slices.Contains(metadata, host) {
		return fmt.Errorf("%s is a link-local or unspecified address: %w", host, ocm.ErrDenied)
	}
	return nil
}

// WithoutDowngrade is the environment for an address that somebody wrote into a descriptor. Such an
// address may say http; who listens on the way would then get what was configured for https. So
// secrets that are found for the same place with https are [ocm.ErrDenied], unless the
// place is this computer. host may have a port.
func WithoutDowngrade(env *ocm.Env, scheme, host string) *ocm.Env {
	at := url.URL{Host: host}
	if scheme != "http" || IsLoopback(at.Hostname()) || env == nil || env.Credentials == nil {
		return env
	}
	guarded := *env
	guarded.Credentials = plainOnly{env.Credentials}
	return &guarded
}

// plainOnly hands out secrets that are meant for plain http and for nothing else.
type plainOnly struct{ all ocm.Credentials }

func (p plainOnly) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	secret, err := p.all.Resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	encrypted := maps.Clone(id)
	encrypted["scheme"] = "https"
	if other, err := p.all.Resolve(ctx, encrypted); err == nil && maps.Equal(secret, other) {
		return nil, fmt.Errorf("the address in the descriptor asks for plain http, where the credentials could be read on the way; if that is intended, configure them with scheme http: %w", ocm.ErrDenied)
	}
	return secret, nil
}
