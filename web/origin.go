// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
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
	host = strings.ToLower(strings.TrimRight(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && meant(addr).IsLoopback()
}

// translated are the prefixes of IPv6 behind which an address of IPv4 stands in the last bytes, for translators on the
// way (RFC 6052, RFC 8215) and in an older form (RFC 4291, 2.5.5.1).
var translated = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("::/96")}

// meant is the address that is reached in the end.
func meant(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() || addr == netip.IPv6Loopback() || addr == netip.IPv6Unspecified() {
		return addr
	}
	for _, prefix := range translated {
		if raw := addr.As16(); prefix.Contains(addr) {
			return netip.AddrFrom4([4]byte(raw[12:]))
		}
	}
	return addr
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
	return CheckHost(host)
}

// metadata are services of clouds that hand out credentials to whoever asks, beside the link-local ones.
var metadata = []string{"fd00:ec2::254", "100.100.100.200", "metadata.google.internal"}

// CheckHost refuses what is never a server for content ([ocm.ErrDenied]): link-local and unspecified addresses, and what
// does not say plainly what it is. Numbers that are no address are read as one by some systems, as in 127.1 or
// 0x7f000001, and characters beyond ASCII become others before a connection is made: of those of full width come
// digits, dots and letters. host has no port.
func CheckHost(host string) error {
	host = strings.ToLower(strings.TrimRight(strings.Trim(host, "[]"), "."))
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("host %+q: expected a name in ASCII, others in the form xn--…: %w", host, ocm.ErrDenied)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil && isNumber(host[strings.LastIndexByte(host, '.')+1:]) {
		return fmt.Errorf("%s is neither a name nor an address in its usual form: %w", host, ocm.ErrDenied)
	}
	if err == nil {
		addr = meant(addr)
	}
	if err == nil && (addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast()) || slices.Contains(metadata, host) || slices.Contains(metadata, addr.String()) {
		return fmt.Errorf("%s is a link-local or unspecified address: %w", host, ocm.ErrDenied)
	}
	return nil
}

// isNumber tells what some systems read as a number, of any length: decimal, octal or hexadecimal. No name ends so.
func isNumber(label string) bool {
	return label != "" && strings.Trim(label, "0123456789") == "" || strings.HasPrefix(label, "0x")
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
	if forHTTPS(ctx, p.all, id, secret) {
		return nil, fmt.Errorf("the address in the descriptor asks for plain http, where the credentials could be read on the way; if that is intended, configure them with scheme http: %w", ocm.ErrDenied)
	}
	return secret, nil
}

// forHTTPS tells whether a secret that was found for a place with plain http is the same as for this place with https.
// The port of http that is written out is no other place: who listens on the way may have written it.
func forHTTPS(ctx context.Context, all ocm.Credentials, id ocm.Identity, secret ocm.Secret) bool {
	encrypted := maps.Clone(id)
	encrypted["scheme"] = "https"
	if encrypted["port"] == "80" {
		delete(encrypted, "port")
	}
	other, err := all.Resolve(ctx, encrypted)
	return err == nil && maps.Equal(secret, other)
}
