// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// place fills in where the content of an element comes from and where it goes to, as far as that
// is known without asking anybody.
func (p *Plan) place(ctx context.Context, vp *VersionPlan, m *Move, access ocm.Spec) {
	local := oci.IsLocal(access.Type) || oci.IsRelative(access.Type)
	if !local {
		m.From = address(access)
	} else if at, ok := vp.node.Version.(interface{ Repository() string }); ok {
		m.From = at.Repository()
	}
	if local && (m.Action == Copy || m.Action == Omit) {
		// What is missing or malformed is told by whoever reads it.
		if c, err := vp.node.Blob(ctx, access); err == nil && c.Root.Digest != "" {
			m.Digest, m.mediaType = c.Root.Digest, c.Root.MediaType
			if !blob.IsManifest(m.mediaType) {
				m.Bytes = c.Root.Size
			}
		}
	}
	if !local && m.Action == Copy {
		m.Digest = pinned(access)
	}
	if m.Action == Copy {
		m.To = p.Target
	}
}

// address says where an access leads, for people; types that nobody here knows say nothing. A
// user, a password or a signed query that somebody wrote into it is not repeated.
func address(access ocm.Spec) string {
	var a struct {
		ImageReference string      `json:"imageReference"`
		URL            string      `json:"url"`
		HelmRepository string      `json:"helmRepository"`
		HelmChart      string      `json:"helmChart"`
		RepoURL        string      `json:"repoUrl"`
		Commit         string      `json:"commit"`
		Reference      string      `json:"reference"`
		Rest           ocm.RawJSON `json:",embed"`
	}
	if access.Decode(&a) != nil {
		return ""
	}
	for _, at := range []string{a.ImageReference, a.URL, join(a.HelmRepository, "/", a.HelmChart), join(a.RepoURL, "@", a.Commit), a.Reference} {
		if at != "" {
			return withoutSecret(at)
		}
	}
	return ""
}

func join(a, sep, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return strings.TrimSuffix(a, "/") + sep + b
}

// withoutSecret drops user and query of an address.
func withoutSecret(s string) string {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		return u.String()
	}
	if scheme, _, ok := strings.Cut(s, "://"); ok && !strings.EqualFold(scheme, "file") {
		return scheme + "://…" // it cannot be read, so nobody knows where a password in it would end
	}
	s, _, _ = strings.Cut(s, "?")
	slash := strings.IndexByte(s, '/')
	if at := strings.IndexByte(s, '@'); at >= 0 && at < slash { // user:password@host/path
		s = s[at+1:]
	}
	return s
}

// pinned is the digest that an image reference ends with, empty if it has none.
func pinned(access ocm.Spec) digest.Digest {
	if !isArtifact(access.Type) {
		return ""
	}
	_, pin, _ := strings.Cut(imageReference(access), "@")
	if d := digest.Digest(pin); d.Validate() == nil {
		return d
	}
	return ""
}

// isRelative reports whether an access means something in the repository of its descriptor without being
// content of the version: in the target it would lead nowhere, or to something else.
func isRelative(access ocm.Spec) bool {
	if oci.IsRelative(access.Type) {
		return true
	}
	switch strings.TrimSuffix(access.Type, "/v1") {
	case "ocm", "OCM":
	default:
		return false
	}
	var a struct {
		Repository *ocm.Spec `json:"ocmRepository"`
	}
	return access.Decode(&a) == nil && (a.Repository == nil || a.Repository.Type == "")
}
