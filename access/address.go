// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"ocm"
	"ocm/web"
)

// baseURL reads the address of a server or of a folder on it, without a slash at its end. Errors name the field.
func baseURL(s ocm.Spec, field, value string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(value, "/"))
	switch {
	case err != nil: // its text has the address
		return nil, fmt.Errorf("type %s: %s is no address: %w", s.Type, field, ocm.ErrInvalid)
	case u.User != nil:
		return nil, fmt.Errorf("type %s: %s has a user name; put it into the configuration of credentials: %w", s.Type, field, ocm.ErrInvalid)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("type %s: %s %.200q: expected https://host[:port][/path]: %w", s.Type, field, withoutQuery(u), ocm.ErrInvalid)
	}
	return u, nil
}

func withoutQuery(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Opaque: u.Opaque, Host: u.Host, Path: u.Path}).String()
}

// clientFor makes a client with the credentials for the first of the addresses, all on one server, for which
// there are any.
func clientFor(ctx context.Context, env *ocm.Env, consumers []string, at ...*url.URL) (c *web.Client, err error) {
	for _, u := range at {
		if c, err = web.For(ctx, env, u, consumers...); err != nil || c.Secret() != nil {
			return c, err
		}
	}
	return c, nil
}

// plainType is a media type without its parameters, which registries do not accept.
func plainType(header string) string {
	if mt, _, err := mime.ParseMediaType(header); err == nil && strings.Contains(mt, "/") {
		return mt
	}
	return "application/octet-stream"
}
