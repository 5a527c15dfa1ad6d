// SPDX-License-Identifier: Apache-2.0

// Command webdav is a plugin of ocm: component repositories on a plain WebDAV server, such as a file share has.
//
//	ocm transfer cv ./app.tgz//acme.org/app:1.0.0 WebDAV::https://files.acme.org/components
//
// It implements a store of OCI repositories ([oci.Store]) and nothing else. What a component version looks like in there is said by package
// oci, once for registries, archives and this. Credentials are those that the host has for the consumer type WebDAV.
package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"ocm"
	"ocm/oci"
	"ocm/plugin"
	"ocm/web"
)

func main() {
	plugin.Main(plugin.About{Name: "webdav", Version: "1.0.0", About: "Component repositories on a WebDAV server."}, kit())
}

func kit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Repositories.Register(open, ocm.Type{
		Names: ocm.Versioned("v1", "WebDAV"), About: "A folder on a WebDAV server.", Fields: ocm.FieldsOf(specification{}),
		Notes: []string{
			"Its credentials are those of a consumer of type WebDAV with scheme, hostname, port and path.",
			"Of two who write a version at once one wins, if the server keeps RFC 4918: a MOVE without Overwrite replaces nothing.",
		},
	})
	return kit
}

type specification struct {
	Location string `json:"location" need:"yes" about:"https://host/path of the folder, which is made when something is written"`
}

// open opens a repository. Nothing is asked of the server yet.
func open(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
	var spec specification
	if err := s.Members(&spec); err != nil {
		return nil, err
	}
	at, err := url.Parse(strings.TrimRight(spec.Location, "/") + "/")
	if err != nil || at.RawQuery != "" || at.Fragment != "" || at.User != nil {
		return nil, fmt.Errorf("type %s: location: expected https://host/path without user, query and fragment: %w", s.Type, ocm.ErrInvalid)
	}
	client, err := web.For(ctx, env, at, "WebDAV")
	if err != nil {
		return nil, err
	}
	return oci.NewRepository(&store{&server{client: client, env: env, base: at, made: map[string]bool{}}}, env), nil
}
