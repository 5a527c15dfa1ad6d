// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocm/blob"
)

// kind is what an address stands for.
type kind int

const (
	kindBase kind = iota + 1
	kindCatalog
	kindTags
	kindManifest
	kindBlob
	kindUploads
	kindUpload
	kindReferrers
)

// route is a parsed address. ref is a tag, a digest or the number of an upload; it is not checked yet, nor is name.
type route struct {
	kind      kind
	name, ref string
}

const maxName = 255 // bytes of the name of a repository, which clients have as a limit too

// The grammar of the specification.
var (
	namePattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// parseRoute reads a path as it came. Nothing in a name, a tag or a digest needs to be escaped; the colon of a digest may be. Any
// other escape could mean one repository here and another one to whoever stands in front of this registry.
func parseRoute(path string) (route, error) {
	unknown := refuse(http.StatusNotFound, codeNameUnknown, "there is nothing at this address")
	path = strings.NewReplacer("%3A", ":", "%3a", ":").Replace(path)
	if path == "/v2" || path == "/v2/" {
		return route{kind: kindBase}, nil
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok || strings.Contains(rest, "%") {
		return route{}, unknown
	}
	if rest == "_catalog" {
		return route{kind: kindCatalog}, nil
	}
	// Reading from the end, an address has one meaning only: no reference has a slash.
	head, last, _ := cutLast(rest)
	name, verb, ok := cutLast(head)
	if !ok {
		return route{}, unknown
	}
	switch {
	case verb == "tags" && last == "list":
		return route{kindTags, name, ""}, nil
	case verb == "manifests":
		return route{kindManifest, name, last}, nil
	case verb == "referrers":
		return route{kindReferrers, name, last}, nil
	case verb == "blobs" && last == "uploads":
		return route{kindUploads, name, ""}, nil
	case verb == "blobs":
		return route{kindBlob, name, last}, nil
	case verb == "uploads":
		if name, ok = strings.CutSuffix(name, "/blobs"); ok && last == "" {
			return route{kindUploads, name, ""}, nil
		} else if ok {
			return route{kindUpload, name, last}, nil
		}
	}
	return route{}, unknown
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

func checkName(name string) error {
	if len(name) > maxName || !namePattern.MatchString(name) {
		return refuse(http.StatusBadRequest, codeNameInvalid, "repository %.300q: expected lower-case letters, digits and single separators, at most %d bytes", name, maxName)
	}
	return nil
}

// digestRef is the reference of an address that must be a digest.
func (r route) digestRef() (digest.Digest, error) { return parseDigest(r.ref) }

func parseDigest(s string) (digest.Digest, error) {
	d := digest.Digest(s)
	if blob.CheckDigest(d) != nil {
		return "", refuse(http.StatusBadRequest, codeDigestInvalid, "digest %.200q: expected sha256 or sha512", s)
	}
	return d, nil
}
