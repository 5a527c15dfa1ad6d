// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"ocm"
	"ocm/access"
	"ocm/deploy/resolve"
	"ocm/oci"
	"ocm/oci/remote"
)

// Coordinates says where the content of a resource can be pulled from, if it is an OCI artifact in a registry:
//
//	host, registry  registry.example.org:5000 (both the same)
//	repository      team/app
//	tag, digest     1.0.0, sha256:…
//	reference       tag@digest, or the one of them that there is
//
// Each is there, and empty where nothing is known. Where the access names no digest, it is that of r.Artifact: what was compared with the
// component. Short names are those of Docker Hub, as everywhere in this program: postgres:18 is docker.io, library/postgres, 18.
//
// A local blob lies in the repository of its component version; it is [ocm.ErrInvalid] if it is no OCI artifact or not in a registry, as
// is an access of any other kind.
func Coordinates(r *resolve.Resource) (map[string]string, error) {
	return coordinates(r.Access, r)
}

// coordinates are those of an access, which need not be that of the resource r; r may be nil.
func coordinates(a ocm.Spec, r *resolve.Resource) (map[string]string, error) {
	switch {
	case oci.IsLocal(a.Type):
		return local(a, r)
	case oci.IsRelative(a.Type):
		path, tagOrDigest, err := oci.ParseRelative(a)
		if err != nil {
			return nil, err
		}
		separator := ":"
		if strings.Contains(tagOrDigest, ":") {
			separator = "@"
		}
		return inRepository(r, path+separator+tagOrDigest)
	case a.Type != "" && !slices.Contains(access.OCIArtifact.Names, a.Type):
		return nil, fmt.Errorf("an access of type %.100q is not one of an OCI artifact; expected %s, a local blob, or a reference in a string: %w", a.Type, access.OCIArtifact.Names[0], ocm.ErrInvalid)
	}
	reference, err := imageReference(a)
	if err != nil {
		return nil, err
	}
	parsed, err := remote.ParseReference(reference)
	if err != nil {
		return nil, err
	}
	if parsed.Digest == "" && r != nil && r.Artifact != nil {
		if own, err := imageReference(r.Access); err == nil && own == reference {
			parsed.Digest = r.Artifact.Digest
		}
	}
	return parts(parsed), nil
}

func imageReference(a ocm.Spec) (string, error) {
	var image struct {
		ImageReference string `json:"imageReference"`
	}
	if err := a.Decode(&image); err != nil {
		return "", err
	}
	if image.ImageReference == "" {
		return "", fmt.Errorf("the access has no imageReference: %w", ocm.ErrInvalid)
	}
	return image.ImageReference, nil
}

// local is where a local blob lies that is an OCI artifact.
func local(a ocm.Spec, r *resolve.Resource) (map[string]string, error) {
	blob, err := oci.ParseLocal(a)
	if err != nil {
		return nil, err
	}
	if r == nil || !oci.IsLocal(r.Access.Type) {
		return nil, fmt.Errorf("local blob %.100q is not that of the resource: %w", blob.LocalReference, ocm.ErrInvalid)
	}
	own, err := oci.ParseLocal(r.Access)
	switch {
	case err != nil:
		return nil, err
	case own.LocalReference != blob.LocalReference:
		return nil, fmt.Errorf("local blob %.100q is not that of the resource, which is %.100q: %w", blob.LocalReference, own.LocalReference, ocm.ErrInvalid)
	case r.Artifact == nil:
		return nil, fmt.Errorf("local blob %.100q of media type %.100q is not an OCI artifact in a registry, and cannot be pulled: %w", own.LocalReference, own.MediaType, ocm.ErrInvalid)
	}
	return inRepository(r, oci.RepoName(r.Component)+"@"+r.Artifact.Digest.String())
}

// inRepository are the coordinates of something in the registry in which the component version lies.
func inRepository(r *resolve.Resource, name string) (map[string]string, error) {
	if r == nil {
		return nil, fmt.Errorf("it is not known where the component version is: %w", ocm.ErrInvalid)
	}
	var at struct {
		BaseURL string `json:"baseUrl"`
		SubPath string `json:"subPath"`
		Mapping string `json:"componentNameMapping"`
	}
	if err := r.Repository.Decode(&at); err != nil {
		return nil, fmt.Errorf("repository of %.200s: %w", r.Component, err)
	}
	switch {
	case at.BaseURL == "":
		return nil, fmt.Errorf("%.200s is in a repository of type %.100q, which is no registry that could be pulled from: %w", r.Component, r.Repository.Type, ocm.ErrInvalid)
	case at.Mapping != "" && at.Mapping != "urlPath":
		return nil, fmt.Errorf("the registry of %.200s has components under other names (componentNameMapping %.100q): %w", r.Component, at.Mapping, ocm.ErrInvalid)
	case strings.ContainsAny(at.BaseURL, "@?#"):
		// The text is not repeated: it may hold a password.
		return nil, fmt.Errorf("repository of %.200s: baseUrl has more than scheme, host and path: %w", r.Component, ocm.ErrInvalid)
	}
	_, address, ok := strings.Cut(at.BaseURL, "://")
	if !ok {
		address = at.BaseURL
	}
	path := strings.Trim(address, "/") + "/" + strings.Trim(at.SubPath, "/") + "/"
	parsed, err := remote.ParseReference("oci://" + strings.ReplaceAll(path, "//", "/") + name)
	if err != nil {
		return nil, fmt.Errorf("repository of %.200s: %w", r.Component, err)
	}
	return parts(parsed), nil
}

// parts are the parts of a reference by their names.
func parts(r remote.Reference) map[string]string {
	sum := r.Digest.String()
	reference := r.Tag + "@" + sum
	if r.Tag == "" || sum == "" {
		reference = r.Tag + sum
	}
	return map[string]string{"host": r.Host, "registry": r.Host, "repository": r.Repository, "tag": r.Tag, "digest": sum, "reference": reference}
}

// coordinatesOf are those of what an expression has: a reference in a string, or an access in a map.
func coordinatesOf(v ref.Val, r *resolve.Resource) (map[string]string, error) {
	switch v := v.(type) {
	case types.String:
		parsed, err := remote.ParseReference(string(v))
		if err != nil {
			return nil, err
		}
		return parts(parsed), nil
	case *types.Optional:
		if v.HasValue() {
			return coordinatesOf(v.GetValue(), r)
		}
		return nil, fmt.Errorf("an optional without value: %w", ocm.ErrInvalid)
	case traits.Mapper:
		a, err := accessOf(v)
		if err != nil {
			return nil, err
		}
		return coordinates(a, r)
	}
	return nil, fmt.Errorf("expected a reference in a string, or an access, found %.100s: %w", v.Type().TypeName(), ocm.ErrInvalid)
}

// accessOf takes from a map what coordinates need.
func accessOf(m traits.Mapper) (ocm.Spec, error) {
	members := map[string]string{}
	for _, name := range []string{"type", "imageReference", "localReference", "mediaType", "fileName", "filename", "digest", "reference"} {
		v, found := m.Find(types.String(name))
		if !found {
			continue
		}
		text, ok := v.(types.String)
		if !ok {
			return ocm.Spec{}, fmt.Errorf("%s of the access is not a string: %w", name, ocm.ErrInvalid)
		}
		members[name] = string(text)
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return ocm.Spec{}, err
	}
	return ocm.Spec{Type: members["type"], Raw: raw}, nil
}
