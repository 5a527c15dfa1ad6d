// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"fmt"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci/memory"
	"ocm/oci/remote"
	"ocm/transfer"
)

// The most common registry refuses an index of which not all is there. What is said helps, nothing is
// visible, and the whole goes.
func TestPlatformsInDockerRegistry(t *testing.T) {
	t.Parallel()
	url := fixture.DockerRegistry(t)
	for _, indexType := range []string{ociv1.MediaTypeImageIndex, blob.MediaTypeDockerIndex} {
		c, _ := multi(t, indexType, "linux/amd64", "linux/arm64")
		src := repository(memory.New())
		dst := repository(fixture.Must[*remote.Store](t)(remote.Open(newEnv(), url, fmt.Sprintf("t%d", len(indexType)), remote.Options{})))
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		a.resource("image", c)
		v := a.commit()
		_, _, err := move(t.Context(), src, dst, v, onPlatforms(t, "linux/amd64"))
		fixture.WantErr(t, err, ocm.ErrInvalid, "some registries refuse", "transfer to an archive, or without --platform", "MANIFEST_BLOB_UNKNOWN")
		_, err = dst.Open(t.Context(), "acme.org/app", "1.0.0")
		fixture.WantErr(t, err, ocm.ErrNotFound)
		mustMove(t, src, dst, v, transfer.Options{})
		complete(t, dst, reopen(t, dst, v))
		// where all is there already, a part is all
		p, _ := mustMove(t, src, dst, v, onPlatforms(t, "linux/amd64"))
		if p.Versions[0].State != transfer.Identical {
			t.Errorf("state %s", p.Versions[0].State)
		}
	}
}
