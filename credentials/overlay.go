// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"ocm"
)

// Overlay asks first, and then only if first has nothing ([ocm.ErrNotFound]). A secret
// of first is taken as it is: properties of both are never mixed, or a key from one
// place could meet a trust anchor from another. Either may be nil.
func Overlay(first, then ocm.Credentials) ocm.Credentials {
	switch {
	case first == nil:
		return then
	case then == nil:
		return first
	}
	return overlay{first, then}
}

type overlay struct{ first, then ocm.Credentials }

func (o overlay) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	secret, err := o.first.Resolve(ctx, id)
	if errors.Is(err, ocm.ErrNotFound) {
		return o.then.Resolve(ctx, id)
	}
	return secret, err
}

// String hides what is inside.
func (o overlay) String() string { return "credentials from several places" }

// GoString hides what is inside.
func (o overlay) GoString() string { return o.String() }

// Entry is a secret for all consumers that have the attributes of Identity, whatever
// other attributes they have: {type: RSA, signature: release} is for every algorithm.
type Entry struct {
	Identity ocm.Identity
	Secret   ocm.Secret
}

// String hides the secret.
func (e Entry) String() string { return "credentials for " + e.Identity.String() }

// GoString hides the secret.
func (e Entry) GoString() string { return e.String() }

// Static returns secrets given by flags or by code. The entry with most attributes wins,
// then the one that stands first. Entries without type are for nobody.
func Static(entries ...Entry) ocm.Credentials {
	s := make(static, len(entries))
	for i, e := range entries {
		s[i] = Entry{normal(e.Identity), maps.Clone(e.Secret)}
	}
	return s
}

type static []Entry

func (s static) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	request := normal(id)
	best := -1
	for i, e := range s {
		if e.Identity[attrType] != "" && e.Identity.Selects(request) && (best < 0 || len(e.Identity) > len(s[best].Identity)) {
			best = i
		}
	}
	if best < 0 {
		return nil, fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
	}
	return maps.Clone(s[best].Secret), nil
}

// String hides what is inside.
func (s static) String() string { return "given credentials" }

// GoString hides what is inside.
func (s static) GoString() string { return s.String() }

// Amend adds the properties of an entry to whatever base finds for the consumers the
// entry is for, also if base finds nothing. A trust anchor given by a flag is an example:
// it counts beside the configured keys. Of equal properties that of the entry wins, so
// give inline texts: they win over files, too. base may be nil.
func Amend(base ocm.Credentials, e Entry) ocm.Credentials {
	return amended{base, Entry{normal(e.Identity), maps.Clone(e.Secret)}}
}

type amended struct {
	base  ocm.Credentials
	entry Entry
}

func (a amended) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	secret, err := ocm.Secret(nil), fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
	if a.base != nil {
		secret, err = a.base.Resolve(ctx, id)
	}
	if a.entry.Identity[attrType] == "" || !a.entry.Identity.Selects(normal(id)) || err != nil && !errors.Is(err, ocm.ErrNotFound) {
		return secret, err
	}
	both := ocm.Secret{}
	maps.Copy(both, secret)
	maps.Copy(both, a.entry.Secret)
	return both, nil
}

// String hides what is inside.
func (a amended) String() string { return "amended credentials" }

// GoString hides what is inside.
func (a amended) GoString() string { return a.String() }
