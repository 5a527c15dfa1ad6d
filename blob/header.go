// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"ocm"
)

// TarName is the clean name of an entry in an archive of which only files and folders are wanted; empty
// for a comment. [ocm.ErrInvalid] for everything that such an archive has no need for. What a reader of
// tar archives may be talked into is best not discussed with it: links, devices, sparse files
// (CVE-2025-58183), names that lead elsewhere.
func TarName(hdr *tar.Header) (string, error) {
	refuse := func(why string) (string, error) {
		return "", fmt.Errorf("tar entry %.200q: %s: %w", hdr.Name, why, ocm.ErrInvalid)
	}
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeXGlobalHeader:
		if len(hdr.PAXRecords) == 0 || slices.Equal(slices.Collect(maps.Keys(hdr.PAXRecords)), []string{"comment"}) {
			return "", nil
		}
		return refuse("global attributes are not accepted")
	default:
		return refuse(fmt.Sprintf("expected a file or folder, found type %q", hdr.Typeflag))
	}
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return refuse("sparse files are not accepted")
		}
	}
	switch {
	case strings.HasPrefix(hdr.Name, "/"):
		return refuse("absolute name")
	case strings.ContainsAny(hdr.Name, "\\\x00"):
		return refuse("odd character in the name")
	case slices.Contains(strings.Split(hdr.Name, "/"), ".."):
		return refuse("the name leads out of the archive")
	}
	return path.Clean(hdr.Name), nil
}
