// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"

	"ocm"
	"ocm/access/chart"
)

// Chart finds the Helm chart in content: its archive, the provenance file if there is one, and the archive's usual file
// name, name-version.tgz, which never leads out of a folder. The content may be the archive itself, an OCI artifact or an
// archive of one. [ocm.ErrInvalid] if it is no chart. Only what tells the name is read: whoever writes the archive
// compares it with the digest of its Root or, where that is empty, of the resource.
//
// The provenance file is a signed text about the archive. That there is none says nothing, and nothing here says
// that its signature is good.
func Chart(ctx context.Context, c ocm.Content) (archive ocm.Content, prov *ocm.Content, name string, err error) {
	found, err := chart.Find(ctx, c)
	if err != nil {
		return ocm.Content{}, nil, "", err
	}
	name, err = found.Meta.FileName()
	return found.Archive, found.Provenance, name, err
}
