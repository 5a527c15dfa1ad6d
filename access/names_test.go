// SPDX-License-Identifier: Apache-2.0

package access

import (
	"slices"
	"testing"
)

// TestPackageNames are the names that descriptors of existing tools use.
func TestPackageNames(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string][]string{
		"s3": {"bucket", "key"}, "S3": {"bucket", "key"}, "s3/v1": {"bucket", "key"}, "S3/v1": {"bucket", "key"}, "s3/v2": {"bucketName", "objectKey"}, "S3/v2": {"bucketName", "objectKey"},
		"S3Bucket": {"bucketName", "endpoint"}, "S3Bucket/v1": {"usePathStyle"}, "s3Bucket": {"objectKey"}, "s3Bucket/v1": {"version"},
		"npm": {"registry", "package", "version"}, "NPM": {"registry"}, "npm/v1": {"registry"}, "NPM/v1": {"registry"},
		"maven": {"repoUrl", "groupId", "artifactId", "version", "classifier", "extension"}, "Maven": {"repoUrl"}, "maven/v1": {"repoUrl"}, "Maven/v1": {"repoUrl"},
	} {
		found := 0
		for _, m := range All() {
			if !slices.Contains(m.Names, name) {
				continue
			}
			found++
			for _, want := range fields {
				ok := false
				for _, f := range m.Fields {
					ok = ok || f.Name == want && f.About != ""
				}
				if !ok {
					t.Errorf("%s has no field %s: %+v", name, want, m.Fields)
				}
			}
		}
		if found != 1 {
			t.Errorf("%s: found %d methods", name, found)
		}
	}
}
