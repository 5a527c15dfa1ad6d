// SPDX-License-Identifier: Apache-2.0

package input

import (
	"context"
	"fmt"

	"ocm"
	"ocm/access"
)

// Maven is [access.Maven], or the same in a local repository.
var Maven = ocm.Method{
	Type: ocm.Type{
		Names:  ocm.Versioned("v1", "maven", "Maven"),
		About:  "A file in a Maven repository, or all files of a version as an archive: exactly one of repoUrl and path says where.",
		Fields: ocm.FieldsOf(mavenSpec{}),
		Notes:  access.MavenNotes,
	},
	Opener: ocm.OpenerFunc(openMaven),
}

type mavenSpec struct {
	RepoURL string `json:"repoUrl" about:"address of the repository, https://host[:port][/path]"`
	Path    string `json:"path" about:"folder of a local repository, relative to the folder of the constructor, which it may not leave"`
	access.GAV
}

func openMaven(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var m mavenSpec
	if err := s.Members(&m); err != nil {
		return ocm.Content{}, err
	}
	switch {
	case (m.RepoURL == "") == (m.Path == ""):
		return ocm.Content{}, fmt.Errorf("input %s: expected exactly one of repoUrl and path: %w", s.Type, ocm.ErrInvalid)
	case m.RepoURL != "":
		return access.Maven.Open(ctx, env, s)
	}
	boundary, name, err := place(env, s, m.Path)
	if err != nil {
		return ocm.Content{}, err
	}
	c, err := access.MavenIn(ctx, env, boundary, name, s, m.GAV)
	if err != nil {
		return ocm.Content{}, confined(err, s, boundary)
	}
	return c, nil
}
