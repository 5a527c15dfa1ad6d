// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strings"
	"syscall"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// maxTags bounds the tags that one push gives to a manifest.
const maxTags = 32

// names are what a manifest is pushed as: one tag, or its digest, and then any tags that the query adds, which is how one that is
// not known by its sha256 digest gets them. That addition is younger than version 1.1 of the specification.
func (x *exchange) names() (want digest.Digest, tags []string, err error) {
	tags = []string{x.route.ref}
	if strings.Contains(x.route.ref, ":") {
		if want, err = parseDigest(x.route.ref); err != nil {
			return "", nil, err
		}
		tags = x.r.URL.Query()["tag"]
	}
	if len(tags) > maxTags {
		return "", nil, refuse(http.StatusBadRequest, codeManifestInvalid, "%d tags, accepted are %d at once", len(tags), maxTags)
	}
	for _, tag := range tags {
		if !tagPattern.MatchString(tag) {
			return "", nil, refuse(http.StatusBadRequest, codeManifestInvalid, "tag %.200q: expected letters, digits, '_', '.', '-', at most 128", tag)
		}
	}
	return want, tags, nil
}

// putManifest stores a manifest under tags or its digest. Everything that it refers to must be there but for its subject, which
// may come later, and for layers that are to be had elsewhere.
func (g *Registry) putManifest(x *exchange) error {
	want, tags, err := x.names()
	if err != nil {
		return err
	}
	raw, release, err := g.readManifest(x)
	if err != nil {
		return err
	}
	defer release()
	algorithm := digest.SHA256
	if want != "" {
		algorithm = want.Algorithm()
	}
	d := ociv1.Descriptor{Digest: algorithm.FromBytes(raw), Size: int64(len(raw))}
	if want != "" && d.Digest != want {
		return refuse(http.StatusBadRequest, codeDigestInvalid, "the manifest has the digest %s, and not %s", d.Digest, want)
	}
	if d.MediaType, err = mediaType(x.r.Header.Get("Content-Type"), raw); err != nil {
		return err
	}
	free, err := oci.Hold(x.r.Context(), x.repo)
	if err != nil {
		return err
	}
	defer free() // what is found stays until the manifest that needs it is there
	subject, err := g.checkManifest(x.r.Context(), x.repo, d, raw)
	if err != nil {
		return err
	}
	if err := x.store(d, raw, tags); err != nil {
		return err
	}
	x.identify(d.Digest)
	x.w.Header().Set("Location", "/v2/"+x.route.name+"/manifests/"+x.route.ref)
	if want != "" && len(tags) > 0 {
		x.w.Header().Set("OCI-Tag", strings.Join(tags, ", "))
	}
	if subject != "" {
		x.w.Header().Set("OCI-Subject", string(subject))
	}
	return x.empty(http.StatusCreated)
}

// store puts a manifest under each tag, one after the other, or under none.
func (x *exchange) store(d ociv1.Descriptor, raw []byte, tags []string) error {
	was, err := x.condition()
	if err != nil {
		return err
	}
	if len(tags) == 0 {
		return x.repo.PutManifest(x.r.Context(), d, raw, "", was)
	}
	for _, tag := range tags {
		err := x.repo.PutManifest(x.r.Context(), d, raw, tag, was)
		if errors.Is(err, ocm.ErrExists) || errors.Is(err, ocm.ErrConflict) {
			return refuse(http.StatusPreconditionFailed, codeManifestInvalid, "the tag %s does not stand where it was expected", tag).because(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readManifest reads the body, for which there is room until release is called.
func (g *Registry) readManifest(x *exchange) (raw []byte, release func(), err error) {
	tooLarge := refuse(http.StatusRequestEntityTooLarge, codeManifestInvalid, "a manifest has %d bytes at most", blob.MaxManifest)
	size := x.r.ContentLength
	if size > blob.MaxManifest {
		return nil, nil, tooLarge
	}
	if size < 0 {
		size = blob.MaxManifest
	}
	if err := g.pushed.Acquire(x.r.Context(), size); err != nil {
		return nil, nil, err
	}
	release = func() { g.pushed.Release(size) }
	in := x.body(blob.MaxManifest)
	if raw, err = io.ReadAll(in); err != nil {
		release()
		if errors.Is(err, errTooLarge) {
			return nil, nil, tooLarge.because(err)
		}
		return nil, nil, broken(err)
	}
	return raw, release, nil
}

// mediaType is what the client says, without parameters, or what the manifest says where the client does not.
func mediaType(header string, raw []byte) (string, error) {
	said := header
	if typ, _, err := mime.ParseMediaType(header); err == nil {
		said = typ
	}
	if said == "" {
		var m struct {
			MediaType string `json:"mediaType"`
		}
		if jsonv2.Unmarshal(raw, &m) == nil {
			said = m.MediaType
		}
	}
	if !blob.IsManifest(said) {
		return "", refuse(http.StatusBadRequest, codeManifestInvalid, "media type %.200q: expected the one of an image manifest or index", said)
	}
	return said, nil
}

// checkManifest refuses what could not be pulled, and returns the subject.
func (g *Registry) checkManifest(ctx context.Context, repo oci.Repo, d ociv1.Descriptor, raw []byte) (digest.Digest, error) {
	invalid := func(err error) error {
		return refuse(http.StatusBadRequest, codeManifestInvalid, "%.500v", err).because(err)
	}
	children, err := blob.Children(d, raw)
	if err != nil {
		return "", invalid(err)
	}
	subject, _, err := oci.AsReferrer(d, raw)
	if err != nil {
		return "", invalid(err)
	}
	missing := &failure{status: http.StatusNotFound}
	for _, child := range children {
		if child.Size < 0 {
			return "", invalid(fmt.Errorf("%s: a size of %d bytes: %w", child.Digest, child.Size, ocm.ErrInvalid))
		}
		there, err := oci.Keep(ctx, repo, child)
		switch {
		case errors.Is(err, ocm.ErrInvalid):
			return "", invalid(err)
		case err != nil:
			return "", err
		case !there && len(child.URLs) == 0:
			missing.errors = append(missing.errors, problem{
				Code:    codeManifestBlobUnknown,
				Message: fmt.Sprintf("%s of %d bytes is not there", child.Digest, child.Size),
				Detail:  map[string]string{"digest": string(child.Digest)},
			})
		}
		if len(missing.errors) == maxProblems {
			break
		}
	}
	if missing.errors != nil {
		return "", missing
	}
	return subject, nil
}

const maxProblems = 100 // that one answer names

// condition is what the tag must be before, by the conditions of HTTP.
func (x *exchange) condition() (oci.Was, error) {
	if x.r.Header.Get("If-None-Match") == "*" {
		return oci.Absent(), nil
	}
	match := x.r.Header.Get("If-Match")
	if match == "" || match == "*" {
		return oci.Any(), nil
	}
	d, err := parseDigest(strings.Trim(match, `"`))
	return oci.At(d), err
}

// deleteManifest takes out a tag, or a manifest with all its tags.
func (g *Registry) deleteManifest(x *exchange) error {
	from, ok := x.repo.(oci.Deleter)
	if !ok {
		return fmt.Errorf("deletion: %w", errors.ErrUnsupported)
	}
	err := error(nil)
	if ref := x.route.ref; !strings.Contains(ref, ":") {
		err = from.Untag(x.r.Context(), ref)
	} else if d, perr := parseDigest(ref); perr != nil {
		err = perr
	} else {
		err = needed(from.DeleteManifest(x.r.Context(), d), d)
	}
	if err != nil {
		return err
	}
	g.emptied.add(x.route.name)
	return x.empty(http.StatusAccepted)
}

// deleteBlob takes a blob out of the store, which all its repositories share.
func (g *Registry) deleteBlob(x *exchange) error {
	d, err := x.route.digestRef()
	if err != nil {
		return err
	}
	from, ok := x.repo.(oci.Deleter)
	if !ok {
		return fmt.Errorf("deletion: %w", errors.ErrUnsupported)
	}
	if err := needed(from.DeleteBlob(x.r.Context(), d), d); err != nil {
		return err
	}
	return x.empty(http.StatusAccepted)
}

// needed is the answer if something else in the store needs what should be deleted. What the system denies is another matter.
func needed(err error, d digest.Digest) error {
	if !errors.Is(err, ocm.ErrDenied) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return err
	}
	return refuse(http.StatusMethodNotAllowed, codeUnsupported, "a manifest needs %s: delete that first", d).because(err)
}
