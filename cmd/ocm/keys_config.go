// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"ocm"
	"ocm/config"
	"ocm/credentials"
	"ocm/sign/ec"
	"ocm/sign/pgp"
	"ocm/sign/rsa"
)

// olderKeys are the keys of keys.config.ocm.software: by the name of the signature, whatever the algorithm.
// Files are read by who needs them. nil if there are none.
func olderKeys(k config.Keys) ocm.Credentials {
	if k.Empty() {
		return nil
	}
	set := keySet{}
	add := func(property string, keys map[string]config.Key) {
		for name, key := range keys {
			for identity, form := range map[string]string{rsa.IdentityType: "PEM", ec.IdentityType: "PEM", pgp.IdentityType: "PGP"} {
				owner := keyOwner{identity, name}
				if set[owner] == nil {
					set[owner] = ocm.Secret{}
				}
				if key.Path != "" {
					set[owner][property+form+"File"] = key.Path
				} else {
					set[owner][property+form] = key.Text
				}
			}
		}
	}
	add("publicKey", k.Public)
	add("privateKey", k.Private)
	c := set.credentials()
	for name, issuer := range k.Issuers {
		c = demand(c, name, ocm.Secret{"issuer": issuer})
	}
	if len(k.Roots) == 0 {
		return c
	}
	return rooted{c, k.Roots}
}

// rooted adds trust anchors to keys that may come with certificates.
type rooted struct {
	ocm.Credentials
	roots []config.Key
}

func (r rooted) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	if t := id["type"]; t != rsa.IdentityType && t != ec.IdentityType {
		return r.Credentials.Resolve(ctx, id)
	}
	var all strings.Builder
	for _, root := range r.roots {
		text := root.Text
		if root.Path != "" {
			raw, err := readFile(root.Path, maxKeyFile)
			if err != nil {
				return nil, fmt.Errorf("rootCertificates: %s: %w", root.Path, err)
			}
			text = string(raw)
		}
		all.WriteString(text + "\n")
	}
	entry := credentials.Entry{Identity: ocm.Identity{"type": id["type"]}, Secret: ocm.Secret{"caCertPEM": all.String()}}
	return credentials.Amend(r.Credentials, entry).Resolve(ctx, id)
}
