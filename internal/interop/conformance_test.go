// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"path/filepath"
	"regexp"
	"testing"
)

// The suite by which registries are certified, with all that it leaves optional except one thing: manifests whose parts were never
// pushed. An archive that is carried away must be whole.
func TestServeConformance(t *testing.T) {
	t.Parallel()
	suite := tool(t, "oci-conformance")
	for _, guarded := range []bool{false, true} {
		s := offer(t, filepath.Join(t.TempDir(), "registry"), true, guarded)
		s.env = append(s.env, "OCI_VERSION=dev", "OCI_REGISTRY="+s.host, "OCI_RESULTS_DIR="+s.dir, "OCI_TLS=disabled", "OCI_LOG=error",
			"OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_API_MANIFESTS_DIGEST_HEADER=true", "OCI_API_BLOBS_UPLOAD_CANCEL=true", "OCI_API_MANIFESTS_TAG_PARAM=true")
		if guarded {
			s.env = append(s.env, "OCI_TLS=insecure", "OCI_USERNAME="+guest, "OCI_PASSWORD="+password)
		}
		verdicts := verdict.FindAllStringSubmatch(s.run(suite), -1)
		if len(verdicts) < 50 {
			t.Errorf("expected 50 verdicts or more, found %q", verdicts)
		}
		for _, v := range verdicts {
			if v[2] != "Pass" && v[1] != "Sparse Manifests" {
				t.Errorf("with a password: %v: %s: %s", guarded, v[1], v[2])
			}
		}
	}
}

// verdict is a line of the suite's summary, such as "Blob get range................:       Pass".
var verdict = regexp.MustCompile(`(?m)^ *([A-Z][^.\n]*)\.+: +([A-Z][a-z]+)$`)
